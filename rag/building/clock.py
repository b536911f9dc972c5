"""Measure how long each step of a build takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """Measures how long each step of a build takes."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._started

    @contextlib.contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Add the time that the body takes to a step's seconds."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - started
