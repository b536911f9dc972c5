"""One question on many threads at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Enough that a stage that keeps a question's state in itself mixes two up on two processors.
THREADS = 16


def at_once(function: Callable[[int], T], threads: int = THREADS) -> list[T]:
    """Call a function on many threads, none of which starts before all are there.

    Parameters
    ----------
    function : callable
        Is given the thread's number, from 0.
    threads : int

    Returns
    -------
    list
        What each thread's call returned, in order of their numbers; the first error is raised.
    """
    start = threading.Barrier(threads)

    def run(number: int) -> T:
        start.wait(timeout=60)
        return function(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))
