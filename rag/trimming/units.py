"""Split candidates into units, which a trimmer takes or leaves as a whole: chunks, or their sentences."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.core.passages import Hit
from rag.core.text import Span, sentences, stripped

#: A sentence shorter than this means little alone, and is joined to the one behind it.
_SCRAP_CHARS = 25


@dataclass(frozen=True, slots=True)
class Unit:
    """A slice of a document, taken or left as a whole.

    Attributes
    ----------
    candidate : int
        The index of its hit among the candidates; -1 for a table's head that no candidate holds.
    home : str
        The document that its offsets count in; a hit that is not placed is a document of its own.
    hit : Hit
    start, end : int
        Offsets in the document.
    gap : str or None
        The white space before the next unit, if that one follows in the document.
    rest : bool
        Whether other candidates hold the rest of its candidate: then it continues one of theirs.
    head : int or None
        For a row of a table, the number of the unit that holds the table's head.
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
    """The parts of a document that candidates hold: disjoint spans in order."""

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


def units_of(hits: Sequence[Hit], *, longest: int) -> tuple[list[Unit], set[int]]:
    """Return the units of the candidates in order of document and place, each place once.

    Where candidates overlap, the text belongs to the earlier one.

    Parameters
    ----------
    hits : sequence of Hit
        The candidates.
    longest : int
        A candidate of more characters is split into sentences.

    Returns
    -------
    units : list of Unit
    heads : set of int
        The numbers of units that are nothing but a table's head: taken only with a row.
    """
    units: list[Unit] = []
    covered: dict[str, _Covered] = {}
    gaps: dict[tuple[str, int], str] = {}
    for number, hit in enumerate(hits):
        home = hit.source if hit.placed else f"{hit.source}\0{number}"
        units += _free(number, home, hit, covered.setdefault(home, _Covered()), longest, gaps)
        covered[home].add(hit.start, hit.end)
    units = sorted([*units, *_heads(units, covered)], key=lambda unit: (unit.home, unit.start))
    return _linked(units, gaps), {number for number, unit in enumerate(units) if unit.candidate < 0}


def _free(
    number: int, home: str, hit: Hit, covered: _Covered, longest: int, gaps: dict[tuple[str, int], str]
) -> list[Unit]:
    """Return the units of a hit in what no earlier hit holds; note the white space between them and those."""
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
            elif last < hit.end:  # another candidate holds what comes next
                gap = hit.text[b : last - hit.start]
            else:
                gap = None if hit.gap is None else hit.text[b:] + hit.gap
            out.append(Unit(number, home, hit, hit.start + a, hit.start + b, hit.text[a:b], gap, rest))
    return out


def _joined(text: str, spans: Sequence[Span]) -> list[Span]:
    """Join a heading or a scrap to the sentence behind it: alone it means little."""
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
    """Return the heads of the tables whose rows are among the units, unless a candidate holds them."""
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
                    page_start=None, page_end=None, page_breaks=(), section_breaks=(),
                    chunk_id="",
                )  # fmt: skip
                gap = text[high : last - start]
                out[unit.home, start] = Unit(-1, unit.home, hit, hit.start, hit.end, hit.text, gap)
    return [head for head in out.values() if head is not None]


def _linked(units: Sequence[Unit], gaps: dict[tuple[str, int], str]) -> list[Unit]:
    """Return units with the gaps to those that follow, and with the numbers of their tables' heads."""
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
