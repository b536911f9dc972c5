"""A small HTTP/1.1 server: `http.server` takes longer to parse headers than a whole request takes here."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from http.client import responses
from typing import IO, cast

from rag.emulator import framing
from rag.emulator.behaviour import Cut, Hang
from rag.emulator.wire import Refusal, Reply

#: Largest body of a request, in bytes (Bedrock: 20 MB of images, 25 MB in all).
MAX_BODY = 32 << 20
_MAX_LINES = 200


@dataclass(frozen=True, slots=True)
class Incoming:
    """A raw request: method, path with query, headers (names in lower case), body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Listener(socketserver.ThreadingTCPServer):
    """A server with one thread per connection; the threads end with the process.

    Parameters
    ----------
    address : (str, int)
        Port 0 takes a free one.
    handle : callable
        Answers a request. It may raise `Cut` to end the connection and `Hang` to leave the client
        without an answer.
    on_malformed : callable, optional
        Receives a line that describes a request which is not HTTP.
    bytes_per_second : callable, optional
        Returns the rate at which to send, or None for no limit; called before every write.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(
        self,
        address: tuple[str, int],
        handle: Callable[[Incoming], Reply],
        *,
        on_malformed: Callable[[str], None] = lambda problem: None,
        bytes_per_second: Callable[[], float | None] = lambda: None,
    ) -> None:
        super().__init__(address, Connection)
        self.handle, self.on_malformed, self.bytes_per_second = handle, on_malformed, bytes_per_second
        self.closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def opened(self, connection: socket.socket) -> None:
        """Register an open connection."""
        with self._lock:
            self._open.add(connection)

    def ended(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.discard(connection)

    def close(self) -> None:
        """Stop listening and end all connections."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print a failure of the server; a client that leaves never causes one."""
        traceback.print_exc()


class Connection(socketserver.BaseRequestHandler):
    """The connection of one client."""

    server: Listener
    request: socket.socket

    def handle(self) -> None:
        """Answer requests in turn until either side ends the connection."""
        self.server.opened(self.request)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with self.request.makefile("rb", 1 << 16) as stream:
                while self._answer(cast(IO[bytes], stream)):
                    pass
        except (OSError, Cut):
            pass  # the client left, or the reply is a cut connection
        except Hang:
            self._hang()
        finally:
            self.server.ended(self.request)

    def _answer(self, stream: IO[bytes]) -> bool:
        """Answer one request; return whether the connection stays open."""
        try:
            incoming = read(stream)
        except ValueError as error:
            self.server.on_malformed(f"not HTTP: {error}")
            self._send(_head(400, {"Connection": "close"}, 0))
            return False
        if incoming is None:
            return False
        reply = self.server.handle(incoming)
        if reply.events is None:
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            headers = {"Content-Type": "application/json", **reply.headers}
            self._send(_head(reply.status, headers, len(body)) + body)
        else:
            self._stream(reply)
        return incoming.headers.get("connection", "").lower() != "close"

    def _stream(self, reply: Reply) -> None:
        """Send every event as one chunk, as soon as it exists."""
        headers = {"Content-Type": "application/vnd.amazon.eventstream", **reply.headers}
        self._send(_head(reply.status, headers, None))
        try:
            for kind, payload in reply.events or ():
                self._send(_chunk(framing.event(kind, payload)))
        except Refusal as refusal:
            self._send(_chunk(framing.exception(refusal.code, refusal.message)))
        except Cut:
            half = framing.event("contentBlockDelta", {"delta": {"text": ""}, "contentBlockIndex": 0})
            self._send(_chunk(half[: len(half) // 2]))
            raise
        self._send(b"0\r\n\r\n")

    def _send(self, data: bytes) -> None:
        rate = self.server.bytes_per_second()
        if not rate:
            self.request.sendall(data)
            return
        step = max(1, int(rate / 50))
        for at in range(0, len(data), step):
            part = data[at : at + step]
            self.request.sendall(part)
            time.sleep(len(part) / rate)

    def _hang(self) -> None:
        """Send nothing until the client leaves or the server closes."""
        self.request.settimeout(0.1)
        while not self.server.closing.is_set():
            try:
                if not self.request.recv(1 << 16):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


def read(stream: IO[bytes]) -> Incoming | None:
    """Read a request; return None at the end of the connection.

    Raises
    ------
    ValueError
        The bytes are not HTTP/1.x, or exceed a limit.
    """
    line = stream.readline(1 << 16)
    if not line:
        return None
    words = line.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise ValueError(f"the request line {line[:80]!r}")
    headers: dict[str, str] = {}
    for _ in range(_MAX_LINES):
        line = stream.readline(1 << 16)
        if line in (b"\r\n", b"\n"):
            break
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise ValueError(f"the header {line[:80]!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    else:
        raise ValueError(f"more than {_MAX_LINES} headers")
    if "transfer-encoding" in headers:
        return Incoming(words[0], words[1], headers, _chunks(stream))
    size = int(headers.get("content-length") or 0)
    if not 0 <= size <= MAX_BODY:
        raise ValueError(f"a body of {size} bytes")
    body = stream.read(size)
    return Incoming(words[0], words[1], headers, body) if len(body) == size else None


def _chunks(stream: IO[bytes]) -> bytes:
    body = bytearray()
    while size := int(stream.readline(64).partition(b";")[0], 16):
        if not 0 < size <= MAX_BODY - len(body):
            raise ValueError(f"a body of more than {MAX_BODY} bytes")
        body += stream.read(size)
        stream.readline(64)
    stream.readline(64)
    return bytes(body)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(status: int, headers: dict[str, str], size: int | None) -> bytes:
    """Return the status line and headers; a body without a size is sent in chunks."""
    length = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
    lines = [f"HTTP/1.1 {status} {responses.get(status, 'Error')}", length]
    lines += [f"{name}: {_header(value)}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _header(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")
