"""Slots for CPU-bound work: as many questions compute at once as there are processors.

With hundreds of threads computing at the same time, each gets a small share of a processor, and all
finish late. CPU-bound work (a search, choosing passages) waits for a slot instead, so that the first
questions finish first.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator

_THIS_THREAD = threading.local()


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Hold one of the process's slots, of which there are as many as processors.

    Not for work that waits for a network. A thread that holds a slot does not take a second one.

    Examples
    --------
    >>> with turn(), turn():
    ...     sum(range(5))
    10
    """
    if getattr(_THIS_THREAD, "holds_slot", False):
        yield
        return
    with _slots(os.getpid()):
        _THIS_THREAD.holds_slot = True
        try:
            yield
        finally:
            _THIS_THREAD.holds_slot = False


@functools.lru_cache(maxsize=1)
def _slots(process: int) -> threading.BoundedSemaphore:
    """Return this process's slots: a fork must not wait for those of its parent."""
    return threading.BoundedSemaphore(os.cpu_count() or 1)
