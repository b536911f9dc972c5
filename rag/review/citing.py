"""The citations of a corrected answer: those of the first one that it keeps, and new ones, verified."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from rag.core.answers import Answer
from rag.core.citations import Citation
from rag.core.errors import UsageError
from rag.core.passages import Hit
from rag.core.values import shown
from rag.index.filters.where import field
from rag.index.texts import Pieces, assemble, occurrences, piece_at
from rag.review.records import Item

_MARK = re.compile(r"\[(\d{1,4})\]")
_OFFSETS = re.compile(r"(\d+)-(\d+)")


class Scanned(Protocol):
    """An index whose chunks can be read (`rag.Index`)."""

    path: Any

    @property
    def version(self) -> int:
        """The number of the open version."""

    def scan(self, where: Any = None) -> Iterator[Hit]:
        """Yield the chunks that match a filter."""


def kept_citations(text: str, answer: Answer, more: Sequence[Citation]) -> tuple[Citation, ...]:
    """Return the citations of a corrected answer: those that it marks, then further ones, numbered on.

    Parameters
    ----------
    text : str
        With ``[n]`` for citations.
    answer : Answer
        The answer that is corrected.
    more : sequence of Citation
        The first is numbered one above the last of `answer`, whatever their numbers are.

    Raises
    ------
    UsageError
        A mark names no citation, or one that was not found in the passages.
    """
    known = {each.number: each for each in answer.citations if each.verified}
    last = max((each.number for each in answer.citations), default=0)
    new = {last + n: replace(each, number=last + n) for n, each in enumerate(more, 1)}
    kept = dict.fromkeys(map(int, _MARK.findall(text)))
    for number in kept:
        if number not in known and number not in new:
            there = ", ".join(f"[{each}]" for each in (*known, *new)) or "none"
            raise UsageError(f"the corrected answer marks [{number}], which is no verified citation: {there}")
    return (*(known[number] for number in sorted(kept) if number in known), *new.values())


def cited(index: Scanned, place: str, item: Item, answer: Answer) -> Citation:
    """Return the citation that a reviewer names, looked up in the version that the question was put to.

    Parameters
    ----------
    index : Index
        In that version.
    place : str
        ``SOURCE#START-END``, offsets in characters, end exclusive; or ``SOURCE#WORDS``, words that stand in
        the document once.
    item : Item
    answer : Answer
        Of the item: its passages tell whether this is the index that was asked.

    Raises
    ------
    UsageError
        The index is another one, it has no such document, or the document does not hold the words in one
        piece.
    """
    source, mark, what = place.rpartition("#") if _OFFSETS.fullmatch(place.rpartition("#")[2]) else (
        place.partition("#")
    )  # fmt: skip
    if not (source and mark and what.strip()):
        raise UsageError(f'{shown(place)} is no citation: write SOURCE#START-END or "SOURCE#WORDS OF IT"')
    _refuse_another(index, item, answer)
    chunks = list(index.scan(field("source") == source))
    if not chunks:
        raise UsageError(f"{index.path}, version {index.version}, has no document {source}: see `rag info`")
    (pieces,) = assemble(chunks).values()
    start, end = _span(pieces, what, f"{source} in version {index.version}")
    return _citation(chunks, source, start, end, piece_at(pieces, start, end) or "")


def _refuse_another(index: Scanned, item: Item, answer: Answer) -> None:
    """Refuse an index that does not hold what was sent: its numbers of versions may be equal by chance."""
    sent = next((hit for hit in answer.context.hits if hit.placed), None)
    if index.version != item.version:
        raise UsageError(
            f"the question was put to version {item.version}, not {index.version}: open that one"
        )
    if sent is None:
        return
    pieces = assemble(index.scan(field("source") == sent.source)).get(sent.source, [])
    if piece_at(pieces, sent.start, sent.end) != sent.text:
        raise UsageError(
            f"{index.path} is not the index that was asked: its {sent.source}:{sent.start}-{sent.end} is not "
            "what was sent then; name the index, or give offsets after asking again"
        )


def _span(pieces: Pieces, what: str, where: str) -> tuple[int, int]:
    if offsets := _OFFSETS.fullmatch(what):
        start, end = int(offsets[1]), int(offsets[2])
        if not start < end or piece_at(pieces, start, end) is None:
            last = max(begin + len(text) for begin, text in pieces)
            raise UsageError(
                f"{where} holds no text at {start}-{end} in one piece: its text ends at {last}; "
                "write START-END in characters, end exclusive"
            )
        return start, end
    begins = occurrences(pieces, what)
    if len(begins) != 1:
        problem = "does not hold" if not begins else f"holds {len(begins)} times"
        hint = "copy them exactly" if not begins else "quote more of them, or write SOURCE#START-END"
        raise UsageError(f"{where} {problem} the words {shown(what)}: {hint}")
    return begins[0], begins[0] + len(what)


def _citation(chunks: Sequence[Hit], source: str, start: int, end: int, text: str) -> Citation:
    """Return a citation with the pages and headings of the chunks that it lies in."""
    inside = sorted((hit for hit in chunks if hit.start < end and start < hit.end), key=lambda hit: hit.start)
    first, last = inside[0], inside[-1]
    return Citation(
        1, source, start, end, text, verified=True,
        page_start=first.narrowed(max(start, first.start), min(end, first.end)).page_start,
        page_end=last.narrowed(max(start, last.start), min(end, last.end)).page_end,
        section=first.section_at(start),
    )  # fmt: skip
