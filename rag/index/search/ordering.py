"""The order of hits, and which rows are returned: independent of the history of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.index.filters.mask import Mask
from rag.index.search.highest import highest
from rag.index.storage.layout import Rows
from rag.index.storage.segment import Segment

#: Rows on either side of a hit that count as the same passage: about a screen of text.
APART = 8

Key = tuple[int, int]  # (segment, row)
Scored = dict[Key, tuple[float, float | None, float | None]]  # score, cosine, BM25


def ordered(scored: Scored, segments: Sequence[Segment]) -> list[Key]:
    """Return rows, best first; equal scores are in order of their chunk ids."""
    order = sorted(scored, key=lambda key: -scored[key][0])
    values = [scored[key][0] for key in order]
    tied = {
        key for at, key in enumerate(order)
        if values[at] in values[max(at - 1, 0) : at] + values[at + 1 : at + 2]
    }  # fmt: skip
    if not tied:
        return order
    ids = {key: segments[key[0]].ids([key[1]])[0] for key in tied}
    return sorted(order, key=lambda key: (-scored[key][0], ids.get(key, "")))


def at_least(scored: Scored, least: float | None) -> Scored:
    """Return the rows with a score of at least `least`; all for None."""
    return scored if least is None else {key: values for key, values in scored.items() if values[0] >= least}


def apart(order: Sequence[Key], k: int, segments: Sequence[Segment]) -> list[Key]:
    """Return k rows, best first; rows within `APART` of a better one only where others run out."""
    chosen: list[Key] = []
    near_better: list[Key] = []
    covered: set[Key] = set()
    for number, row in order:
        if len(chosen) == k:
            break
        if (number, row) in covered:
            near_better.append((number, row))
            continue
        chosen.append((number, row))
        first, end = (int(side[0]) for side in segments[number].around(np.array([row]), APART))
        covered.update((number, other) for other in range(first, end))
    returned = {*chosen, *near_better[: k - len(chosen)]}
    return [key for key in order if key in returned]


def highest_rows(scores: Sequence[npt.NDArray[Any]], masks: Sequence[Mask], k: int) -> list[Rows]:
    """Return, by segment, the k rows of the masks with the highest scores, and those that tie."""
    rows = [np.flatnonzero(mask) for mask in masks]
    best = highest([values[at] for values, at in zip(scores, rows, strict=True)], k)
    return [at[chosen] for at, chosen in zip(rows, best, strict=True)]


def diverse(
    cosines: Sequence[float], vectors: Sequence[npt.NDArray[np.float32]], k: int, diversity: float
) -> list[int]:
    """Return the positions of the k vectors that maximal marginal relevance chooses, in that order.

    Each step chooses the vector with the highest ``(1 - diversity) * cosine to the question - diversity *
    highest cosine to those chosen already`` (Carbonell and Goldstein, 1998); of equals the first.
    """
    if not len(vectors):
        return []
    rows, relevance = np.stack(vectors), (1 - diversity) * np.asarray(cosines, np.float64)
    nearest = np.full(len(rows), -np.inf)
    chosen: list[int] = []
    left = np.ones(len(rows), bool)
    while len(chosen) < min(k, len(rows)):
        gain = relevance - diversity * nearest if chosen else relevance
        chosen.append(int(np.argmax(np.where(left, gain, -np.inf))))
        left[chosen[-1]] = False
        nearest = np.maximum(nearest, np.vecdot(rows, rows[chosen[-1]]))
    return chosen
