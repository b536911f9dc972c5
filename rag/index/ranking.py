"""The hybrid score: both arms, each row read together with what stands around it.

Rows are short (about two sentences), so that a context can be packed with little that nobody asked
for. Alone they say too little to be found by: a row is scored with its neighbours in the document.

    dense    cosine of the row, of its near neighbours, of its wider ones, and of its heading path
    lexical  BM25 of the row with its near neighbours, with its wider ones, and of its document

Each arm is standardised over the corpus (its own mean and deviation) before they are added. The
weights were chosen by hand after random searches over them on two collections, the evidence
benchmark of Smith and Troynikov (2024) and ``data/golden.jsonl``: neither is held out for them. Many
settings came within 0.01 to 0.02 of recall of these, which is inside both sets' sampling error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.index.lexical import K1, B, Statistics
from rag.index.segment import Rows, Segment, Vectors

Scores = npt.NDArray[np.float64]

NEAR, WIDE = 1, 4  # rows on either side
#: Weights of the cosines: the row's own, the mean of the near rows, that of the wide ones, and that
#: of the heading path (title and sections).
DENSE = (1.0, 1.0, 0.5, 0.4)
#: Weights of BM25 over the near rows, over the wide ones, and over the document.
LEXICAL = (0.6, 0.3, 0.3)


def dense(segment: Segment, unit: Vectors, rows: npt.NDArray[np.int64]) -> Scores:
    """Return the weighted sum of rows' cosines and their surroundings' (see `DENSE`)."""
    first, end = segment.around(rows, WIDE)
    window = rows[:, None] + np.arange(-WIDE, WIDE + 1)
    inside = (window >= first[:, None]) & (window < end[:, None])
    needed, place = np.unique(np.where(inside, window, rows[:, None]), return_inverse=True)
    cosines = segment.cosines(unit, needed).astype(np.float64)[place.reshape(window.shape)]
    near = inside & (np.abs(np.arange(-WIDE, WIDE + 1)) <= NEAR)
    own = cosines[:, WIDE]
    means = [np.where(mask, cosines, 0).sum(1) / mask.sum(1) for mask in (near, inside)]
    parts = (own, *means, segment.heading_cosines(unit, rows))
    return np.asarray(sum(weight * part for weight, part in zip(DENSE, parts, strict=True)))


class Surroundings:
    """BM25 of rows with what stands around them, over the live rows of some segments.

    Only rows near an occurrence of a term, and documents that hold it, are looked at.
    """

    def __init__(self, segments: Sequence[Segment], statistics: Statistics) -> None:
        self._segments, self._statistics = segments, statistics
        # Lengths of runs of rows are differences of these sums.
        self._sums = [
            np.concatenate([[0], np.cumsum(segment.postings.lengths, dtype=np.int64)]) for segment in segments
        ]
        self._means = self._mean_lengths()

    def _mean_lengths(self) -> tuple[float, float, float]:
        """Return the mean length, over live rows, of the near rows, the wide ones, and the document."""
        totals = np.zeros(3)
        for number, segment in enumerate(self._segments):
            live = np.flatnonzero(segment.live)
            for field, reach in enumerate((NEAR, WIDE, segment.rows)):
                totals[field] += self._length(number, *segment.around(live, reach)).sum(dtype=np.float64)
        near, wide, whole = totals / max(self._statistics.count, 1)
        return near, wide, whole

    def _length(self, number: int, first: Rows, end: Rows) -> Rows:
        sums = self._sums[number]
        length: Rows = sums[end] - sums[first]
        return length

    def lexical(self, query: str) -> list[Scores]:
        """Return every row's BM25 with its surroundings (see `LEXICAL`), one array per segment.

        Document frequencies, as in `rag.index.lexical`, are those of single rows over live rows.
        """
        out = [np.zeros(segment.rows) for segment in self._segments]
        whole = [np.zeros(len(segment.documents)) for segment in self._segments]
        for idf, found in self._statistics.weighed(query):
            for number, (rows, frequency) in enumerate(found):
                if len(rows):
                    self._add(out[number], whole[number], number, rows, frequency, idf)
        for segment, total, of_document in zip(self._segments, out, whole, strict=True):
            total += segment.of_documents(of_document)
        return out

    def _add(
        self,
        total: Scores,
        of_document: Scores,
        number: int,
        rows: npt.NDArray[np.int32],
        frequency: npt.NDArray[np.uint16],
        idf: float,
    ) -> None:
        """Add a term's share to the rows around its occurrences, and to the documents of these."""
        segment = self._segments[number]
        at = rows.astype(np.int64)
        first, end = segment.around(at, WIDE)
        window = at + np.arange(-WIDE, WIDE + 1)[:, None]
        near = np.sort(window[(window >= first) & (window < end)], kind="stable")  # of sorted runs: quick
        touched = near[np.diff(near, prepend=-1) > 0]
        sums = np.concatenate([[0], np.cumsum(frequency, dtype=np.int64)])
        for share, reach, mean in zip(LEXICAL, (NEAR, WIDE), self._means, strict=False):
            low, high = segment.around(touched, reach)
            tf = sums[np.searchsorted(rows, high)] - sums[np.searchsorted(rows, low)]
            total[touched] += share * idf * _saturated(tf, self._length(number, low, high), mean)
        numbers, place = np.unique(segment.document(at), return_inverse=True)
        tf = np.bincount(place, frequency, len(numbers))
        length = self._length(number, *segment.runs(numbers))
        of_document[numbers] += LEXICAL[2] * idf * _saturated(tf, length, self._means[2])


def _saturated(tf: npt.NDArray[Any], length: Rows, mean: float) -> Scores:
    norm = K1 * (1 - B + B * length / max(mean, 1e-9))
    out: Scores = tf * (K1 + 1) / (tf + norm)
    return out


def moments(scores: Sequence[Scores], live: Sequence[npt.NDArray[np.bool_]]) -> tuple[float, float]:
    """Return mean and standard deviation of scores over the live rows."""
    kept = [values[mask] for values, mask in zip(scores, live, strict=True)]
    count = max(sum(map(len, kept)), 1)
    mean = sum(float(values.sum()) for values in kept) / count
    variance = sum(float(values @ values) for values in kept) / count - mean * mean
    return mean, float(np.sqrt(max(variance, 0.0))) or 1.0
