"""What a loader knows of a document beside its text: where pages and headings begin.

Handed to the chunker in the Document's metadata, under the key `rag.records.STRUCTURE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Parsed:
    """The text of one file, its structure, and the metadata found inside it.

    Attributes
    ----------
    body : int
        Offset of the text proper, behind the front matter.
    pages : list of int
        Offset of the first character of each page; empty where there are no pages.
    headings : list of (int, int, str)
        Offset, level (1 is highest) and title of each heading, in order.
    """

    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    body: int = 0
    pages: list[int] = field(default_factory=list)
    headings: list[tuple[int, int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def structure(self) -> dict[str, Any]:
        """Return plain values, for the Document's metadata."""
        return {"body": self.body, "pages": self.pages, "headings": self.headings}


class Text:
    """A text that grows by blocks, for the loaders that make their own (HTML, docx).

    Headings are written as Markdown headings and tables as Markdown tables, so that a model reads
    them as what they are.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self.headings: list[tuple[int, int, str]] = []

    def block(self, text: str) -> None:
        """Add a paragraph, list item or code block, a blank line apart from the one before."""
        if not text.strip():
            return
        if self._length:
            self._add("\n\n")
        self._add(text)

    def line(self, text: str) -> None:
        """Add a line directly below the one before: list items of one list."""
        if not text.strip():
            return
        if self._length:
            self._add("\n")
        self._add(text)

    def heading(self, level: int, title: str) -> None:
        """Add a heading."""
        title = " ".join(title.split())
        if not title:
            return
        if self._length:
            self._add("\n\n")
        self.headings.append((self._length, level, title))
        self._add(f"{'#' * level} {title}")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Add a table; its first row is the head."""
        clean = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
        clean = [row for row in clean if any(row)]
        if not clean:
            return
        width = max(map(len, clean))
        lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in clean]
        lines.insert(1, "|" + " --- |" * width)
        self.block("\n".join(lines))

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)

    def __str__(self) -> str:
        return "".join(self._parts)
