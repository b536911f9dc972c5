"""The protocol by which long evaluations report their progress."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A callable that shows how far a sweep is; `rag.cli.evaluation` draws a bar."""

    def __call__(self, what: str, done: float, of: int) -> None:
        """Show the current step, and how many of its files or questions are done."""
