"""Events of a question as a whole answer, or as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict, replace
from typing import Any

import anyio
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Message, Send

from rag.core.answers import Answer, Event, ToolUse
from rag.core.citations import Citation
from rag.core.passages import Context
from rag.serving.replies import said_of

_LOG = logging.getLogger("rag.serving")
#: Seconds without an event after which a comment is sent. Load balancers close connections that are silent
#: for longer: an Application Load Balancer after 60 s by default
#: (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html).
BEAT_S = 15.0
#: In the place of a context that is not there.
_NOTHING = Context((), 0, 0, "chars")


class EventStream(StreamingResponse):
    """A reply of server-sent events, of which nothing waits for its first event or is taken for dead.

    A comment, which clients pass over, says at once that the request was accepted, and another that it is
    still at work, whenever there was nothing to send for a while. When the client goes away, the task that
    sends the events closes them. Starlette leaves them to the garbage collector, which closes them in another
    task: the model's reply would go on until then, and context variables of the first task cannot be reset in
    the second.

    Parameters
    ----------
    events : asynchronous generator of str
        Each a whole event, with the blank line behind it.
    beat_s : float
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str, None], beat_s: float = BEAT_S) -> None:
        super().__init__(events, headers={"x-accel-buffering": "no"})  # nginx would collect the events
        self._events, self._beat_s, self._sent = events, beat_s, 0.0

    async def stream_response(self, send: Send) -> None:
        """Send the events."""

        async def noted(message: Message) -> None:
            self._sent = time.monotonic()
            await send(message)
            if message["type"] == "http.response.start":
                await send(_comment("accepted"))

        beating = asyncio.create_task(self._beat(send))
        try:
            await super().stream_response(noted)
        finally:
            with anyio.CancelScope(shield=True):
                beating.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await beating
                await self._events.aclose()

    async def _beat(self, send: Send) -> None:
        while True:
            silent = time.monotonic() - self._sent if self._sent else 0.0
            if silent >= self._beat_s:
                self._sent, silent = time.monotonic(), 0.0
                await send(_comment("working"))
            await asyncio.sleep(self._beat_s - silent)


def _comment(text: str) -> Message:
    return {"type": "http.response.body", "body": f": {text}\n\n".encode(), "more_body": True}


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
    values = _Values()
    try:
        async with contextlib.aclosing(events):
            async for event in events:
                yield f"event: {event.kind}\ndata: {values.json(event.value)}\n\n"
    except Exception as error:
        status, said = said_of(error)
        if status >= 500:
            _LOG.error("the stream of request %s failed", said["id"], exc_info=error)
        yield f"event: error\ndata: {json.dumps({**said, 'status': status})}\n\n"


class _Values:
    """Makes JSON of a stream's values; of the context, which the answer has again, once."""

    def __init__(self) -> None:
        self._context, self._text = _NOTHING, ""

    def json(self, value: Any) -> str:
        """Return a value as JSON, on one line."""
        if isinstance(value, Answer) and value.context is self._context:
            rest = replace(value, context=_NOTHING).to_dict()
            del rest["context"]
            return f'{{"context": {self._text}, {json.dumps(rest, default=str)[1:]}'
        text = json.dumps(_plain(value), default=str)
        if isinstance(value, Context):
            self._context, self._text = value, text
        return text


def _plain(value: Any) -> Any:
    if isinstance(value, Answer | Citation | Context):
        return value.to_dict()
    if isinstance(value, ToolUse):
        return asdict(value)
    return value if isinstance(value, str | int | float | list | dict | None) else str(value)
