"""What a trimmer takes or leaves as a whole: chunks, or the sentences of long ones."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.core.passages import Hit
from rag.core.text import Span, sentences, stripped

#: A sentence shorter than this says nothing alone, and is joined to the one behind it.
_SCRAP_CHARS = 25


@dataclass(frozen=True, slots=True)
class Unit:
    """A slice of a document, taken or left as a whole.

    Attributes
    ----------
    candidate : int
        The place of the hit that it is of among the candidates; -1 for a table's head that none holds.
    home : str
        The document that its offsets are of; a hit without offsets is one of its own.
    hit : Hit
    start, end : int
        Offsets in the document.
    gap : str or None
        What stands before the next unit, if that is next in the document.
    rest : bool
        Whether it is what another candidate left of its own: it goes on where that one ends.
    head : int or None
        The number of the unit that holds the head of the table whose row this one is.
    """

    candidate: int
    home: str
    hit: Hit
    start: int
    end: int
    text: str
    gap: str | None
    rest: bool = False
    head: int | None = None


class _Covered:
    """The places of a document that some candidate holds: disjoint spans in order."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def free(self, start: int, end: int) -> list[Span]:
        """Return the parts of a span that are not covered."""
        out: list[Span] = []
        at = bisect.bisect_right(self._ends, start)
        while start < end and at < len(self._starts) and self._starts[at] < end:
            if start < self._starts[at]:
                out.append((start, self._starts[at]))
            start = self._ends[at]
            at += 1
        return [*out, (start, end)] if start < end else out

    def add(self, start: int, end: int) -> None:
        """Cover a span."""
        low, high = bisect.bisect_left(self._ends, start), bisect.bisect_right(self._starts, end)
        if low < high:
            start, end = min(start, self._starts[low]), max(end, self._ends[high - 1])
        self._starts[low:high], self._ends[low:high] = [start], [end]


def units_of(
    hits: Sequence[Hit], *, longest: int, placed: Sequence[bool] | None = None
) -> tuple[list[Unit], set[int]]:
    """Return the units of the candidates in order of document and place, each place once.

    Where candidates overlap, the later one has what the earlier ones leave of it.

    Parameters
    ----------
    hits : sequence of Hit
        The candidates.
    longest : int
        Characters above which a candidate is taken apart into sentences.
    placed : sequence of bool, optional
        Whether each hit's offsets are known; by default all are.

    Returns
    -------
    units : list of Unit
    heads : set of int
        The numbers of those that are nothing but a table's head: taken only with a row.
    """
    found: list[Unit] = []
    covered: dict[str, _Covered] = {}
    gaps: dict[tuple[str, int], str] = {}
    for number, hit in enumerate(hits):
        home = hit.source if placed is None or placed[number] else f"{hit.source}\0{number}"
        found += _free(number, home, hit, covered.setdefault(home, _Covered()), longest, gaps)
        covered[home].add(hit.start, hit.end)
    found = sorted([*found, *_heads(found, covered)], key=lambda unit: (unit.home, unit.start))
    return _linked(found, gaps), {number for number, unit in enumerate(found) if unit.candidate < 0}


def _free(
    number: int, home: str, hit: Hit, covered: _Covered, longest: int, gaps: dict[tuple[str, int], str]
) -> list[Unit]:
    """Return the parts of a hit that no other hit holds; note the white space between it and those."""
    out = []
    for first, last in covered.free(hit.start, hit.end):
        low, high = stripped(hit.text, first - hit.start, last - hit.start)
        if low == high:
            continue
        if first > hit.start:
            gaps[home, first] = hit.text[first - hit.start : low]
        rest = (first, last) != (hit.start, hit.end)
        whole = len(hit.text) <= longest
        inner = [(low, high)] if whole else _joined(hit.text, sentences(hit.text, low, high))
        for at, (a, b) in enumerate(inner):
            if at + 1 < len(inner):
                gap: str | None = hit.text[b : inner[at + 1][0]]
            elif last < hit.end:  # what another candidate holds comes next
                gap = hit.text[b : last - hit.start]
            else:
                gap = None if hit.gap is None else hit.text[b:] + hit.gap
            out.append(Unit(number, home, hit, hit.start + a, hit.start + b, hit.text[a:b], gap, rest))
    return out


def _joined(text: str, spans: Sequence[Span]) -> list[Span]:
    """Join a heading or a scrap to the sentence behind it: alone it says nothing."""
    out: list[Span] = []
    held: int | None = None
    for start, end in spans:
        first = start if held is None else held
        held = None
        if text.startswith("#", start) or end - start < _SCRAP_CHARS:
            held = first
            continue
        out.append((first, end))
    if held is not None:
        last = spans[-1][1]
        if out:
            out[-1] = (out[-1][0], last)
        else:
            out.append((held, last))
    return out


def _heads(units: Sequence[Unit], covered: dict[str, _Covered]) -> list[Unit]:
    """Return the heads of the tables whose rows are among the units, as far as no candidate holds them."""
    out: dict[tuple[str, int], Unit | None] = {}
    for unit in units:
        text, start = unit.hit.table_head, unit.hit.table_head_start
        if not text or start is None or not _is_row(unit) or (unit.home, start) in out:
            continue
        out[unit.home, start] = None
        for first, last in covered[unit.home].free(start, start + len(text))[:1]:
            low, high = stripped(text, first - start, last - start)
            if low < high:
                hit = replace(
                    unit.hit, start=start + low, end=start + high, text=text[low:high], gap=None,
                    page_start=None, page_end=None, page_breaks=(), chunk_id="",
                )  # fmt: skip
                gap = text[high : last - start]
                out[unit.home, start] = Unit(-1, unit.home, hit, hit.start, hit.end, hit.text, gap)
    return [head for head in out.values() if head is not None]


def _linked(units: Sequence[Unit], gaps: dict[tuple[str, int], str]) -> list[Unit]:
    """Return units with their gaps, where the next one follows, and with the units of their heads."""
    places = [(unit.home, unit.start) for unit in units]
    out = []
    for number, unit in enumerate(units):
        following = units[number + 1] if number + 1 < len(units) else None
        gap = unit.gap if unit.gap is not None else gaps.get((unit.home, unit.end))
        joins = (
            gap is not None and following is not None and following.home == unit.home
            and following.start == unit.end + len(gap)
        )  # fmt: skip
        head = None
        start = unit.hit.table_head_start
        if start is not None and unit.candidate >= 0 and _is_row(unit):
            above = bisect.bisect_right(places, (unit.home, start)) - 1
            holds = above >= 0 and units[above].home == unit.home and units[above].end > start
            head = above if holds and above != number else None
        gap = gap if joins else None
        if gap != unit.gap or head is not None:
            unit = Unit(
                unit.candidate, unit.home, unit.hit, unit.start, unit.end, unit.text, gap, unit.rest, head
            )
        out.append(unit)
    return out


def _is_row(unit: Unit) -> bool:
    """Tell whether a unit of a chunk that begins among a table's rows begins with one."""
    return "|" in unit.text.split("\n", 1)[0]
