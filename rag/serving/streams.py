"""Events of a question as a whole answer, or as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

import anyio
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Send

from rag.core.answers import Answer, Event, ToolUse
from rag.core.citations import Citation
from rag.core.passages import Context
from rag.serving.replies import said_of

_LOG = logging.getLogger("rag.serving")


class EventStream(StreamingResponse):
    """Server-sent events, closed by the task that sends them when the client goes away.

    Starlette leaves them to the garbage collector, which closes them in another task: the model's reply
    would go on until then, and context variables of the first task cannot be reset in the second.

    Parameters
    ----------
    events : AsyncGenerator of str
    """

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._events = events

    async def stream_response(self, send: Send) -> None:
        """Send the events."""
        try:
            await super().stream_response(send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._events.aclose()


async def whole(events: AsyncGenerator[Event, None], request: Request) -> Answer | None:
    """Return the answer of events; None if the client goes away meanwhile, which ends the model's reply."""
    answering = asyncio.create_task(_last(events))
    while not answering.done():
        await asyncio.wait([answering], timeout=0.5)
        if not answering.done() and await request.is_disconnected():
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answering
            return None
    return answering.result()


async def _last(events: AsyncGenerator[Event, None]) -> Answer:
    answer = None
    async with contextlib.aclosing(events):
        async for event in events:
            answer = event.value
    assert isinstance(answer, Answer)
    return answer


async def sent_events(events: AsyncGenerator[Event, None]) -> AsyncGenerator[str, None]:
    """Yield events as server-sent ones; a client that goes away closes them, and the model's reply."""
    try:
        async with contextlib.aclosing(events):
            async for event in events:
                yield f"event: {event.kind}\ndata: {json.dumps(_plain(event.value), default=str)}\n\n"
    except Exception as error:
        status, said = said_of(error)
        if status >= 500:
            _LOG.error("the stream of request %s failed", said["id"], exc_info=error)
        yield f"event: error\ndata: {json.dumps({**said, 'status': status})}\n\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Answer | Citation | Context):
        return value.to_dict()
    if isinstance(value, ToolUse):
        return asdict(value)
    return value if isinstance(value, str | int | float | list | dict | None) else str(value)
