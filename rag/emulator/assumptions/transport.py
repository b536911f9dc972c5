"""Assumptions on HTTP: statuses, headers, and the codes of errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rag.emulator.assumptions.assumption import Assumption, each
from rag.emulator.assumptions.exchange import Exchange

_MODEL, _SEEN = "botocore 1.44.5's service models", "AWS SDKs and published replies"
#: Wrong requests: the step, status and code, and what is wrong.
REFUSALS: Mapping[str, tuple[int, str, str]] = {
    "wrong-model": (400, "ValidationException", "a model id that is none"),
    "wrong-stream": (400, "ValidationException", "the same of a stream, answered before it begins"),
    "wrong-blank": (400, "ValidationException", "a blank text"),
    "wrong-temperature": (400, "ValidationException", "a temperature of 2"),
    "wrong-roles": (400, "ValidationException", "two messages of the user in a row"),
    "wrong-cache-points": (400, "ValidationException", "five cache points"),
    "wrong-tools": (400, "ValidationException", "a tool result without toolConfig"),
    "wrong-long": (400, "ValidationException", "a text above Titan's limit"),
    "wrong-dimensions": (400, "ValidationException", "300 dimensions of Titan"),
    "wrong-profile": (404, "ResourceNotFoundException", "an inference profile that does not exist"),
}  # fmt: skip


def _status(exchange: Exchange) -> Iterator[str]:
    if exchange.status != 200:
        yield f"{exchange.operation} answers with {exchange.status}"


def _request_id(exchange: Exchange) -> Iterator[str]:
    if "x-amzn-requestid" not in exchange.names:
        yield f"{exchange.operation} has no header x-amzn-RequestId"


def _date(exchange: Exchange) -> Iterator[str]:
    if "date" not in exchange.names:
        yield f"{exchange.operation} has no header Date"


def _content_type(exchange: Exchange) -> Iterator[str]:
    wanted = "application/json" if exchange.events is None else "application/vnd.amazon.eventstream"
    found = exchange.headers.get("content-type", "none")
    if not found.startswith(wanted):
        yield f"{exchange.operation} has the content type {found}, not {wanted}"


def _error_header(exchange: Exchange) -> Iterator[str]:
    if not exchange.code:
        others = ", ".join(sorted(name for name in exchange.names if "error" in name)) or "none"
        yield f"{exchange.step}: no header x-amzn-ErrorType (headers with 'error': {others})"


def _error_body(exchange: Exchange) -> Iterator[str]:
    body = exchange.body
    if not isinstance(body, Mapping) or not isinstance(body.get("message"), str):
        names = ", ".join(body) if isinstance(body, Mapping) else "no object"
        yield f"{exchange.step}: the body has no text named message ({names})"


def _refusal(step: str) -> Assumption:
    status, code, what = REFUSALS[step]

    def differs(exchange: Exchange) -> Iterator[str]:
        if exchange.succeeded:
            yield f"it is accepted, with {exchange.status}"
            return
        if exchange.status != status:
            yield f"the status is {exchange.status}, not {status}"
        if exchange.code and exchange.code != code:
            yield f"the code is {exchange.code}, not {code}"

    text = f"{what[0].upper()}{what[1:]} is refused with {status} {code}."
    name = f"refused.{step.removeprefix('wrong-')}"
    return Assumption(name, text, _MODEL, lambda exchange: exchange.step == step, each(differs))


def _succeeded(exchange: Exchange) -> bool:
    return exchange.succeeded


def _failed(exchange: Exchange) -> bool:
    return exchange.status >= 400


def _any(exchange: Exchange) -> bool:
    return True


TRANSPORT: tuple[Assumption, ...] = (
    Assumption("http.status", "Calls that succeed are answered with 200.", _MODEL, _succeeded, each(_status)),
    Assumption("http.request-id", "Every reply has the header x-amzn-RequestId.", _SEEN, _any,
               each(_request_id)),
    Assumption("http.date", "Every reply has the header Date.", "RFC 9110, 6.6.1", _any, each(_date)),
    Assumption("http.content-type", "Replies are JSON, streams are event streams.", _MODEL, _succeeded,
               each(_content_type)),
    Assumption("error.header", "The header x-amzn-ErrorType names the code of an error.",
               "restJson1 protocol; botocore's parser", _failed, each(_error_header)),
    Assumption("error.body", "An error's body has its text as message.", "restJson1 protocol", _failed,
               each(_error_body)),
    *map(_refusal, REFUSALS),
)  # fmt: skip
