"""What a question does while it is answered, told to whoever watches it; by default nobody does.

Stages and clients of AWS say here what they do. A context variable names the observer of the question under
way, so that threads and tasks that copy their caller's context report to the right one.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Observer(Protocol):
    """Watches one question."""

    def stage(self, name: str, detail: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Return what to enter while a stage runs; `detail` is filled in until it ends."""

    def failed_attempt(self, code: str, *, again: bool) -> None:
        """Take note of a call of AWS that failed, and whether it is tried again."""

    def replied(self, request_id: str) -> None:
        """Take note of the id that AWS gave to a request."""


_OBSERVER: contextvars.ContextVar[Observer | None] = contextvars.ContextVar("observer", default=None)


@contextlib.contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Let an observer watch what is done inside."""
    token = _OBSERVER.set(observer)
    try:
        yield
    finally:
        # A generator that the garbage collector closes ends in another context: nothing to reset.
        with contextlib.suppress(ValueError):
            _OBSERVER.reset(token)


@contextlib.contextmanager
def stage(name: str, detail: Mapping[str, Any]) -> Iterator[None]:
    """Run a stage, seen by the observer of the question under way.

    Examples
    --------
    >>> with stage("retrieve", {}):
    ...     hits = []
    """
    observer = _OBSERVER.get()
    if observer is None:
        yield
        return
    with observer.stage(name, detail):
        yield


def failed_attempt(code: str, *, again: bool) -> None:
    """Say that a call of AWS failed."""
    if (observer := _OBSERVER.get()) is not None:
        observer.failed_attempt(code, again=again)


def replied(request_id: str) -> None:
    """Say which id AWS gave to a request."""
    if (observer := _OBSERVER.get()) is not None:
        observer.replied(request_id)
