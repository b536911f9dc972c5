"""Which rows come back, and in which order: the same whatever the history of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.index.mask import Mask
from rag.index.ranking import WIDE
from rag.index.segment import Segment

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
    """Return k rows, best first, none in the surroundings of a better one while there are others."""
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
        first, end = (int(side[0]) for side in segments[number].around(np.array([row]), WIDE))
        shadow.update((number, other) for other in range(first, end))
    chosen = {*kept, *near[: k - len(kept)]}
    return [key for key in order if key in chosen]


def highest(scores: Sequence[npt.NDArray[Any]], masks: Sequence[Mask], k: int) -> list[Key]:
    """Return the k rows of the masks with the highest scores, and those that tie with the last."""
    kept = [np.flatnonzero(mask) for mask in masks]
    values = [scores[number][rows] for number, rows in enumerate(kept)]
    every = np.concatenate([np.zeros(0), *values])
    least = np.partition(every, -k)[-k] if len(every) > k else -np.inf
    return [
        (number, int(row))
        for number, (rows, own) in enumerate(zip(kept, values, strict=True))
        for row in rows[own >= least]
    ]
