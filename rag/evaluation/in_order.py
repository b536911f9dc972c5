"""Calls several at a time, whose results come in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_order(call: Callable[[int], T], total: int, parallel: int) -> Iterator[T]:
    """Yield the results of calls, several at a time; after a failure no further call begins.

    Parameters
    ----------
    call : callable
        Called with 0, 1, …
    total : int
        How often.
    parallel : int
        Calls at the same time.

    Examples
    --------
    >>> [*in_order(lambda at: at * at, 4, parallel=2)]
    [0, 1, 4, 9]
    """
    if parallel == 1:
        yield from map(call, range(total))
        return
    with ThreadPoolExecutor(parallel, thread_name_prefix="rag-eval") as pool:
        futures = [pool.submit(call, at) for at in range(total)]
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
