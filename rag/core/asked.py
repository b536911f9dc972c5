"""What is known of a question beside its answer: its index, and the words that were searched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rag.core.answers import Answer


@runtime_checkable
class _Versioned(Protocol):
    """An index that names its version (`rag.Index`)."""

    path: Any

    @property
    def version(self) -> int:
        """The number of the open version."""


@runtime_checkable
class _RemembersTurns(Protocol):
    """A conversation's turns (`rag.conversation.transcript.Transcript`)."""

    def last_turn(self) -> tuple[str, str]:
        """Return the last question as it was searched, and the model's reply."""


def index_of(index: Any) -> tuple[str, int | None]:
    """Return an index's name and version; of one that has none, the name of its class and None."""
    if isinstance(index, _Versioned):
        return Path(index.path).resolve().name, index.version
    return type(index).__name__, None


def search_of(answer: Answer, options: Mapping[str, Any]) -> str:
    """Return a question as it stands on its own, as it was searched.

    Parameters
    ----------
    answer : Answer
    options : mapping
        Those with which it was asked.
    """
    for step in answer.trace:
        if step.name == "follow-up":
            return str(step.detail.get("search") or answer.question)
    history = options.get("history")
    return history.last_turn()[0] if isinstance(history, _RemembersTurns) else answer.question
