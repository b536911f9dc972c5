"""The Lambda Runtime API, as a custom runtime speaks it (2018-06-01).

Paths, headers and errors: Lambda Developer Guide, "Using the Lambda runtime API" and "Building a custom
runtime" (read November 2026). A streamed reply goes in chunks with the header
``Lambda-Runtime-Function-Response-Mode: streaming``; an error in the middle goes in its trailers, its body as
base64.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag.core.errors import RagError

_BASE = "/2018-06-01/runtime"
_TYPE, _BODY = "Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"


class RuntimeApiError(RagError):
    """The Runtime API refused a request, or its connection broke."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """An invocation to answer.

    Attributes
    ----------
    id : str
    event : Any
        The invoker's JSON.
    deadline : float
        When Lambda ends it, in seconds since 1970.
    trace : str
        The header of AWS X-Ray; empty without.
    """

    id: str
    event: Any
    deadline: float
    trace: str = ""


def error_body(error: BaseException, text: str) -> dict[str, Any]:
    """Return an error as Lambda records it, without the traceback, which is in the log."""
    return {"errorMessage": text, "errorType": type(error).__name__, "stackTrace": []}


class RuntimeApi:
    """A client of the Runtime API.

    Parameters
    ----------
    address : str
        ``host:port``, as in ``AWS_LAMBDA_RUNTIME_API``.

    Examples
    --------
    >>> invocation = RuntimeApi("127.0.0.1:9001").next()                               # doctest: +SKIP
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._waiting = http.client.HTTPConnection(address)
        self._lock = threading.Lock()
        self.closed = False

    def next(self) -> Invocation | None:
        """Wait for an invocation; None once `close` was called.

        Raises
        ------
        RuntimeApiError
            There is no Runtime API at the address, or it refused.
        """
        try:
            reply, body = self._ask(self._waiting, "GET", f"{_BASE}/invocation/next")
        except (OSError, http.client.HTTPException) as error:
            if self.closed:
                return None
            raise RuntimeApiError(
                f"the Lambda Runtime API at {self._address} does not answer: {error}"
            ) from None
        headers = reply.headers
        return Invocation(
            headers.get("Lambda-Runtime-Aws-Request-Id", ""),
            json.loads(body),
            int(headers.get("Lambda-Runtime-Deadline-Ms", "0")) / 1000,
            headers.get("Lambda-Runtime-Trace-Id", ""),
        )

    def close(self) -> None:
        """Let a `next` that waits return None."""
        self.closed = True
        with self._lock, contextlib.suppress(OSError):
            if self._waiting.sock is not None:
                self._waiting.sock.shutdown(socket.SHUT_RDWR)

    def respond(self, id: str, reply: Any) -> None:
        """Send a whole reply."""
        self._post(f"{_BASE}/invocation/{id}/response", json.dumps(reply).encode())

    def fail(self, id: str, error: Mapping[str, Any]) -> None:
        """Report that an invocation failed."""
        self._post(f"{_BASE}/invocation/{id}/error", json.dumps(error).encode(), str(error["errorType"]))

    def fail_init(self, error: Mapping[str, Any]) -> None:
        """Report that the function cannot be started."""
        self._post(f"{_BASE}/init/error", json.dumps(error).encode(), str(error["errorType"]))

    def stream(self, id: str, content_type: str) -> ResponseStream:
        """Begin a streamed reply."""
        return ResponseStream(self._address, f"{_BASE}/invocation/{id}/response", content_type)

    def _post(self, path: str, body: bytes, error_type: str = "") -> None:
        headers = {"Content-Type": "application/json"}
        if error_type:
            headers[_TYPE] = f"Runtime.{error_type}"
        connection = http.client.HTTPConnection(self._address)
        try:
            self._ask(connection, "POST", path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeApiError(f"the Lambda Runtime API does not take a reply: {error}") from None
        finally:
            connection.close()

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        content = reply.read()
        if reply.status >= 300:
            text = content[:300].decode("utf-8", "replace")
            raise RuntimeApiError(f"the Lambda Runtime API refused {path}: {reply.status} {text}")
        return reply, content


class ResponseStream:
    """A reply that is sent piece by piece, over a connection of its own.

    Parameters
    ----------
    address, path, content_type : str
    """

    def __init__(self, address: str, path: str, content_type: str) -> None:
        self._path = path
        self._connection = http.client.HTTPConnection(address)
        self._connection.putrequest("POST", path)
        for name, value in (
            ("Lambda-Runtime-Function-Response-Mode", "streaming"), ("Transfer-Encoding", "chunked"),
            ("Content-Type", content_type), ("Trailer", f"{_TYPE}, {_BODY}"), ("Connection", "close"),
        ):  # fmt: skip
            self._connection.putheader(name, value)
        self._connection.endheaders()

    def write(self, piece: bytes) -> None:
        """Send a piece.

        Raises
        ------
        OSError
            Nobody takes it any more.
        """
        if piece:  # an empty chunk would end the reply
            self._connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self) -> None:
        """End the reply.

        Raises
        ------
        RuntimeApiError
            It was not taken.
        """
        self._end(b"")

    def fail(self, error: Mapping[str, Any]) -> None:
        """End the reply by an error."""
        body = base64.b64encode(json.dumps(error).encode())
        kind = f"Runtime.{error['errorType']}".encode()
        self._end(b"%b: %b\r\n%b: %b\r\n" % (_TYPE.encode(), kind, _BODY.encode(), body))

    def _end(self, trailers: bytes) -> None:
        try:
            self._connection.send(b"0\r\n%b\r\n" % trailers)
            reply = self._connection.getresponse()
            content = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeApiError(f"the Lambda Runtime API does not take a reply: {error}") from None
        finally:
            self._connection.close()
        if reply.status >= 300:
            text = content[:300].decode("utf-8", "replace")
            raise RuntimeApiError(f"the Lambda Runtime API refused {self._path}: {reply.status} {text}")

    def abandon(self) -> None:
        """Close the connection of a reply that nobody takes."""
        self._connection.close()
