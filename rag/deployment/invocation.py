"""Invocations of AWS Lambda as HTTP requests, and replies in the form that the invoker reads.

Mangum reads the events of Amazon API Gateway (REST, payload 1.0; HTTP, payload 2.0), function URLs and
Application Load Balancers, and writes replies that are sent whole. Of a streamed reply the first part is
JSON with status, headers and cookies, then 8 NUL bytes, then the body (API Gateway Developer Guide, "Set up a
Lambda proxy integration with payload response streaming", and Lambda Developer Guide, "Building a custom
runtime", both read November 2026).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from rag.core.errors import UsageError
from rag.core.extras import ensure

ensure("mangum", extra="lambda")  # before its import: without it one line names the extra

from mangum.handlers import ALB, APIGateway, HTTPGateway  # noqa: E402
from mangum.types import LambdaConfig, LambdaContext, LambdaEvent, LambdaHandler, Scope  # noqa: E402

Headers = Sequence[Sequence[bytes]]
#: The type of a streamed reply that begins with status and headers, and what ends them.
STREAMED, _END_OF_HEAD = "application/vnd.awslambda.http-integration-response", b"\0" * 8
#: Most bytes of a reply that is sent whole: of a function (Lambda Developer Guide, "Lambda quotas"), and of
#: one behind a load balancer (Elastic Load Balancing, "Lambda functions as targets").
MOST_BYTES, MOST_BYTES_ALB = 6 << 20, 1 << 20
_TEXT = ["text/", "application/json", "application/javascript"]
#: What is known to be streamed by nobody but function URLs and REST APIs.
_URL = ".lambda-url."


class Context(Protocol):
    """What Lambda's own runtime hands to a handler."""

    @property
    def aws_request_id(self) -> str:
        """The invocation's id."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""


@dataclass(frozen=True, slots=True)
class InvocationContext:
    """The context of an invocation of this package's runtime.

    Attributes
    ----------
    aws_request_id : str
    deadline : float
        Seconds since 1970.
    """

    aws_request_id: str
    deadline: float

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""
        return max(int((self.deadline - time.time()) * 1000), 0)


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request.

    Attributes
    ----------
    scope : mapping
        As ASGI has it.
    body : bytes
    streams : bool
        Whether its invoker can stream a reply, if it is set up to.
    """

    scope: Scope
    body: bytes
    streams: bool
    _handler: LambdaHandler

    def whole(self, status: int, headers: Headers, body: bytes) -> dict[str, Any]:
        """Return a reply that is sent whole, as the invoker reads it; one that is too large is refused."""
        reply = self._reply(status, headers, body)
        most = MOST_BYTES_ALB if isinstance(self._handler, ALB) else MOST_BYTES
        if len(json.dumps(reply)) > most:
            text = f"the reply has more than the {most >> 20} MiB that can be sent whole: stream it"
            error = json.dumps({"error": {"message": text, "type": "too_large_error"}}).encode()
            reply = self._reply(502, [(b"content-type", b"application/json")], error)
        return reply

    def _reply(self, status: int, headers: Headers, body: bytes) -> dict[str, Any]:
        listed = [list(pair) for pair in headers]
        return dict(self._handler(cast(Any, {"status": status, "headers": listed, "body": body})))

    def head(self, status: int, headers: Headers) -> bytes:
        """Return what a streamed reply begins with."""
        single: dict[str, str] = {}
        several: dict[str, list[str]] = {}
        cookies: list[str] = []
        for raw, value in headers:
            name, text = raw.decode("latin-1").lower(), value.decode("latin-1")
            if name == "set-cookie":
                cookies.append(text)
            elif name != "content-length":  # the invoker sends the body in chunks
                several.setdefault(name, []).append(text)
        for name, texts in several.items():
            single[name] = ", ".join(texts)
        head: dict[str, Any] = {"statusCode": status, "headers": single}
        if cookies and isinstance(self._handler, APIGateway):
            head["multiValueHeaders"] = {"set-cookie": cookies}
        elif cookies:
            head["cookies"] = cookies
        return json.dumps(head).encode() + _END_OF_HEAD


def request_of(event: Any, context: Context) -> Request:
    """Return the request of an event.

    Parameters
    ----------
    event : mapping
        Of an API, a function URL, or a load balancer.
    context : Context

    Raises
    ------
    UsageError
        It is none of these.
    """
    config: LambdaConfig = {"api_gateway_base_path": "/", "text_mime_types": _TEXT, "exclude_headers": []}
    kinds: tuple[type[LambdaHandler], ...] = (ALB, HTTPGateway, APIGateway)
    given = cast(LambdaContext, context)
    if not isinstance(event, Mapping) or not isinstance(event.get("requestContext"), Mapping):
        raise _no_request()
    for kind in kinds:
        if kind.infer(cast(LambdaEvent, event), given, config):
            break
    else:
        raise _no_request()
    try:
        handler = kind(cast(LambdaEvent, event), given, config)
        scope, body = handler.scope, handler.body
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"the event cannot be read as a request: {type(error).__name__}: {error}") from error
    del scope["aws.event"], scope["aws.context"]
    scope["client"] = (_client(event, scope), 0)
    return Request(scope, body, _streams(event), handler)


def _no_request() -> UsageError:
    return UsageError(
        "the event is no HTTP request: invoke the function by a function URL, API Gateway or a load balancer"
    )


def _client(event: Mapping[str, Any], scope: Mapping[str, Any]) -> str:
    """Return the client's address, as the invoker saw it.

    Behind a load balancer it is the last in X-Forwarded-For; those before it are the client's to invent.
    """
    if "elb" not in event["requestContext"]:
        return str((scope.get("client") or ("",))[0] or "")
    named = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return named[-1].decode("latin-1").rpartition(",")[2].strip() if named else ""


def _streams(event: Mapping[str, Any]) -> bool:
    """Tell whether an event's sender may be able to stream: neither HTTP APIs nor load balancers are."""
    context = event["requestContext"]
    if "elb" in context:
        return False
    return event.get("version") != "2.0" or _URL in str(context.get("domainName", ""))


def scheduled(event: Any) -> bool:
    """Tell whether an event is one of a schedule of Amazon EventBridge."""
    if not isinstance(event, Mapping):
        return False
    return event.get("source") in ("aws.events", "aws.scheduler") and "requestContext" not in event
