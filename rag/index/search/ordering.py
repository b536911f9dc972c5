"""Which rows come back, and in which order: the same whatever the history of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.index.filters.mask import Mask
from rag.index.storage.segment import Rows, Segment

#: Rows on either side of a hit that count as the same place: about a screen of text.
APART = 8

Key = tuple[int, int]  # (segment, row)
Scored = dict[Key, tuple[float, float | None, float | None]]  # score, cosine, BM25


def ordered(scored: Scored, segments: Sequence[Segment]) -> list[Key]:
    """Return rows, best first; ties fall to the chunk id, however the index came about."""
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


def apart(order: Sequence[Key], k: int, segments: Sequence[Segment]) -> list[Key]:
    """Return k rows, best first, none within `APART` of a better one while there are others."""
    kept: list[Key] = []
    near: list[Key] = []
    shadow: set[Key] = set()
    for number, row in order:
        if len(kept) == k:
            break
        if (number, row) in shadow:
            near.append((number, row))
            continue
        kept.append((number, row))
        first, end = (int(side[0]) for side in segments[number].around(np.array([row]), APART))
        shadow.update((number, other) for other in range(first, end))
    chosen = {*kept, *near[: k - len(kept)]}
    return [key for key in order if key in chosen]


def highest(scores: Sequence[npt.NDArray[Any]], masks: Sequence[Mask], k: int) -> list[Key]:
    """Return the k rows of the masks with the highest scores, and those that tie with the last."""
    return [
        (number, row) for number, rows in enumerate(highest_rows(scores, masks, k)) for row in rows.tolist()
    ]


def highest_rows(scores: Sequence[npt.NDArray[Any]], masks: Sequence[Mask], k: int) -> list[Rows]:
    """Return, by segment, the k rows of the masks with the highest scores, and those that tie."""
    rows = [np.flatnonzero(mask) for mask in masks]
    kept = at_least([own[number] for own, number in zip(scores, rows, strict=True)], k)
    return [number[best] for number, best in zip(rows, kept, strict=True)]


def at_least(values: Sequence[npt.NDArray[Any]], k: int) -> list[Mask]:
    """Return, for several arrays, which values are among the k highest of all, or tie with the last."""
    every = np.concatenate([np.zeros(0), *values])
    least = np.partition(every, -k)[-k] if len(every) > k else -np.inf
    return [own >= least for own in values]


def diverse(
    cosines: Sequence[float], vectors: Sequence[npt.NDArray[np.float32]], k: int, diversity: float
) -> list[int]:
    """Return which k vectors maximal marginal relevance chooses, one after the other.

    Each time the one with the highest ``(1 - diversity) * cosine to the question - diversity *
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
