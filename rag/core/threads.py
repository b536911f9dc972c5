"""A blocking iterator, awaited: it runs in a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
_END = object()


@runtime_checkable
class _Closeable(Protocol):
    def close(self) -> Any: ...


async def in_thread(start: Callable[[], Iterator[T]]) -> AsyncGenerator[T, None]:
    """Yield an iterator's items as they come; the event loop waits for none of them.

    Not in the loop's executor: its few threads would all be waiting once a handful of models answer. The
    thread has the caller's context variables. If the caller is cancelled or leaves, the iterator is closed
    at its next item, in its own thread.

    Parameters
    ----------
    start : callable
        Called in the thread; returns the iterator.

    Examples
    --------
    >>> async def collected():
    ...     return [number async for number in in_thread(lambda: iter(range(3)))]
    >>> asyncio.run(collected())
    [0, 1, 2]
    """
    loop, items = asyncio.get_running_loop(), asyncio.Queue[tuple[Any, BaseException | None]]()
    left = threading.Event()

    def hand_over(item: Any, error: BaseException | None = None) -> None:
        try:
            loop.call_soon_threadsafe(items.put_nowait, (item, error))
        except RuntimeError:  # the loop is closed: nobody waits any more
            left.set()

    def work() -> None:
        steps: Iterator[T] | None = None
        try:
            steps = start()
            for item in steps:
                if left.is_set():
                    break
                hand_over(item)
                if left.is_set():
                    break
        except BaseException as error:
            hand_over(_END, error)
        else:
            hand_over(_END)
        finally:
            if isinstance(steps, _Closeable):
                steps.close()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="rag-stream", daemon=True).start()
    try:
        while True:
            item, error = await items.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        left.set()
