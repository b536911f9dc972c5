"""Forward requests to the real service and record its replies."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rag.bedrock.runtime.client import region_name
from rag.core.errors import ConfigError
from rag.emulator.recording import (
    BEDROCK_HEADERS,
    HEADERS,
    RecordingFile,
    fault_in,
    is_stream,
    json_of,
    request_row,
)
from rag.emulator.redacting import Redactor, known_secrets
from rag.emulator.signing import SERVICE, signing_name
from rag.emulator.wire import Event, Refusal, Reply, Request

#: Seconds to wait for a reply, and between two events.
TIMEOUT_S = 300

#: Headers of one connection (RFC 9110, 7.6.1) or of a signature: not forwarded.
_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "content-length", "expect", "accept-encoding",
    "authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256",
})  # fmt: skip
_REQUEST_ID = "x-amzn-RequestId"
#: Header names in the emulator's spelling, so that a forwarded header replaces the emulator's.
_NAMED = {name.lower(): name for name in (*HEADERS, _REQUEST_ID, "Date")}


@dataclass
class _Call:
    """A forwarded request, and the secrets that must not be recorded."""

    request: Request
    secrets: set[str]
    began: float = field(default_factory=time.monotonic)

    @property
    def s(self) -> float:
        return round(time.monotonic() - self.began, 4)


class Proxy:
    """Forwards requests, signed with the user's credentials, and records the replies.

    Parameters
    ----------
    path : str or Path
        The recording; see `RecordingFile`.
    region : str, optional
        By default the region of the user's AWS settings.
    upstream : str or mapping, optional
        Where all requests go, or those of each service; by default to the services' endpoints in the
        region. Endpoints from the AWS settings are ignored, because they probably point to this proxy.
    hide : iterable of str
        More texts to remove from the recording (of at least `rag.emulator.redacting.SHORTEST` characters).

    Raises
    ------
    ConfigError
        No credentials or no region are set.

    Examples
    --------
    >>> Emulator(recorder=Proxy("tests/recordings/leave.jsonl"))   # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | Path,
        *,
        region: str | None = None,
        upstream: str | Mapping[str, str] | None = None,
        hide: Iterable[str] = (),
    ) -> None:
        import botocore.session
        from botocore.exceptions import BotoCoreError
        from botocore.httpsession import URLLib3Session
        from botocore.tokens import ScopedEnvTokenProvider

        self._session = botocore.session.get_session()
        try:
            self._region = region_name(region) or self._session.get_config_variable("region")
            self._token = ScopedEnvTokenProvider(self._session).load_token(signing_name=SERVICE)
            self._credentials: Any = None if self._token else self._session.get_credentials()
        except BotoCoreError as error:
            raise ConfigError(f"cannot record: {' '.join(str(error).split())}") from None
        if not self._region:
            raise ConfigError("cannot record: no AWS region is set: give --region, or set AWS_DEFAULT_REGION")
        if self._token is None and self._credentials is None:
            raise ConfigError(
                "cannot record: there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            )
        self._upstream = upstream.rstrip("/") if isinstance(upstream, str) and upstream else None
        self._endpoints = {} if isinstance(upstream, str) else dict(upstream or {})
        self._hidden = frozenset(hide)
        at_once = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ]  # without it, 40 ms pass between head and body
        self._http = URLLib3Session(timeout=TIMEOUT_S, max_pool_connections=64, socket_options=at_once)
        self._file = RecordingFile(path)
        self._streams, self._change = 0, threading.Condition()

    def handle(self, request: Request) -> Reply:
        """Forward a request and record the reply; a stream is recorded at its end."""
        call = _Call(request, known_secrets(request.headers) | self._hidden)
        response = self._send(call)
        headers = _headers(response)
        call.secrets.add(headers.get(_REQUEST_ID, ""))
        if is_stream(headers):
            with self._change:
                self._streams += 1
            return Reply(status=response.status_code, headers=headers, events=self._events(call, response))
        body = self._read(response)
        self._record(call, response, {"body": self._redactor(call).value(json_of(body))})
        return Reply(body, response.status_code, headers)

    def settled(self, timeout_s: float) -> bool:
        """Wait until no stream is under way: a client may leave at its last event, before it is recorded.

        Returns
        -------
        bool
            Whether all are recorded.
        """
        with self._change:
            return self._change.wait_for(lambda: not self._streams, timeout_s)

    def close(self) -> None:
        """Close the recording and the connections."""
        self._http.close()
        self._file.close()

    def _send(self, call: _Call) -> Any:
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        request = call.request
        url = self._endpoint(request.service) + request.path
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        signed = AWSRequest(request.method, url, headers, request.body, stream_output=True)
        try:
            self._sign(call, signed)
            return self._http.send(signed.prepare())
        except BotoCoreError as error:
            raise Refusal("ServiceUnavailableException", f"not forwarded to {url}: {error}", 503) from error

    def _sign(self, call: _Call, request: Any) -> None:
        from botocore.auth import SigV4Auth

        if self._token is not None:
            token = self._token.token
            call.secrets.add(token)
            request.headers["Authorization"] = f"Bearer {token}"
            return
        held = self._credentials.get_frozen_credentials()
        call.secrets |= {held.access_key, held.secret_key, held.token or ""}
        SigV4Auth(held, signing_name(call.request.service), self._region).add_auth(request)

    def _endpoint(self, service: str) -> str:
        if self._upstream:
            return self._upstream
        if service not in self._endpoints:
            from botocore.config import Config

            client = self._session.create_client(
                service, region_name=self._region, config=Config(ignore_configured_endpoint_urls=True)
            )
            self._endpoints[service] = client.meta.endpoint_url
        return self._endpoints[service]

    @staticmethod
    def _read(response: Any) -> bytes:
        from botocore.exceptions import BotoCoreError

        try:
            body: bytes = response.content
        except (BotoCoreError, *_broken()) as error:
            raise Refusal("ServiceUnavailableException", f"the reply was cut: {error}") from error
        return body

    def _events(self, call: _Call, response: Any) -> Iterator[Event]:
        """Yield a stream's events as they arrive, and record them before the stream ends.

        If the client leaves, the events that it received are recorded as a cut stream.
        """
        events: list[dict[str, Any]] = []
        try:
            for kind, name, payload in _messages(response):
                events.append({"s": call.s, kind: name, "payload": payload})
                if kind == "exception":
                    break
                yield name, payload
        except _broken() as error:
            events.append({"s": call.s, "cut": True})
            raise fault_in(events[-1]) from error
        except GeneratorExit:
            events.append({"s": call.s, "cut": True})
            raise
        finally:
            response.raw.close()
            try:
                self._record_stream(call, response, events)
            finally:
                with self._change:
                    self._streams -= 1
                    self._change.notify_all()
        if events and "exception" in events[-1]:
            raise fault_in(events[-1])

    def _record_stream(self, call: _Call, response: Any, events: list[dict[str, Any]]) -> None:
        payloads = iter(
            self._redactor(call).payloads([item["payload"] for item in events if "payload" in item])
        )
        clean = [{**item, "payload": next(payloads)} if "payload" in item else item for item in events]
        self._record(call, response, {"events": clean})

    def _record(self, call: _Call, response: Any, content: dict[str, Any]) -> None:
        redactor = self._redactor(call)
        kept = {
            name: redactor.text(value) for name, value in _headers(response).items()
            if name in HEADERS or name.startswith(BEDROCK_HEADERS)
        }  # fmt: skip
        names = sorted({name.lower() for name in response.headers})
        reply = {"s": call.s, "status": response.status_code, "headers": kept, "names": names, **content}
        self._file.append(request_row(call.request, redactor), reply)

    @staticmethod
    def _redactor(call: _Call) -> Redactor:
        return Redactor(call.secrets)


def _headers(response: Any) -> dict[str, str]:
    named = {name.lower(): value for name, value in response.headers.items()}
    return {_NAMED.get(name, name): value for name, value in named.items() if name not in _HOP}


def _messages(response: Any) -> Iterator[tuple[str, str, Any]]:
    """Decode an event stream incrementally: yield ``"event"`` or ``"exception"``, name and payload."""
    from botocore.eventstream import EventStreamBuffer

    buffer = EventStreamBuffer()
    for data in response.raw.stream():
        buffer.add_data(data)
        for message in buffer:
            payload = json.loads(message.payload or b"{}")
            if message.headers[":message-type"] == "event":
                yield "event", message.headers[":event-type"], payload
            elif ":exception-type" in message.headers:
                yield "exception", message.headers[":exception-type"], payload
            else:  # an error that is not in the service model
                error = {"message": message.headers.get(":error-message", "")}
                yield "exception", message.headers[":error-code"], error


def _broken() -> tuple[type[Exception], ...]:
    """Return the exceptions of a stream that is cut."""
    from botocore.eventstream import ParserError
    from urllib3.exceptions import HTTPError

    return (HTTPError, ParserError, OSError)
