"""The moment by which a request must be answered, where the platform ends it: on AWS Lambda, for one.

Whoever runs the application sets `DEADLINE` before it hands a request over. What waits for a model or a
search then ends in time for an error that says so; without a deadline nothing is limited.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextvars import ContextVar
from typing import TypeVar

from rag.core.errors import RagError

T = TypeVar("T")
#: Of the request under way: a value of ``time.monotonic()``, or None for no limit.
DEADLINE: ContextVar[float | None] = ContextVar("rag_serving_deadline", default=None)


class DeadlineError(RagError):
    """The time for a request ran out before its answer was complete."""


async def in_time(waiting: Awaitable[T]) -> T:
    """Wait for something until the request's deadline.

    Raises
    ------
    DeadlineError
        The deadline came first; what was waited for is cancelled.

    Examples
    --------
    >>> asyncio.run(in_time(asyncio.sleep(0, "done")))
    'done'
    """
    deadline = DEADLINE.get()
    left_s = None if deadline is None else max(deadline - time.monotonic(), 0.0)
    try:
        async with asyncio.timeout(left_s) as limit:
            return await waiting
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineError(
            "the time of this service for an answer ran out: ask for less, or raise its timeout"
        ) from error


async def each_in_time(events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield what a generator yields, each before the request's deadline.

    Raises
    ------
    DeadlineError
        The deadline came first; the generator's own wait is cancelled.
    """
    if DEADLINE.get() is None:
        async for event in events:
            yield event
        return
    while True:
        try:
            event = await in_time(anext(events))
        except StopAsyncIteration:
            return
        yield event
