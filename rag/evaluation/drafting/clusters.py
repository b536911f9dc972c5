"""Group questions that ask the same: agglomerative clustering by mean similarity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

#: Mean cosine from which on two groups of questions are one. Of the 41,616 pairs of data/golden.jsonl, all
#: of them different questions, 4 are above it (all-MiniLM-L6-v2).
SIMILAR = 0.72


def clusters(
    vectors: npt.NDArray[np.float32], weights: Sequence[int], least: float = SIMILAR
) -> list[list[int]]:
    """Return groups of rows, each in ascending order, by average linkage.

    The chain of nearest neighbours (Murtagh, Computer Journal 1983) finds the same merges as comparing all
    pairs each time does, in quadratic time.

    Parameters
    ----------
    vectors : array of shape (n, dimensions)
        Unit rows.
    weights : sequence of int
        How often each was asked.
    least : float
        Groups merge while their mean cosine is at least this.

    Examples
    --------
    >>> rows = np.array([[1, 0], [0, 1], [0.96, 0.28]], np.float32)
    >>> clusters(rows, [1, 1, 1])
    [[0, 2], [1]]
    """
    count = len(vectors)
    similar = (vectors @ vectors.T).astype(np.float64)
    np.fill_diagonal(similar, -np.inf)
    size = np.asarray(weights, np.float64)
    alive = np.ones(count, bool)
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while alive.sum() > 1:
        if not chain:
            chain = [int(np.flatnonzero(alive)[0])]
        last = chain[-1]
        nearest = int(np.argmax(np.where(alive, similar[last], -np.inf)))
        if len(chain) > 1 and similar[last, chain[-2]] >= similar[last, nearest]:
            nearest = chain[-2]
        if len(chain) < 2 or nearest != chain[-2]:
            chain.append(nearest)
            continue
        chain = chain[:-2]
        merges.append((float(similar[last, nearest]), last, nearest))
        joined = (similar[last] * size[last] + similar[nearest] * size[nearest]) / (
            size[last] + size[nearest]
        )
        size[nearest] += size[last]
        similar[nearest], similar[:, nearest] = joined, joined
        similar[nearest, nearest] = -np.inf
        alive[last] = False
    return _groups(count, [(a, b) for cosine, a, b in merges if cosine >= least])


def _groups(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    of = list(range(count))

    def root(number: int) -> int:
        while of[number] != number:
            of[number] = of[of[number]]
            number = of[number]
        return number

    for first, second in pairs:
        a, b = sorted((root(first), root(second)))
        of[b] = a
    groups: dict[int, list[int]] = {}
    for number in range(count):
        groups.setdefault(root(number), []).append(number)
    return list(groups.values())
