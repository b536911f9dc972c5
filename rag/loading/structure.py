"""What a loader knows of a document beside its text: where pages, headings and tables stand.

Handed to the chunker in the Document's metadata, under the key `rag.core.passages.STRUCTURE`.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """What a parser is told beside the file.

    Attributes
    ----------
    password : str or None
        For an encrypted file.
    page_texts : mapping of int to str
        Texts of pages (from 0) that were read by OCR; a page's own lines that OCR did not see stay above.
    depth : int
        How many files this one is inside of (an attachment of a mail: 1).
    """

    password: str | None = None
    page_texts: Mapping[int, str] = field(default_factory=dict)
    depth: int = 0


@dataclass(slots=True)
class Parsed:
    """The text of one file, its structure, and the metadata found inside it.

    Attributes
    ----------
    body : int
        Offset of the text proper, behind the front matter.
    pages : list of int
        Offset of the first character of each page or slide; empty where there are none.
    headings : list of (int, int, str)
        Offset, level (1 is highest) and title of each heading, in order.
    tables : list of (int, int, int)
        Start, start of the first row below the head, and end of each Markdown table.
    margins : list of (int, int)
        Spans of repeated page headers and footers, which a chunker leaves out.
    scanned : list of int
        Pages (from 0) that hold pictures and no text, or are a picture with little text on it.
    notes : list of str
        What the user should know of how the file was read.
    """

    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    body: int = 0
    pages: list[int] = field(default_factory=list)
    headings: list[tuple[int, int, str]] = field(default_factory=list)
    tables: list[tuple[int, int, int]] = field(default_factory=list)
    margins: list[tuple[int, int]] = field(default_factory=list)
    scanned: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """Return it as one line of JSON; dates among the metadata survive."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps(own, default=_dated)

    @classmethod
    def from_json(cls, line: str | bytes) -> Parsed:
        """Read what `to_json` wrote."""
        row = json.loads(line, object_hook=_undated)
        for name in ("headings", "tables", "margins"):
            row[name] = [tuple(item) for item in row[name]]
        return cls(**row)

    def structure(self) -> dict[str, Any]:
        """Return plain values, for the Document's metadata."""
        return {
            "body": self.body, "pages": self.pages, "headings": self.headings,
            "tables": self.tables, "margins": self.margins, "notes": self.notes,
        }  # fmt: skip


def storable(text: str) -> str:
    """Return a text that UTF-8 can hold: half surrogate pairs become U+FFFD, one for one."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def joined(text: str) -> str:
    """Return a text whose surrogate pairs are characters; a half alone becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_SURROGATE = re.compile("[\ud800-\udfff]")


def _dated(value: Any) -> Any:
    if isinstance(value, dt.date):  # a datetime is one, too
        kind = "datetime" if isinstance(value, dt.datetime) else "date"
        return {"$date": value.isoformat(), "kind": kind}
    return str(value)


def _undated(row: dict[str, Any]) -> Any:
    if row.keys() != {"$date", "kind"}:
        return row
    return (dt.datetime if row["kind"] == "datetime" else dt.date).fromisoformat(row["$date"])


class Text:
    """A text that grows by blocks, for the parsers that make their own (HTML, office files).

    Headings are written as Markdown headings and tables as Markdown tables, so that a model reads
    them as what they are.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.length = 0
        self._page: int | None = None
        self.parsed = Parsed("")

    def block(self, text: str) -> None:
        """Add a paragraph, list item or code block, a blank line apart from the one before."""
        if text.strip():
            self._apart("\n\n")
            self._add(text)

    def line(self, text: str) -> None:
        """Add a line directly below the one before: list items of one list."""
        if text.strip():
            self._apart("\n")
            self._add(text)

    def item(self, text: str, *, mark: str = "-", level: int = 0, first: bool = False) -> None:
        """Add an item of a list; the `first` of a list stands a blank line apart."""
        words = " ".join(text.split())
        if words:
            (self.block if first else self.line)(f"{'  ' * level}{mark} {words}")

    def heading(self, level: int, title: str) -> None:
        """Add a heading."""
        title = " ".join(title.split())
        if not title:
            return
        level = max(1, min(level, 6))
        self._apart("\n\n")
        self.parsed.headings.append((self.length, level, title))
        self._add(f"{'#' * level} {title}")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Add a table; its first row is the head."""
        clean = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
        clean = [row for row in clean if any(row)]
        if not clean:
            return
        width = max(len(row) - _blanks_behind(row) for row in clean)
        lines = [f"| {' | '.join((row + [''] * width)[:width])} |" for row in clean]
        lines.insert(1, "|" + " --- |" * width)
        self._apart("\n\n")
        start = self.length
        self._add("\n".join(lines))
        below = min(start + len(lines[0]) + len(lines[1]) + 2, self.length)
        self.parsed.tables.append((start, below, self.length))

    def page(self) -> None:
        """Begin a page or slide with the next block."""
        if not self.parsed.pages:
            self.parsed.pages.append(0)
        else:
            self._apart("\n\n")
            self.parsed.pages.append(self.length)
            self._page = self.length

    def margin(self, text: str) -> None:
        """Add a page header or footer, marked as such."""
        if text.strip():
            self._apart("\n\n")
            start = self.length
            self._add(text)
            self.parsed.margins.append((start, self.length))

    def include(self, other: Parsed, *, below: int = 0) -> None:
        """Add a whole parsed text; its headings come `below` levels deeper."""
        text = other.text.strip("\n")
        if not text.strip():
            return
        self._apart("\n\n")
        moved = self.length - (len(other.text) - len(other.text.lstrip("\n")))
        own = self.parsed
        own.headings += [(at + moved, min(level + below, 6), name) for at, level, name in other.headings]
        own.tables += [(a + moved, b + moved, c + moved) for a, b, c in other.tables]
        own.margins += [(a + moved, b + moved) for a, b in other.margins]
        self._add(text)

    def done(self, metadata: Mapping[str, Any] | None = None) -> Parsed:
        """Return what was written, with the metadata found."""
        self.parsed.text = "".join(self._parts)
        self.parsed.metadata.update(metadata or {})
        return self.parsed

    def _apart(self, blank: str) -> None:
        """Part the next block from the one before, unless a page has just begun."""
        if self.length and self._page != self.length:
            self._add(blank)

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self.length += len(text)


def _blanks_behind(row: Sequence[str]) -> int:
    count = 0
    for cell in reversed(row):
        if cell:
            break
        count += 1
    return count
