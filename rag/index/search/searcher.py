"""Which rows answer a question under masks: by cosine, by BM25, or by both (`hybrid_score`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from rag.index.filters.mask import Mask
from rag.index.search import hybrid_score, lexical_balance
from rag.index.search.highest import highest
from rag.index.search.ordering import Scored, highest_rows
from rag.index.search.reach import NEAR
from rag.index.search.surroundings import Surroundings
from rag.index.storage.bm25 import Statistics
from rag.index.storage.layout import Rows, Vectors
from rag.index.storage.segment import Segment

#: Candidates of each arm in a hybrid search: at least FEWEST, else PER_HIT for each hit.
FEWEST, PER_HIT = 200, 3


class Searcher:
    """Searches the segments of one version.

    Parameters
    ----------
    segments : sequence of Segment
    count : int
        Their live rows.
    """

    def __init__(self, segments: Sequence[Segment], count: int) -> None:
        self._segments, self._count = segments, count

    def dense(
        self, unit: Vectors, masks: Sequence[Mask], matches: Sequence[int], k: int
    ) -> tuple[Scored, int]:
        """Return the k nearest rows of each segment by cosine, and how many rows were compared exactly.

        Parameters
        ----------
        unit : ndarray of float32, shape (dimensions,)
            The question's vector, of unit length.
        masks : sequence of ndarray of bool, shape (rows,)
            The rows to search, one mask for each segment.
        matches : sequence of int
            The number of rows in each mask.
        k : int
        """
        scored: Scored = {}
        compared = 0
        for number, (segment, mask, count) in enumerate(zip(self._segments, masks, matches, strict=True)):
            rows, cosines, exact = segment.nearest(unit, mask, k, count)
            compared += exact
            for row, cosine in zip(rows.tolist(), np.clip(cosines, -1, 1).tolist(), strict=True):
                scored[number, row] = (cosine, cosine, None)
        return scored, compared

    def lexical(self, query: str, masks: Sequence[Mask], k: int) -> Scored:
        """Return the k rows with the highest BM25, and those that tie with the last."""
        bm25 = self._statistics.score(self._statistics.look_up(query))
        best = highest_rows(bm25, [m & (s > 0) for m, s in zip(masks, bm25, strict=True)], k)
        return {
            (number, row): (score, None, score)
            for number, (rows, scores) in enumerate(zip(best, bm25, strict=True))
            for row, score in zip(rows.tolist(), scores[rows].tolist(), strict=True)
        }

    def hybrid(
        self,
        query: str,
        unit: Vectors,
        masks: Sequence[Mask],
        matches: Sequence[int],
        k: int,
        weight: float,
        *,
        spread: bool,
    ) -> tuple[Scored, int]:
        """Score the best rows of either arm, and their neighbours, by both (`rag.index.search.hybrid_score`).

        Returns the k best rows, and those that tie with the last; more if the hits are to be `spread`,
        as some are left out then.
        """
        width = max(FEWEST, PER_HIT * k)
        terms = self._statistics.look_up(query)
        surroundings = self._surroundings.lexical(terms)
        nearest, compared = self._nearest(unit, masks, matches, width)
        lexical = surroundings.best(masks, width)
        mean, deviation = self._cosine_moments(unit)
        weight *= self.lexical_balance
        candidates, scores = [], []
        for number, segment in enumerate(self._segments):
            rows = np.concatenate([nearest[number], lexical[number]])
            first, end = segment.around(rows, NEAR)
            rows = np.unique(np.concatenate([rows, first, end - 1]))
            rows = rows[masks[number][rows]]
            score = hybrid_score.dense(segment, unit, rows, mean) / deviation
            score += weight * surroundings.of(number, rows)
            candidates.append(rows)
            # Single precision: sums that differ only by their order of addition become equal.
            scores.append(score.astype(np.float32))
        scored: Scored = {}
        best = highest(scores, width if spread else k)
        for number, segment in enumerate(self._segments):
            rows = candidates[number][best[number]]
            cosines = np.clip(segment.cosines(unit, rows), -1, 1)
            bm25 = self._statistics.score_rows(terms, number, rows)
            columns = (rows, scores[number][best[number]], cosines, bm25)
            for row, *values in zip(*(column.tolist() for column in columns), strict=True):
                scored[number, row] = (values[0], values[1], values[2])
        return scored, compared

    def _nearest(
        self, unit: Vectors, masks: Sequence[Mask], matches: Sequence[int], k: int
    ) -> tuple[list[Rows], int]:
        """Return, by segment, the k rows with the highest cosines, and how many were compared exactly."""
        nearest = [
            segment.nearest(unit, mask, k, count)
            for segment, mask, count in zip(self._segments, masks, matches, strict=True)
        ]
        best = highest([cosines for _, cosines, _ in nearest], k)
        rows = [rows[chosen] for (rows, _, _), chosen in zip(nearest, best, strict=True)]
        return rows, sum(exact for _, _, exact in nearest)

    def _cosine_moments(self, unit: Vectors) -> tuple[float, float]:
        """Return mean and standard deviation of the live rows' cosines with a vector."""
        count = max(self._count, 1)
        sums = [segment.score_sums(unit) for segment in self._segments]
        mean = sum(total for total, _ in sums) / count
        variance = sum(square for _, square in sums) / count - mean * mean
        return mean, float(np.sqrt(max(variance, 0.0))) or 1.0

    @cached_property
    def lexical_balance(self) -> float:
        """Weight of BM25 at its maximum beside one deviation of the cosines, measured in this index.

        `hybrid_score.BALANCE` over the square of `lexical_balance.dense_trust`.
        """
        return hybrid_score.BALANCE / lexical_balance.dense_trust(self._segments) ** 2

    @cached_property
    def _surroundings(self) -> Surroundings:
        return Surroundings(self._segments, self._statistics)

    @cached_property
    def _statistics(self) -> Statistics:
        return Statistics(
            [segment.postings for segment in self._segments], [segment.live for segment in self._segments]
        )
