"""The hybrid score: both arms, each row read together with what stands around it.

Rows are short (about two sentences), so that a context can be packed with little that nobody asked
for. Alone they say too little to be found by: a row is scored with its neighbours in the document.

    dense    cosine of the row, of its near neighbours, of its wider ones, of the best among these,
             and of its heading path
    lexical  BM25 of the row with its near neighbours, with its wider ones, and of its document

Both are put on scales of their own before they are added. The cosines are counted in standard
deviations over the corpus. BM25 is divided by the most that a row could reach, all terms of the
question in it without end (the "theoretical maximum" of Bruch, Gai and Ingber, "An Analysis of
Fusion Functions for Hybrid Retrieval", 2023): where a question shares few words with the corpus, a
standardised BM25 would still have its best row far out, this one says little. How much BM25 weighs
beside the cosines depends on the embedder, and is measured in each index (`rag.index.trust`).

The weights were chosen on questions about the reference corpora that were written for that, and on
``data/golden.jsonl``; many settings came within 0.01 of recall of these, which is inside the sets'
sampling error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from rag.index.lexical import K1, Found, Statistics, Term, idf, saturated
from rag.index.segment import Rows, Segment, Vectors

Scores = npt.NDArray[np.float64]

NEAR, WIDE = 1, 4  # rows on either side
_COMMON = 50  # a term in more than one row of so many: summing over all rows is quicker than searching
#: Weights of the cosines: the row's own, the mean of the near rows, that of the wide ones, the best
#: of the wide ones, and that of the heading path (title and sections).
DENSE = (1.0, 0.5, 0.25, 0.5, 0.6)
#: Weights of BM25 over the near rows, over the wide ones, and over the document.
LEXICAL = (0.6, 0.3, 0.6)
#: What BM25 at its theoretical maximum weighs beside one standard deviation of the cosines, for an
#: embedder that is trusted as much as BM25 (`rag.index.trust`).
BALANCE = 26.0


def dense(segment: Segment, unit: Vectors, rows: npt.NDArray[np.int64], mean: float) -> Scores:
    """Return the weighted sum of rows' cosines and their surroundings' (see `DENSE`).

    `mean` is the corpus's mean cosine, which is taken off each part.
    """
    first, end = segment.around(rows, WIDE)
    window = rows[:, None] + np.arange(-WIDE, WIDE + 1)
    inside = (window >= first[:, None]) & (window < end[:, None])
    needed, place = np.unique(np.where(inside, window, rows[:, None]), return_inverse=True)
    cosines = segment.cosines(unit, needed).astype(np.float64)[place.reshape(window.shape)]
    near = inside & (np.abs(np.arange(-WIDE, WIDE + 1)) <= NEAR)
    means = [np.where(mask, cosines, 0).sum(1) / mask.sum(1) for mask in (near, inside)]
    best = cosines.max(1)  # outside of the document a row's own cosine stands in the window
    parts = (cosines[:, WIDE], *means, best, segment.heading_cosines(unit, rows))
    total = np.asarray(sum(weight * part for weight, part in zip(DENSE, parts, strict=True)))
    return np.asarray(total - sum(DENSE[:4]) * mean)


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
        self._count = sum(
            len(np.unique(segment.document(np.flatnonzero(segment.live)))) for segment in segments
        )
        self._means = self._mean_lengths()

    def _mean_lengths(self) -> tuple[float, float, float]:
        """Return the mean length of the near rows and of the wide ones over rows, and of documents."""
        totals = np.zeros(3)
        for number, segment in enumerate(self._segments):
            live = np.flatnonzero(segment.live)
            for field, reach in enumerate((NEAR, WIDE)):
                totals[field] += self._length(number, *segment.around(live, reach)).sum(dtype=np.float64)
            totals[2] += segment.postings.lengths[live].sum(dtype=np.float64)
        near, wide = totals[:2] / max(self._statistics.count, 1)
        return near, wide, totals[2] / max(self._count, 1)

    def _length(self, number: int, first: Rows, end: Rows) -> Rows:
        sums = self._sums[number]
        length: Rows = sums[end] - sums[first]
        return length

    def lexical(self, asked: Sequence[Term]) -> list[Scores]:
        """Return every row's BM25 with its surroundings, in [0, 1], one array per segment.

        The share of the most that could be reached (see `LEXICAL`). Document frequencies are those
        of single rows over live rows, as in `rag.index.lexical`; for whole documents, of documents.
        """
        out = [np.zeros(segment.rows) for segment in self._segments]
        whole = [np.zeros(len(segment.documents)) for segment in self._segments]
        most = most_whole = 0.0
        for repeated, df, found in asked:
            weight = repeated * idf(df, self._statistics.count)
            most += weight
            holding = [self._documents(number, *rows) for number, rows in enumerate(found)]
            of_documents = repeated * idf(sum(len(docs) for docs, _ in holding), self._count)
            most_whole += of_documents
            for number, ((rows, frequency), documents) in enumerate(zip(found, holding, strict=True)):
                if len(rows):
                    self._add_rows(out[number], number, rows, frequency, weight)
                    self._add_documents(whole[number], number, *documents, of_documents)
        scale = (K1 + 1) * sum(LEXICAL)
        for segment, total, of_document in zip(self._segments, out, whole, strict=True):
            total /= max(most * scale, 1e-9)
            total += LEXICAL[2] / max(most_whole * scale, 1e-9) * segment.of_documents(of_document)
        return out

    def _documents(self, number: int, rows: Found, frequency: Found) -> tuple[Rows, Scores]:
        """Return the live documents that hold a term, and how often each does."""
        segment = self._segments[number]
        if len(segment.removed):
            live = segment.live[rows]
            rows, frequency = rows[live], frequency[live]
        numbers, place = np.unique(segment.document(rows).astype(np.int64), return_inverse=True)
        return numbers, np.bincount(place, frequency, len(numbers)).astype(np.float64)

    def _add_rows(self, total: Scores, number: int, rows: Found, frequency: Found, weight: float) -> None:
        """Add a term's share to the rows around its occurrences."""
        segment = self._segments[number]
        at = rows.astype(np.int64)
        first, end = segment.around(at, WIDE)
        window = at + np.arange(-WIDE, WIDE + 1)[:, None]
        near = np.sort(window[(window >= first) & (window < end)], kind="stable")  # of sorted runs: quick
        touched = near[np.diff(near, prepend=-1) > 0]
        before = _running(at, frequency, segment.rows)
        for share, reach, mean in zip(LEXICAL, (NEAR, WIDE), self._means, strict=False):
            low, high = segment.around(touched, reach)
            tf = before(high) - before(low)
            total[touched] += share * weight * saturated(tf, self._length(number, low, high), mean)

    def _add_documents(
        self, total: Scores, number: int, documents: Rows, frequency: Scores, weight: float
    ) -> None:
        """Add a term's share to the documents that hold it."""
        length = self._length(number, *self._segments[number].runs(documents))
        total[documents] += weight * saturated(frequency, length, self._means[2])


def _running(rows: Rows, frequency: Found, count: int) -> Callable[[Rows], Rows]:
    """Return what gives, for row numbers, a term's frequency in all rows before each."""
    if _COMMON * len(rows) < count:
        sums = np.concatenate([[0], np.cumsum(frequency, dtype=np.int64)])
        return lambda wanted: sums[np.searchsorted(rows, wanted)]
    every = np.zeros(count + 1, np.int64)
    every[rows + 1] = frequency
    np.cumsum(every, out=every)
    return lambda wanted: every[wanted]
