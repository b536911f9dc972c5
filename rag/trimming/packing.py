"""Units into a budget: best first while they fit, nothing twice, neighbours into one passage."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from rag.core.passages import Hit, joined
from rag.trimming.relevance import Scores
from rag.trimming.units import Unit

KEPT, REPEAT, NO_ROOM = "kept", "said already", "no room"

_WORD = re.compile(r"\w+|[^\w\s]")  # signs, too: >= is not <=
_RUN = 4  # words


def _runs(text: str) -> set[tuple[str, ...]]:
    """Return the runs of words and signs of a text: where all were said, no number and no "not" is new."""
    words = _WORD.findall(text.lower()) or [" ".join(text.split())]
    if len(words) <= _RUN:
        return {tuple(words)}
    return set(zip(*(words[at:] for at in range(_RUN)), strict=False))


def pick(
    units: Sequence[Unit], scores: Scores, budget: int, size: Callable[[str], int]
) -> tuple[set[int], dict[int, str]]:
    """Take units best first while they fit; a row of a table brings the table's head along.

    Returns
    -------
    picked : set of int
        The numbers of the units taken.
    why : dict of int to str
        For every unit with a finite score: `KEPT`, `REPEAT` or `NO_ROOM`.
    """
    picked: set[int] = set()
    why: dict[int, str] = {}
    said: set[tuple[str, ...]] = set()
    used = 0
    for number in np.argsort(-scores, kind="stable").tolist():
        if not np.isfinite(scores[number]) or number in picked:
            continue
        unit = units[number]
        new = [number] if unit.head is None or unit.head in picked else [unit.head, number]
        cost = _cost(units, picked, new, size) if used < budget else 1
        if used + cost > budget:
            why[number] = NO_ROOM
        elif (runs := _runs(unit.text)) <= said and not unit.rest:
            why[number] = REPEAT
        else:
            said |= runs.union(*(_runs(units[each].text) for each in new if each != number))
            picked.update(new)
            why.update(dict.fromkeys(new, KEPT))
            used += cost
    return picked, why


def _cost(units: Sequence[Unit], picked: set[int], new: Sequence[int], size: Callable[[str], int]) -> int:
    """Return what units take: their texts, and the gaps to neighbours that are taken."""
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


def passages(units: Sequence[Unit], scores: Scores, picked: set[int]) -> list[Hit]:
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
        passage = _passage([units[number] for number in run], score)
        best[passage.source] = max(best.get(passage.source, -np.inf), score)
        out.append(passage)
    out.sort(key=lambda hit: (-best[hit.source], hit.source, hit.start))
    return out


def _passage(run: Sequence[Unit], score: float) -> Hit:
    """Return units that stand side by side as one hit."""
    pieces = [unit.hit.narrowed(max(unit.start, unit.hit.start), unit.end) for unit in run]
    gaps = [*(unit.gap for unit in run[:-1]), run[-1].hit.gap if run[-1].end == run[-1].hit.end else None]
    pieces = [
        piece if piece.gap == gap else replace(piece, gap=gap)
        for piece, gap in zip(pieces, gaps, strict=True)
    ]
    whole = replace(joined(pieces), score=score)
    return whole if len(run) == 1 else replace(whole, dense=None, lexical=None)
