"""Pack units into a budget: best first while they fit, nothing twice, neighbours as one passage."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from rag.core.passages import Hit, joined
from rag.trimming.coverage import Scores
from rag.trimming.units import Unit

KEPT, REPEAT, NO_ROOM = "kept", "said already", "no room"

_WORD = re.compile(r"\w+|[^\w\s]")  # signs, too: >= is not <=
_RUN = 4  # words


def pack(
    units: Sequence[Unit], heads: set[int], scores: Scores, budget: int, size: Callable[[str], int]
) -> tuple[list[Hit], dict[int, str]]:
    """Fill a budget with units, and join them to passages.

    Parameters
    ----------
    units : sequence of Unit
        In order of document and place.
    heads : set of int
        The numbers of units that are nothing but a table's head.
    scores : ndarray of float64, shape (len(units),)
        -inf for a head: it comes with a row.
    budget : int
        The most that `size` of the passages' texts may come to.
    size : callable

    Returns
    -------
    passages : list of Hit
        In the order of sending.
    why : dict of int to str
        For every unit with a finite score: `KEPT`, `REPEAT` or `NO_ROOM`.
    """
    picked, why = _pick(units, scores, budget, size)
    chosen = _passages(units, scores, picked)
    while sum(size(hit.text) for hit in chosen) > budget:
        # The sizes of a foreign token counter need not add up: give up the worst units.
        worst = min(picked - heads, key=lambda number: float(scores[number]))
        picked.remove(worst)
        picked -= {head for head in heads if not any(units[number].head == head for number in picked)}
        why[worst] = NO_ROOM
        chosen = _passages(units, scores, picked)
    return chosen, why


def _runs(text: str) -> set[tuple[str, ...]]:
    """Return the runs of words and signs of a text: if all are known, no number and no "not" is new."""
    words = _WORD.findall(text.lower()) or [" ".join(text.split())]
    if len(words) <= _RUN:
        return {tuple(words)}
    return set(zip(*(words[at:] for at in range(_RUN)), strict=False))


def _pick(
    units: Sequence[Unit], scores: Scores, budget: int, size: Callable[[str], int]
) -> tuple[set[int], dict[int, str]]:
    """Take units best first while they fit; a row of a table brings the table's head along."""
    picked: set[int] = set()
    why: dict[int, str] = {}
    known: set[tuple[str, ...]] = set()
    used = 0
    for number in np.argsort(-scores, kind="stable").tolist():
        if not np.isfinite(scores[number]) or number in picked:
            continue
        unit = units[number]
        new = [number] if unit.head is None or unit.head in picked else [unit.head, number]
        cost = _cost(units, picked, new, size) if used < budget else 1
        if used + cost > budget:
            why[number] = NO_ROOM
        elif (runs := _runs(unit.text)) <= known and not unit.rest:
            why[number] = REPEAT
        else:
            known |= runs.union(*(_runs(units[each].text) for each in new if each != number))
            picked.update(new)
            why.update(dict.fromkeys(new, KEPT))
            used += cost
    return picked, why


def _cost(units: Sequence[Unit], picked: set[int], new: Sequence[int], size: Callable[[str], int]) -> int:
    """Return the size of new units: their texts, and the gaps to neighbours that are taken."""
    cost = 0
    for number in new:
        unit, before = units[number], units[number - 1] if number else None
        cost += size(unit.text)
        if unit.gap is not None and (number + 1 in picked or number + 1 in new):
            cost += size(unit.gap)
        # Of two new neighbours the first has counted the gap already.
        if before is not None and before.gap is not None and number - 1 in picked:
            cost += size(before.gap)
    return cost


def _passages(units: Sequence[Unit], scores: Scores, picked: set[int]) -> list[Hit]:
    """Join picked neighbours; best document first, inside a document in reading order."""
    runs: list[list[int]] = []
    for number in sorted(picked):
        if runs and runs[-1][-1] == number - 1 and units[number - 1].gap is not None:
            runs[-1].append(number)
        else:
            runs.append([number])
    best: dict[str, float] = {}
    out: list[Hit] = []
    for run in runs:
        score = max(float(scores[number]) for number in run)
        if not np.isfinite(score):  # a table's head by itself: as good as the best of its rows
            score = max(float(scores[n]) for n in picked if units[n].head == run[0])
        whole = replace(joined([_piece(units, number, number == run[-1]) for number in run]), score=score)
        out.append(whole if len(run) == 1 else replace(whole, dense=None, lexical=None))
        best[whole.source] = max(best.get(whole.source, -np.inf), score)
    out.sort(key=lambda hit: (-best[hit.source], hit.source, hit.start))
    return out


def _piece(units: Sequence[Unit], number: int, last: bool) -> Hit:
    """Return a unit as a hit; its gap is the one to the next unit of its passage, or its chunk's own."""
    unit = units[number]
    piece = unit.hit.narrowed(max(unit.start, unit.hit.start), unit.end)
    gap = unit.gap if not last else unit.hit.gap if unit.end == unit.hit.end else None
    return piece if piece.gap == gap else replace(piece, gap=gap)
