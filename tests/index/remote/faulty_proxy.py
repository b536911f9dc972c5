"""A proxy before an S3 server that breaks, stalls, lies and loses, by a random choice that a seed repeats."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

#: What may happen to a request: before it reaches the server, or to its reply.
REFUSE, SLOW_DOWN, BREAK_SENDING, ALTER_SENDING = (
    "refuse", "503 SlowDown", "break while sending", "alter what is sent",
)  # fmt: skip
LOSE, FAIL_AFTER, BREAK, STALL, SHORT, WRONG = (
    "lose the reply", "500 after success", "break off", "stall", "truncate", "alter a byte",
)  # fmt: skip
FAULTS = (REFUSE, SLOW_DOWN, BREAK_SENDING, ALTER_SENDING, LOSE, FAIL_AFTER, BREAK, STALL, SHORT, WRONG)
_SLOW = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
)
_ERROR = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We failed.</Message></Error>"
_HOP = ("connection", "transfer-encoding", "keep-alive")


class FaultyProxy:
    """A context; `url` takes the server's place.

    Parameters
    ----------
    url : str
        The server's.
    rate : float
        The share of requests that meet a fault.
    seed : int
    faults : sequence of str
    stall_s : float
        How long a stalled reply takes: longer than the client's timeout.
    """

    def __init__(
        self, url: str, rate: float = 0.0, seed: int = 0, faults: Sequence[str] = FAULTS, stall_s: float = 3.0
    ) -> None:
        self.server, self.rate, self.faults, self.stall_s = urlsplit(url), rate, faults, stall_s
        self.met: Counter[str] = Counter()
        self.requests = 0
        #: Faults of the next requests, by a part of their first line; None for no fault.
        self.planned: list[tuple[str, str]] = []
        self.pause_s = 0.0
        self._strike: tuple[int, Callable[[], None]] | None = None
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._listener.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def strike(self, after: int, kill: Callable[[], None]) -> None:
        """Call `kill` after so many more requests: before the next reaches the server, or up to 50 ms later."""
        with self._lock:
            self._strike = (self.requests + after, kill)

    def spare(self) -> None:
        """Forget a strike that was not due."""
        with self._lock:
            self._strike = None

    def choose(self, line: str) -> tuple[str, float]:
        """Return the fault of a request, or an empty text, and a share from 0 to 1 of where it strikes."""
        with self._lock:
            if self._strike is not None and self.requests >= self._strike[0]:
                threading.Timer(
                    self._random.choice((0.0, 0.05 * self._random.random())), self._strike[1]
                ).start()
                self._strike = None
            self.requests += 1
            fault, share = "", self._random.random()
            for number, (part, planned) in enumerate(self.planned):
                if part in line:
                    fault = planned
                    del self.planned[number]
                    break
            else:
                if self._random.random() < self.rate:
                    fault = self._random.choice(self.faults)
            if fault:
                self.met[fault] += 1
            return fault, share


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        fault, share = self.owner.choose(f"{self.command} {self.path}")
        time.sleep(self.owner.pause_s)
        body = self._body()
        if fault == SLOW_DOWN:
            self._send(503, [], _SLOW)
            return
        if fault == REFUSE:
            self._reset()
            return
        if fault == BREAK_SENDING:
            self._cut_request(body, share)
            self._reset()
            return
        if fault == ALTER_SENDING and body:
            at = int(share * len(body))
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        status, headers, reply = self._forward(body)
        if fault == LOSE:
            self._reset()
        elif fault == FAIL_AFTER:
            self._send(500, [], _ERROR)
        elif fault == STALL:
            time.sleep(self.owner.stall_s)
            self._reset()
        elif fault in (BREAK, SHORT) and reply:
            self._head(status, headers)
            self.wfile.write(reply[: int(share * len(reply))])
            self.wfile.flush()
            if fault == BREAK:
                self._reset()
            else:  # an orderly end before Content-Length
                self._end()
        elif fault == WRONG and reply:
            at = int(share * len(reply))
            self._send(status, headers, reply[:at] + bytes([reply[at] ^ 1]) + reply[at + 1 :])
        else:
            self._send(status, headers, reply)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # do_GET, do_PUT, …
            return self._answer
        raise AttributeError(name)

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b"\n", b""):
                pass
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _request_headers(self, body: bytes) -> dict[str, str]:
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in (*_HOP, "expect")
        }
        return {**headers, "Content-Length": str(len(body)), "Connection": "close"}

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        server = self.owner.server
        connection = http.client.HTTPConnection(str(server.hostname), server.port, timeout=60)
        try:
            connection.request(self.command, self.path, body, self._request_headers(body))
            reply = connection.getresponse()
            data = reply.read()
            headers = [(name, value) for name, value in reply.getheaders() if name.lower() not in _HOP]
            return reply.status, headers, data
        finally:
            connection.close()

    def _cut_request(self, body: bytes, share: float) -> None:
        """Send a part of the request to the server, and break off."""
        server = self.owner.server
        with socket.create_connection((str(server.hostname), server.port), timeout=10) as connection:
            head = "".join(f"{name}: {value}\r\n" for name, value in self._request_headers(body).items())
            connection.sendall(f"{self.command} {self.path} HTTP/1.1\r\n{head}\r\n".encode())
            connection.sendall(body[: int(share * len(body))])

    def _head(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def _send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        if not any(name.lower() == "content-length" for name, _ in headers) and status not in (204, 304):
            headers = [*headers, ("Content-Length", str(len(body)))]
        self._head(status, headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        """Break the connection as a network does."""
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._end()

    def _end(self) -> None:
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError, http.client.HTTPException):
            self.close_connection = True
