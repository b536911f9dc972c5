"""Turns on the processor: more questions at once than processors only slow each other down.

With hundreds of questions at a time every thread takes a little of the processor, and all finish late.
Work that needs it all the while (a search, a choice of passages) waits for its turn instead, so that the
first questions are done first, and threads do not push each other aside.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator

_MINE = threading.local()


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Hold one of the process's turns, of which there are as many as processors.

    Never for work that waits for a network. A thread that holds a turn takes no second one.

    Examples
    --------
    >>> with turn(), turn():
    ...     sum(range(5))
    10
    """
    if getattr(_MINE, "held", False):
        yield
        return
    with _turns(os.getpid()):
        _MINE.held = True
        try:
            yield
        finally:
            _MINE.held = False


@functools.lru_cache(maxsize=1)
def _turns(process: int) -> threading.BoundedSemaphore:
    """Return this process's turns: a fork must not wait for its parent's."""
    return threading.BoundedSemaphore(os.cpu_count() or 1)
