"""Bounds around the service, plain ASGI: sizes of bodies, requests at once, and headers of every reply."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from rag.serving.guard import App, Receive, Scope, Send, refuse

#: What a page of the service may load: what it serves itself, and nothing else.
POLICY = b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
#: Headers of every reply: nothing is cached, sniffed, framed or told to other sites.
HEADERS = (
    (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"), (b"content-security-policy", POLICY),
    (b"cross-origin-opener-policy", b"same-origin"), (b"permissions-policy", b"camera=(), microphone=()"),
)  # fmt: skip


class Bounds:
    """An ASGI application with bounds.

    Parameters
    ----------
    app : ASGI application
    most_requests : int
        At once; more get 429.
    hosts : frozenset of str
        Names of this server that a request may be for; empty for any.
    """

    def __init__(self, app: App, *, most_requests: int = 1000, hosts: frozenset[str] = frozenset()) -> None:
        self._app, self._most_requests, self._hosts = app, most_requests, hosts
        self.under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, within the bounds."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message.get("headers", ())}
                message["headers"] = [
                    *message.get("headers", ()), *(each for each in HEADERS if each[0] not in there)
                ]  # fmt: skip
            await send(message)

        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").rsplit(":", 1)[0]
        if self._hosts and host not in self._hosts:
            await refuse(sending, 421, "this service has another name")
            return
        if self.under_way >= self._most_requests:
            await refuse(sending, 429, "the service is busy", retry_after_s=1)
            return
        self.under_way += 1
        try:
            await self._app(scope, receive, sending)
        finally:
            self.under_way -= 1


class BoundedBody:
    """An ASGI application whose requests' bodies are read before it sees them, up to a size.

    It stands behind the guard: a body of somebody who may not call is not read.

    Parameters
    ----------
    app : ASGI application
    most_bytes : int
    """

    def __init__(self, app: App, most_bytes: int = 1 << 20) -> None:
        self._app, self._most_bytes = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        size = int(length) if length.isdigit() else self._most_bytes + 1
        parts: list[MutableMapping[str, Any]] = []
        more, seen = size <= self._most_bytes, 0
        while more:
            message = await receive()
            parts.append(message)
            seen += len(message.get("body", b""))
            more = message["type"] == "http.request" and bool(message.get("more_body"))
            more = more and seen <= self._most_bytes
        if max(size, seen) > self._most_bytes:
            await refuse(send, 413, f"the body has more than {self._most_bytes:,} bytes")
            return

        async def receiving() -> MutableMapping[str, Any]:
            return parts.pop(0) if parts else await receive()

        await self._app(scope, receiving, send)
