"""One request through an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from rag.deployment.invocation import Headers
from rag.serving.guard import App

Message = MutableMapping[str, Any]


class Exchange:
    """A request, and what takes the reply as it comes.

    Parameters
    ----------
    scope : mapping
    body : bytes
        The request's.
    head : callable
        Takes the reply's status and headers.
    piece : callable
        Takes each piece of its body. An `OSError` of either means that the client is gone: the application
        is told, and what it sends after that is dropped.

    Attributes
    ----------
    begun : bool
        Whether the reply has begun.
    gone : bool
        Whether the client is gone.
    """

    def __init__(
        self,
        scope: Message,
        body: bytes,
        head: Callable[[int, Headers], Awaitable[None]],
        piece: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._scope, self._head, self._piece = scope, head, piece
        self._body: bytes | None = body
        self._over = asyncio.Event()
        self.begun = self.gone = False

    async def run(self, app: App) -> None:
        """Let the application answer; what it raises comes through."""
        await app(self._scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.gone:
            return
        try:
            if message["type"] == "http.response.start":
                self.begun = True
                await self._head(int(message["status"]), message.get("headers", []))
            elif message["type"] == "http.response.body":
                if message.get("body"):
                    await self._piece(message["body"])
                if not message.get("more_body"):
                    self._over.set()
        except OSError:
            self.gone = True
            self._over.set()


@contextlib.asynccontextmanager
async def started(app: App) -> AsyncIterator[None]:
    """Start an application, and end it afterwards (ASGI's lifespan).

    Raises
    ------
    RuntimeError
        It does not start.
    """
    told: asyncio.Queue[Message] = asyncio.Queue()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    running = asyncio.create_task(_lifespan(app, told.get, heard.put))
    await told.put({"type": "lifespan.startup"})
    if (message := await heard.get())["type"] != "lifespan.startup.complete":
        raise RuntimeError(f"the service does not start: {message.get('message', '')}")
    try:
        yield
    finally:
        await told.put({"type": "lifespan.shutdown"})
        await running


async def _lifespan(
    app: App, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    try:
        await app(scope, receive, send)
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": str(error)})
