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
beside the cosines depends on the embedder: it is measured in each index (`lexical_balance`).

The weights were chosen on questions about the reference corpora that were written for that, and on
``data/golden.jsonl``; many settings came within 0.01 of recall of these, which is inside the sets'
sampling error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rag.index.storage.bm25 import K1, Found, Statistics, Term, idf, saturated
from rag.index.storage.segment import Rows, Segment, Vectors

Scores = npt.NDArray[np.float64]

NEAR, WIDE = 1, 4  # rows on either side
_COMMON = 50  # a term in more than one row of so many: summing over all rows is quicker than searching
_AT_ONCE = 1 << 16  # postings: of many terms together, as long as they and what is around them stay small
#: Weights of the cosines: the row's own, the mean of the near rows, that of the wide ones, the best
#: of the wide ones, and that of the heading path (title and sections).
DENSE = (1.0, 0.5, 0.25, 0.5, 0.6)
#: Weights of BM25 over the near rows, over the wide ones, and over the document.
LEXICAL = (0.6, 0.3, 0.6)
#: What BM25 at its theoretical maximum weighs beside one standard deviation of the cosines, for an
#: embedder that is trusted as much as BM25 (`rag.index.search.lexical_balance`).
BALANCE = 26.0


def dense(segment: Segment, unit: Vectors, rows: npt.NDArray[np.int64], mean: float) -> Scores:
    """Return the weighted sum of rows' cosines and their surroundings' (see `DENSE`).

    `rows` ascend, each once; `mean` is the corpus's mean cosine, which is taken off each part.
    """
    first, end = segment.around(rows, WIDE)
    window = rows[:, None] + np.arange(-WIDE, WIDE + 1)
    inside = (window >= first[:, None]) & (window < end[:, None])
    # The rows ascend: each brings those behind the reach of the one before, and stands WIDE from its last.
    new = np.minimum(np.diff(rows, prepend=-2 * WIDE - 1), 2 * WIDE + 1)
    last = np.cumsum(new)
    needed = np.repeat(rows + WIDE + 1 - last, new) + np.arange(last[-1] if len(last) else 0)
    cosines = segment.cosines(unit, np.clip(needed, 0, segment.rows - 1)).astype(np.float64)
    cosines = cosines[(last - 1 - WIDE)[:, None] + np.arange(-WIDE, WIDE + 1)]
    cosines = np.where(inside, cosines, cosines[:, WIDE, None])  # a document ends where it ends
    near = inside & (np.abs(np.arange(-WIDE, WIDE + 1)) <= NEAR)
    means = [np.where(mask, cosines, 0).sum(1) / mask.sum(1) for mask in (near, inside)]
    best = cosines.max(1)
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
        of single rows over live rows, as in `rag.index.storage.bm25`; for whole documents, of documents.
        """
        out = [np.zeros(segment.rows) for segment in self._segments]
        whole = [np.zeros(len(segment.documents)) for segment in self._segments]
        most = most_whole = 0.0
        for some in _together(asked):
            repeated = np.array([times for times, _, _ in some])
            weights = repeated * idf(np.array([df for _, df, _ in some]), self._statistics.count)
            holding = [_joined([found[n] for _, _, found in some]) for n in range(len(self._segments))]
            documents = [self._documents(n, each) for n, each in enumerate(holding)]
            df = sum(np.bincount(each.term, minlength=len(some)) for each in documents)
            of_documents = repeated * idf(df, self._count)
            most, most_whole = most + weights.sum(), most_whole + of_documents.sum()
            for number in range(len(self._segments)):
                self._add_rows(out[number], number, holding[number], weights)
                self._add_documents(whole[number], number, documents[number], of_documents)
        scale = (K1 + 1) * sum(LEXICAL)
        for segment, total, of_document in zip(self._segments, out, whole, strict=True):
            total /= max(most * scale, 1e-9)
            total += LEXICAL[2] / max(most_whole * scale, 1e-9) * segment.of_documents(of_document)
        return out

    def _documents(self, number: int, holding: _Holding) -> _Holding:
        """Return the live documents that hold the terms, and how often each does."""
        segment, (term, rows, frequency) = self._segments[number], holding
        if len(segment.removed):
            live = segment.live[rows]
            term, rows, frequency = term[live], rows[live], frequency[live]
        documents = segment.document(rows).astype(np.int64)
        new = np.flatnonzero((np.diff(documents, prepend=-1) != 0) | (np.diff(term, prepend=-1) != 0))
        sums = np.add.reduceat(frequency, new) if len(new) else frequency
        return _Holding(term[new], documents[new], sums)

    def _add_rows(self, total: Scores, number: int, holding: _Holding, weights: Scores) -> None:
        """Add the terms' shares to the rows around their occurrences."""
        segment = self._segments[number]
        # Each term has a stretch of its own, as long as the segment, so that all are looked at at once.
        first, end = segment.around(holding.of, WIDE)
        window = holding.of + np.arange(-WIDE, WIDE + 1)[:, None]
        inside = (window >= first) & (window < end)
        start = holding.term * segment.rows
        near = np.sort((start + window)[inside], kind="stable")  # of sorted runs: quick
        term, touched = np.divmod(near[np.diff(near, prepend=-1) > 0], segment.rows)
        start, weight = term * segment.rows, weights[term]
        before = _running(holding, segment.rows, len(weights))
        for share, reach, mean in zip(LEXICAL, (NEAR, WIDE), self._means, strict=False):
            low, high = segment.around(touched, reach)
            tf = before(start + high) - before(start + low)
            part = share * weight * saturated(tf, self._length(number, low, high), mean)
            np.add.at(total, touched, part)

    def _add_documents(self, total: Scores, number: int, holding: _Holding, weights: Scores) -> None:
        """Add the terms' shares to the documents that hold them."""
        length = self._length(number, *self._segments[number].runs(holding.of))
        part = weights[holding.term] * saturated(holding.frequency, length, self._means[2])
        np.add.at(total, holding.of, part)


class _Holding(NamedTuple):
    """What holds some terms: by the terms' places among them, then in ascending order.

    `of` are rows, or documents; `frequency` is how often the term stands there.
    """

    term: Rows
    of: Rows
    frequency: Rows


def _together(asked: Sequence[Term]) -> Iterator[list[Term]]:
    """Yield terms in groups that have no more postings than are looked at at once, or one term."""
    group: list[Term] = []
    size = 0
    for term in asked:
        own = sum(len(rows) for rows, _ in term[2])
        if group and size + own > _AT_ONCE:
            yield group
            group, size = [], 0
        group.append(term)
        size += own
    if group:
        yield group


def _joined(postings: Sequence[tuple[Found, Found]]) -> _Holding:
    """Return the postings of some terms in a segment, one behind the other."""
    counts = [len(rows) for rows, _ in postings]
    return _Holding(
        np.repeat(np.arange(len(postings)), counts),
        np.concatenate([rows for rows, _ in postings]).astype(np.int64),
        np.concatenate([frequency for _, frequency in postings]).astype(np.int64),
    )


def _running(holding: _Holding, rows: int, terms: int) -> Callable[[Rows], Rows]:
    """Return what gives, for places in the terms' stretches, a term's frequency in all rows before each."""
    places = holding.term * rows + holding.of
    if _COMMON * len(places) < rows * terms:
        sums = np.concatenate([[0], np.cumsum(holding.frequency)])
        return lambda wanted: sums[np.searchsorted(places, wanted)]
    every = np.zeros(rows * terms + 1, np.int64)
    every[places + 1] = holding.frequency
    np.cumsum(every, out=every)
    return lambda wanted: every[wanted]
