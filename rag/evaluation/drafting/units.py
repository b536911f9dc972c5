"""The sentences and tables of an index's documents, with their places and headings."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rag.core.passages import Hit
from rag.core.text import sentences
from rag.evaluation.golden_set import Span
from rag.index.texts import assemble

_MARKER = re.compile(r"\s*(?:[-*+•◦▪–]|\(?\d{1,3}[.)])\s+")
_HEADING = re.compile(r"\s*#{1,6}\s|^[=\-~]{3,}$")
_RULE = re.compile(r"\|?(?:\s*:?-{2,}:?\s*\|)+(?:\s*:?-{2,}:?\s*)?\|?")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a document.

    Attributes
    ----------
    span : Span
        Without the mark of a list item.
    text : str
        As it stands.
    following : str
        The next sentence of the same paragraph; empty if there is none.
    following_end : int
        Where that ends in the document.
    """

    span: Span
    text: str
    section: tuple[str, ...]
    title: str
    tags: tuple[str, ...]
    following: str = ""
    following_end: int = 0

    @property
    def plain(self) -> str:
        """The text on one line, without marks of emphasis and code."""
        return " ".join(re.sub(r"[*`]+", "", self.text).split())


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its cells under the cells of the head."""

    span: Span
    text: str
    head: tuple[str, ...]
    cells: tuple[str, ...]
    section: tuple[str, ...]
    title: str
    tags: tuple[str, ...]


class Documents:
    """The documents of an index, as far as its chunks hold their texts.

    Parameters
    ----------
    chunks : iterable of Hit
    """

    def __init__(self, chunks: Iterable[Hit]) -> None:
        hits = sorted(chunks, key=lambda hit: (hit.source, hit.start))
        self._pieces = assemble(hits)
        self._breaks: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
        self._metadata: dict[str, Any] = {}
        for hit in hits:
            of = self._breaks.setdefault(hit.source, [])
            of += [(hit.start, hit.section), *hit.section_breaks]
            self._metadata.setdefault(hit.source, hit.metadata)

    @property
    def sources(self) -> list[str]:
        """All documents, by name."""
        return sorted(self._pieces)

    def sentences(self, source: str) -> Iterator[Sentence]:
        """Yield a document's sentences, without headings, table rows and code."""
        for start, text in self._pieces[source]:
            spans = [(a, b) for a, b in sentences(text) if _is_sentence(text[a:b])]
            for number, (a, b) in enumerate(spans):
                marker = _MARKER.match(text, a, b)
                begin = marker.end() if marker else a
                following, end = "", 0
                if number + 1 < len(spans):
                    c, d = spans[number + 1]
                    if not text[b:c].strip() and "\n\n" not in text[b:c] and not _MARKER.match(text, c, d):
                        following, end = text[c:d], start + d
                span = Span(source, start + begin, start + b)
                yield Sentence(
                    span, text[begin:b], *self._about(source, span.start), following=following,
                    following_end=end,
                )  # fmt: skip

    def rows(self, source: str) -> Iterator[Row]:
        """Yield the rows of a document's tables."""
        for start, text in self._pieces[source]:
            head: tuple[str, ...] = ()
            before, at = "", 0
            for line in text.split("\n"):
                here, at = at, at + len(line) + 1
                bare = line.strip()
                if not bare.startswith("|"):
                    head = ()
                elif _RULE.fullmatch(bare):
                    head = _cells(before)
                elif head and len(cells := _cells(bare)) == len(head):
                    begin = start + here + len(line) - len(line.lstrip())
                    span = Span(source, begin, begin + len(bare))
                    yield Row(span, bare, head, cells, *self._about(source, span.start))
                before = bare

    def _about(self, source: str, at: int) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
        """Return the headings at an offset, the document's title and the tags of its questions."""
        breaks = self._breaks[source]
        number = bisect.bisect_right(breaks, at, key=lambda each: each[0]) - 1
        section = tuple(breaks[max(number, 0)][1])
        metadata = self._metadata[source]
        title = metadata.get("title")
        department = metadata.get("department")
        return (
            section, title if isinstance(title, str) else "",
            (department,) if isinstance(department, str) and department else (),
        )  # fmt: skip


def _is_sentence(text: str) -> bool:
    """Tell whether it is none of a heading, a table's row, code, or a list's number alone."""
    return not (_HEADING.match(text) or "|" in text or "```" in text or _MARKER.fullmatch(f"{text} "))


def _cells(line: str) -> tuple[str, ...]:
    return tuple(" ".join(re.sub(r"[*`]+", "", cell).split()) for cell in line.strip().strip("|").split("|"))
