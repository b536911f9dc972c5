"""Taking the steps of iterators in a context of their own, whichever thread or task asks for them."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, Awaitable, Iterator
from typing import TypeVar

T = TypeVar("T")


def steps_in(context: contextvars.Context, steps: Iterator[T]) -> Iterator[T]:
    """Take an iterator's steps in a context; close it at the end.

    Examples
    --------
    >>> name = contextvars.ContextVar("name", default="outside")
    >>> context = contextvars.copy_context()
    >>> context.run(name.set, "inside")                                      # doctest: +ELLIPSIS
    <Token ...>
    >>> list(steps_in(context, (name.get() for _ in range(2))))
    ['inside', 'inside']
    """
    try:
        while True:
            try:
                step = context.run(next, steps)
            except StopIteration:
                return
            yield step
    finally:
        close = getattr(steps, "close", None)  # a generator has it, another iterator need not
        if close is not None:
            context.run(close)


async def asteps_in(context: contextvars.Context, steps: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Take an asynchronous generator's steps in a context; close it at the end."""
    try:
        while True:
            try:
                step = await _in_task(context, anext(steps))
            except StopAsyncIteration:
                return
            yield step
    finally:
        await _in_task(context, steps.aclose(), closing=True)


async def _in_task(context: contextvars.Context, step: Awaitable[T], *, closing: bool = False) -> T:
    """Take a step in a context, to its end: if this task is cancelled so is the step, once.

    A cancelled scope of anyio, as of Starlette, cancels each wait anew. If that reached the step, its own
    clean-up would be cancelled, too, and left to the garbage collector, in a context that is not its own.
    """
    import asyncio  # most questions of the command line need none

    async def awaited() -> T:
        return await step

    task = asyncio.get_running_loop().create_task(awaited(), context=context)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            if cancelled is None and not closing:
                task.cancel()
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen: the cancellation is what is raised
        raise cancelled
    return task.result()
