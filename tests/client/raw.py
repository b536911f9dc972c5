"""A server that sends exactly the bytes that a test wants, and remembers what it was sent."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

#: What one connection gets: bytes, or a function that talks to it.
Part = bytes | Callable[[socket.socket], None]


class Raw:
    """What was asked of the server."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.requests: list[bytes] = []

    @property
    def heads(self) -> list[str]:
        """The first lines of the requests."""
        return [request.split(b"\r\n", 1)[0].decode() for request in self.requests]


def reply(body: Any, status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    """A whole reply, which ends its connection."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [
        f"HTTP/1.1 {status} -",
        f"content-type: {kind}",
        f"content-length: {len(data)}",
        "connection: close",
    ]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


def streamed(*pieces: bytes, end: bool = True) -> bytes:
    """A reply of chunks, cut off behind them unless it ends."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + chunks + (b"0\r\n\r\n" if end else b"")


def event(kind: str, value: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()


@contextlib.contextmanager
def raw(parts: Sequence[Part]) -> Iterator[Raw]:
    """Answer the connections with these parts, in order, the last one again and again."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Raw(f"http://127.0.0.1:{listening.getsockname()[1]}")

        def serve() -> None:
            number = 0
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                part = parts[min(number, len(parts) - 1)]
                number += 1
                threading.Thread(target=answer, args=(connection, part), daemon=True).start()

        def answer(connection: socket.socket, part: Part) -> None:
            with connection, contextlib.suppress(OSError):
                server.requests.append(request(connection))
                if callable(part):
                    part(connection)
                else:
                    connection.sendall(part)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def request(connection: socket.socket) -> bytes:
    """Read one request, with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (piece := connection.recv(65_536)):
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
    ]
    while len(body) < int(lengths[0] if lengths else 0):
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body
