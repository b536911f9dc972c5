"""Which rows fit a question under masks: by cosine, by BM25, or by both (`hybrid_score`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from rag.index.filters.mask import Mask
from rag.index.search import hybrid_score, lexical_balance, ordering
from rag.index.search.ordering import Scored
from rag.index.storage.bm25 import Statistics
from rag.index.storage.segment import Rows, Segment, Vectors


class Searcher:
    """Searches the segments of one version, which hold so many live rows."""

    def __init__(self, segments: Sequence[Segment], count: int) -> None:
        self._segments, self._count = segments, count

    def dense(
        self, unit: Vectors, masks: Sequence[Mask], matches: Sequence[int], k: int
    ) -> tuple[Scored, int]:
        """Return the k nearest rows by cosine, of each segment, and how many were compared exactly."""
        out: Scored = {}
        compared = 0
        for number, (segment, mask, count) in enumerate(zip(self._segments, masks, matches, strict=True)):
            rows, cosines, looked = segment.nearest(unit, mask, k, count)
            compared += looked
            for row, cosine in zip(rows.tolist(), np.clip(cosines, -1, 1).tolist(), strict=True):
                out[number, row] = (cosine, cosine, None)
        return out, compared

    def lexical(self, query: str, masks: Sequence[Mask], k: int) -> Scored:
        """Return the k rows with the highest BM25, and those that tie with the last."""
        bm25 = self._statistics.score(self._statistics.found(query))
        best = ordering.highest(bm25, [m & (s > 0) for m, s in zip(masks, bm25, strict=True)], k)
        return {(n, row): (float(bm25[n][row]), None, float(bm25[n][row])) for n, row in best}

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
        """Score the best of either arm, and their neighbours, by both arms (`rag.index.search.hybrid_score`).

        Of these, the k best are returned (and those that tie with the last); more of them where they
        are to be spread, as some will be left out then.
        """
        width = max(200, 3 * k)
        asked = self._statistics.found(query)
        context, bm25 = self._surroundings.lexical(asked), self._statistics.score(asked)
        rows, compared = self._nearest_rows(unit, masks, matches, width)
        holding = [mask & (scores > 0) for mask, scores in zip(masks, context, strict=True)]
        wordy = ordering.highest_rows(context, holding, width)
        mean, deviation = self._cosine_moments(unit)
        weight *= self.lexical_balance
        found, scores = [], []
        for number, segment in enumerate(self._segments):
            near = np.concatenate([rows[number], wordy[number]])
            near = np.unique(
                np.concatenate(
                    [near, *(side - at for at, side in enumerate(segment.around(near, hybrid_score.NEAR)))]
                )
            )
            near = near[masks[number][near]]
            score = hybrid_score.dense(segment, unit, near, mean) / deviation + weight * context[number][near]
            found.append(near)
            # Single precision: sums that differ only by their order of addition become equal.
            scores.append(score.astype(np.float32))
        out: Scored = {}
        kept = ordering.at_least(scores, width if spread else k)
        for number, segment in enumerate(self._segments):
            chosen = found[number][kept[number]]
            cosines = np.clip(segment.cosines(unit, chosen), -1, 1).tolist()
            values = zip(chosen.tolist(), scores[number][kept[number]].tolist(), cosines, strict=True)
            for row, score, cosine in values:
                out[number, row] = (score, cosine, float(bm25[number][row]))
        return out, compared

    def _nearest_rows(
        self, unit: Vectors, masks: Sequence[Mask], matches: Sequence[int], k: int
    ) -> tuple[list[Rows], int]:
        """Return the k rows with the highest cosines, by segment, and how many were compared exactly."""
        found = [
            segment.nearest(unit, mask, k, count)
            for segment, mask, count in zip(self._segments, masks, matches, strict=True)
        ]
        kept = ordering.at_least([cosines for _, cosines, _ in found], k)
        rows = [rows[best] for (rows, _, _), best in zip(found, kept, strict=True)]
        return rows, sum(looked for _, _, looked in found)

    def _cosine_moments(self, unit: Vectors) -> tuple[float, float]:
        """Return mean and standard deviation of the live rows' cosines with a vector."""
        count = max(self._count, 1)
        sums = [segment.score_sums(unit) for segment in self._segments]
        mean = sum(total for total, _ in sums) / count
        variance = sum(square for _, square in sums) / count - mean * mean
        return mean, float(np.sqrt(max(variance, 0.0))) or 1.0

    @cached_property
    def lexical_balance(self) -> float:
        """What full BM25 weighs beside one deviation of the cosines, measured in this index.

        `hybrid_score.BALANCE` over the square of `lexical_balance.dense_trust`.
        """
        return hybrid_score.BALANCE / lexical_balance.dense_trust(self._segments) ** 2

    @cached_property
    def _surroundings(self) -> hybrid_score.Surroundings:
        return hybrid_score.Surroundings(self._segments, self._statistics)

    @cached_property
    def _statistics(self) -> Statistics:
        return Statistics(
            [segment.postings for segment in self._segments], [segment.live for segment in self._segments]
        )
