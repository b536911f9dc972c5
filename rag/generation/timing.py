"""The time that each stage of a question takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rag.core.answers import Step
from rag.core.observed import stage


@contextmanager
def timed(steps: list[Step], name: str) -> Iterator[dict[str, Any]]:
    """Add a step with the time that the body takes; yield its details, to be filled in."""
    detail: dict[str, Any] = {}
    started = time.perf_counter()
    try:
        with stage(name, detail):
            yield detail
    finally:
        steps.append(Step(name, time.perf_counter() - started, detail))
