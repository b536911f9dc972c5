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
    most_bytes : int
        Of a request's body.
    most_requests : int
        At once; more get 429.
    """

    def __init__(self, app: App, *, most_bytes: int = 1 << 20, most_requests: int = 1000) -> None:
        self._app, self._most_bytes, self._most_requests = app, most_bytes, most_requests
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
                    *message.get("headers", ()),
                    *(each for each in HEADERS if each[0] not in there),
                ]
            await send(message)

        if self.under_way >= self._most_requests:
            await refuse(sending, 429, "the service is busy", retry_after_s=1)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most_bytes:
            await refuse(sending, 413, f"the body has more than {self._most_bytes:,} bytes")
            return
        parts: list[MutableMapping[str, Any]] = []
        size, more = 0, True
        while more:
            message = await receive()
            parts.append(message)
            size += len(message.get("body", b""))
            more = message["type"] == "http.request" and bool(message.get("more_body"))
            if size > self._most_bytes:
                await refuse(sending, 413, f"the body has more than {self._most_bytes:,} bytes")
                return

        async def receiving() -> MutableMapping[str, Any]:
            return parts.pop(0) if parts else await receive()

        self.under_way += 1
        try:
            await self._app(scope, receiving, sending)
        finally:
            self.under_way -= 1
