"""What a trimmer takes or leaves as a whole: chunks, or the sentences of long ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.records import Hit
from rag.text import Span, sentences

#: A sentence shorter than this says nothing alone, and is joined to the one behind it.
_SCRAP_CHARS = 25


@dataclass(frozen=True, slots=True)
class Unit:
    """A slice of a document, taken or left as a whole.

    Attributes
    ----------
    candidate : int
        The place of the hit that it is of among the candidates.
    hit : Hit
    start, end : int
        Offsets in the document.
    gap : str or None
        What stands before the next unit, if that is next in the document.
    head : int or None
        The number of the unit that is the head of the table whose rows this one holds.
    """

    candidate: int
    hit: Hit
    start: int
    end: int
    text: str
    gap: str | None
    head: int | None = None


def units_of(hits: Sequence[Hit], *, longest: int) -> tuple[list[Unit], set[int]]:
    """Return the units of the candidates in order of document and place, each place once.

    Parameters
    ----------
    hits : sequence of Hit
        The candidates.
    longest : int
        Characters above which a candidate is taken apart into sentences.

    Returns
    -------
    units : list of Unit
    heads : set of int
        The numbers of those that are nothing but a table's head: taken only with a row.
    """
    found: list[Unit] = []
    taken: dict[str, list[Span]] = {}
    for number, hit in enumerate(hits):
        covered = taken.setdefault(hit.source, [])
        found += _free(number, hit, covered, longest)
        covered.append((hit.start, hit.end))
    heads = _heads(found, taken)
    found = sorted([*found, *heads], key=lambda unit: (unit.hit.source, unit.start))
    return _linked(found), {number for number, unit in enumerate(found) if unit.candidate < 0}


def _free(number: int, hit: Hit, covered: Sequence[Span], longest: int) -> list[Unit]:
    """Return the parts of a hit that no other hit holds."""
    whole = len(hit.text) <= longest
    inner = [(0, len(hit.text))] if whole else _joined(hit.text, sentences(hit.text))
    out = []
    for at, (a, b) in enumerate(inner):
        start, end = hit.start + a, hit.start + b
        if start == end or any(first < end and start < last for first, last in covered):
            continue
        last = at + 1 == len(inner)
        gap = hit.gap if last and end == hit.end else None if last else hit.text[b : inner[at + 1][0]]
        out.append(Unit(number, hit, start, end, hit.text[a:b], gap))
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


def _heads(units: Sequence[Unit], taken: dict[str, list[Span]]) -> list[Unit]:
    """Return the heads of the tables whose rows are among the units, where no candidate holds them."""
    out: dict[tuple[str, int], Unit] = {}
    for unit in units:
        text, start = unit.hit.table_head, unit.hit.table_head_start
        if not text or start is None or (unit.hit.source, start) in out:
            continue
        end = start + len(text.rstrip())
        if not any(first < end and start < last for first, last in taken[unit.hit.source]):
            hit = replace(
                unit.hit, start=start, end=end, text=text.rstrip(), gap=None, page_breaks=(), chunk_id=""
            )
            out[unit.hit.source, start] = Unit(-1, hit, start, end, hit.text, text[len(hit.text) :])
    return list(out.values())


def _linked(units: Sequence[Unit]) -> list[Unit]:
    """Return units with their gaps, where the next one follows, and with the units of their heads."""
    out = []
    for number, unit in enumerate(units):
        following = units[number + 1] if number + 1 < len(units) else None
        joins = (
            unit.gap is not None and following is not None
            and following.hit.source == unit.hit.source
            and following.start == unit.end + len(unit.gap)
        )  # fmt: skip
        out.append(replace(unit, gap=unit.gap if joins else None, head=_head_of(units, number)))
    return out


def _head_of(units: Sequence[Unit], number: int) -> int | None:
    """Return the unit above that the head of a unit's table begins in."""
    unit = units[number]
    start = unit.hit.table_head_start
    if start is None or unit.candidate < 0:
        return None
    for above in range(number - 1, -1, -1):
        other = units[above]
        if other.hit.source != unit.hit.source or other.end <= start:
            return None
        if other.start <= start:
            return above
    return None
