"""Offsets in a document: of sections, of pages, and of any chunker's chunks."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from langchain_core.documents import Document

from rag.core.errors import LoadError
from rag.core.passages import STRUCTURE
from rag.core.text import Span

#: A span of the text, and the titles of the headings above it.
Section = tuple[int, int, list[str]]


def structure_of(document: Document) -> dict[str, Any]:
    """Return a document's structure as the loader recorded it; without one, all is body."""
    structure: dict[str, Any] = document.metadata.get(STRUCTURE) or {"body": 0, "pages": [], "headings": []}
    return structure


def sections(text: str, structure: dict[str, Any]) -> list[Section]:
    """Return the spans between headings, with their paths of titles.

    A heading followed only by a deeper heading belongs to that heading's section.
    """
    headings = structure["headings"]
    out: list[Section] = []
    path: list[tuple[int, str]] = []
    start = int(structure["body"])
    bare = True  # nothing but headings since start
    for number, (at, level, title) in enumerate(headings):
        if (not bare or text[start:at].strip()) and not (bare and path and level > path[-1][0]):
            out.append((start, at, [name for _, name in path]))
            start = at
        path = [*((deep, name) for deep, name in path if deep < level), (level, title)]
        end = headings[number + 1][0] if number + 1 < len(headings) else len(text)
        bare = not _below(text, at, end)
    out.append((start, len(text), [name for _, name in path]))
    return out


def without_margins(margins: Sequence[Span], sections: Iterable[Section]) -> Iterator[Section]:
    """Cut page headers and footers out of sections, so that no chunk holds or spans one."""
    at = 0
    for start, end, path in sections:
        while at < len(margins) and margins[at][1] <= end:
            if start <= margins[at][0]:
                yield start, margins[at][0], path
                start = margins[at][1]
            at += 1
        yield start, end, path


def _below(text: str, at: int, end: int) -> str:
    """Return the text below the heading line (and its underline) at an offset."""
    line_end = text.find("\n", at, end)
    return "" if line_end < 0 else text[line_end:end].strip(" \t\r\n=-")


def locate(document: Document, chunks: Sequence[Document]) -> list[Document]:
    """Return any chunker's chunks with their offsets, gaps, pages and section.

    Raises
    ------
    LoadError
        A chunk is not a slice of the document, e.g. of a LangChain splitter that rewrites white space.
    """
    text = document.page_content
    structure = structure_of(document)
    out, after = [], 0
    for chunk in chunks:
        wanted, meta = chunk.page_content, chunk.metadata
        start = meta.get("start", meta.get("start_index"))
        if start is None or text[start : start + len(wanted)] != wanted:
            start = text.find(wanted, after)
        if start < 0 or not wanted:
            raise LoadError(
                f"was cut into chunks that are not in its text ({wanted[:40]!r}…)",
                "use a chunker that does not change the text (strip_whitespace, add_start_index)",
            )
        after = start + 1
        location = {"start": start, "end": start + len(wanted)}
        if "section" not in meta:
            location["section"] = _path_at(structure["headings"], start)
            location |= place(text, structure, start, start + len(wanted))
        out.append(Document(page_content=wanted, metadata={**meta, **location}))
    for chunk, following in itertools.pairwise(out):
        gap = text[chunk.metadata["end"] : max(following.metadata["start"], chunk.metadata["end"])]
        if not gap.strip() and following.metadata["start"] >= chunk.metadata["end"]:
            chunk.metadata["gap"] = gap
    return out


def _path_at(headings: Sequence[tuple[int, int, str]], offset: int) -> list[str]:
    path: list[tuple[int, str]] = []
    for at, level, title in headings:
        if at > offset:
            break
        path = [*((deep, name) for deep, name in path if deep < level), (level, title)]
    return [name for _, name in path]


#: Most characters of a table's head that is kept with its rows.
LONGEST_HEAD = 600


def place(text: str, structure: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    """Return a span's pages, and the head of the table whose rows it holds."""
    return {**pages(structure["pages"], start, end), **_table_head(text, structure, start)}


def _table_head(text: str, structure: dict[str, Any], start: int) -> dict[str, Any]:
    tables = structure.get("tables", ())
    at = bisect.bisect_left(tables, start, key=lambda table: int(table[0])) - 1
    if at < 0:
        return {}
    first, below, end = tables[at]
    if start >= end or below - first > LONGEST_HEAD:
        return {}
    return {"table_head": text[first:below], "table_head_start": first}


def pages(starts: Sequence[int], start: int, end: int) -> dict[str, Any]:
    """Return the pages of a span (1-based, inclusive), and the offsets in it at which a page begins.

    Examples
    --------
    >>> pages([0, 100, 200], 90, 110)
    {'page_start': 1, 'page_end': 2, 'page_breaks': [100]}
    """
    if not starts:
        return {}
    first = bisect.bisect_right(starts, start)
    last = max(first, bisect.bisect_left(starts, end))
    breaks = {"page_breaks": list(starts[first:last])} if last > first else {}
    return {"page_start": max(first, 1), "page_end": max(last, 1), **breaks}
