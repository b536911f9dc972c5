"""What a display is: an object as HTML, as a few lines of text, and as one for lists and fields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Display(ABC):
    """Shows one object.

    Parameters
    ----------
    value : Any
        The object; nothing of it is changed, and nothing is asked that costs money.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    @abstractmethod
    def html(self) -> str:
        """Return a card (`rag.notebook.parts.card`), in which no text of a document is markup."""

    @abstractmethod
    def text(self) -> str:
        """Return a few lines of at most 80 columns, in which a terminal obeys no character."""

    def line(self) -> str:
        """Return what ``repr`` does: one line for what stands in lists and fields, else the text."""
        return self.text()
