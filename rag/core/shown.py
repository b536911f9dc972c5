"""Answers that are shown while they come: ``show`` of pipelines, clients and conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Protocol

from rag.core.answers import Answer, Event
from rag.core.displayable import Displayable

#: Found by name, as displays are (`rag.core.displayable`).
_STREAMING = "rag.notebook.streaming"


class Streams(Protocol):
    """What answers questions as events."""

    @property
    def stream(self) -> Callable[..., Iterator[Event]]:
        """Answer a question as events."""


class Shown:
    """What `Shows.show` returns: the answer, which is on the screen already and is not shown again.

    Attributes
    ----------
    answer : Answer
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def __repr__(self) -> str:
        return "<shown above; .answer is the Answer>"

    def _ipython_display_(self) -> None:
        """Show nothing: the last expression of a notebook's cell is displayed, and this one was."""


class Shows(Displayable):
    """Answers questions as a stream of events, and shows them, and itself."""

    __slots__ = ()

    def show(self: Streams, question: str, **options: Any) -> Shown:
        """Answer a question and show the text while it comes: in a notebook, or on standard output.

        In a notebook it ends as the answer's own display, with citations that unfold; elsewhere citations
        and costs follow the text. What was shown stays if it fails or is interrupted.

        Parameters
        ----------
        question : str
        **options
            Those of `stream`.

        Returns
        -------
        Shown
            `Shown.answer` is the answer.

        Examples
        --------
        >>> rag.Pipeline("indexes/handbook").show("Who declares a SEV-1?")          # doctest: +SKIP
        """
        shown: Answer = import_module(_STREAMING).show(self.stream(question, **options), question)
        return Shown(shown)
