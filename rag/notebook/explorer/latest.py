"""Slow work beside the kernel's main thread; of what waits in a lane only the latest is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Takes the steps of iterators in threads, one per lane.

    What is submitted to a lane replaces what waits in it, and ends what runs in it at its next step: the
    steps of a search that nobody waits for any more are not taken.

    Parameters
    ----------
    each : callable
        Called with each step, in the lane's thread.
    """

    def __init__(self, each: Callable[[T], None]) -> None:
        self._each = each
        self._lock = threading.Lock()
        self._waiting: dict[str, Callable[[], Iterator[T]]] = {}
        self._threads: dict[str, threading.Thread] = {}

    def submit(self, lane: str, steps: Callable[[], Iterator[T]]) -> None:
        """Take an iterator's steps when the lane is free; return at once."""
        with self._lock:
            self._waiting[lane] = steps
            if lane not in self._threads:
                thread = threading.Thread(target=self._work, args=(lane,), name=f"rag-{lane}", daemon=True)
                self._threads[lane] = thread
                thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all lanes are empty."""
        for thread in [*self._threads.values()]:
            thread.join(timeout)

    def _work(self, lane: str) -> None:
        while True:
            with self._lock:
                steps = self._waiting.pop(lane, None)
                if steps is None:
                    del self._threads[lane]
                    return
            for step in steps():
                self._each(step)
                if lane in self._waiting:
                    break
