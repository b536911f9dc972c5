"""The hybrid score: cosines and BM25, of each row and of the rows around it.

Rows are short (about two sentences), so that a context holds little beside the answer. A row alone has
too little text to be ranked well, so it is scored with its neighbours in the document.

    dense    cosine of the row, of its near neighbours, of its wider ones, of the best among these,
             and of its heading path
    lexical  BM25 of the row with its near neighbours, with its wider ones, and of its document

Each is scaled before they are added. The cosines are counted in standard deviations over the corpus.
BM25 is divided by its maximum, that of a row with infinitely many occurrences of every term of the
question (the "theoretical maximum" of Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid
Retrieval", 2023): where a question shares few words with the corpus, a standardised BM25 would still put
its best row far out, but this one stays small. The weight of BM25 beside the cosines depends on the
embedder and is measured in each index (`lexical_balance`).

The weights were chosen on questions written for the purpose about the reference corpora, and on
``data/golden.jsonl``; many settings came within 0.01 of their recall, which is inside the sets' sampling
error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rag.index.storage.bm25 import K1, QueryTerm, Statistics, idf, saturated
from rag.index.storage.layout import Rows, Vectors
from rag.index.storage.segment import Segment

Scores = npt.NDArray[np.float64]

NEAR, WIDE = 1, 4  # rows on either side
_COMMON = 50  # from one posting in so many rows on, sums over all rows are quicker than binary searches
_AT_ONCE = 1 << 16  # postings of terms that are scored together: their arrays should stay small
#: Weights of the cosines: the row's, the mean of the near rows, that of the wide ones, the best
#: of the wide ones, and that of the heading path (title and sections).
DENSE = (1.0, 0.5, 0.25, 0.5, 0.6)
#: Weights of BM25 over the near rows, over the wide ones, and over the document.
LEXICAL = (0.6, 0.3, 0.6)
#: Weight of BM25 at its theoretical maximum beside one standard deviation of the cosines, for an
#: embedder that ranks neighbours as well as BM25 (`rag.index.search.lexical_balance`).
BALANCE = 26.0


def dense(segment: Segment, unit: Vectors, rows: npt.NDArray[np.int64], mean: float) -> Scores:
    """Return the weighted sum of rows' cosines and their surroundings' (see `DENSE`).

    `rows` ascend without repeats; `mean` is the corpus's mean cosine, which is subtracted from each part.
    """
    first, end = segment.around(rows, WIDE)
    window = rows[:, None] + np.arange(-WIDE, WIDE + 1)
    inside = (window >= first[:, None]) & (window < end[:, None])
    # The rows ascend, so each needs only the cosines beyond the window of the row before it; its own is
    # WIDE before the last of these.
    new = np.minimum(np.diff(rows, prepend=-2 * WIDE - 1), 2 * WIDE + 1)
    last = np.cumsum(new)
    needed = np.repeat(rows + WIDE + 1 - last, new) + np.arange(last[-1] if len(last) else 0)
    cosines = segment.cosines(unit, np.clip(needed, 0, segment.rows - 1)).astype(np.float64)
    cosines = cosines[(last - 1 - WIDE)[:, None] + np.arange(-WIDE, WIDE + 1)]
    cosines = np.where(inside, cosines, cosines[:, WIDE, None])  # outside the document: the row's own
    near = inside & (np.abs(np.arange(-WIDE, WIDE + 1)) <= NEAR)
    means = [np.where(mask, cosines, 0).sum(1) / mask.sum(1) for mask in (near, inside)]
    best = cosines.max(1)
    parts = (cosines[:, WIDE], *means, best, segment.heading_cosines(unit, rows))
    total = np.asarray(sum(weight * part for weight, part in zip(DENSE, parts, strict=True)))
    return np.asarray(total - sum(DENSE[:4]) * mean)


class Surroundings:
    """BM25 of rows with the rows around them, over the live rows of some segments.

    Only rows near an occurrence of a term, and documents that hold it, are computed.
    """

    def __init__(self, segments: Sequence[Segment], statistics: Statistics) -> None:
        self._segments, self._statistics = segments, statistics
        # Lengths of runs of rows are differences of these sums.
        self._sums = [
            np.concatenate([[0], np.cumsum(segment.postings.lengths, dtype=np.int64)]) for segment in segments
        ]
        self._count = sum(len(np.unique(segment.document_of_row[segment.live])) for segment in segments)
        self._means = self._mean_lengths()

    def _mean_lengths(self) -> tuple[float, float, float]:
        """Return the mean length of the near rows and of the wide ones over rows, and of documents."""
        totals = np.zeros(3)
        for number, segment in enumerate(self._segments):
            live = np.flatnonzero(segment.live)
            for field, reach in enumerate((NEAR, WIDE)):
                first, end = segment.around(live, reach)
                totals[field] += (self._sums[number][end] - self._sums[number][first]).sum(dtype=np.float64)
            totals[2] += segment.postings.lengths[live].sum(dtype=np.float64)
        near, wide = totals[:2] / max(self._statistics.count, 1)
        return near, wide, totals[2] / max(self._count, 1)

    def lexical(self, query: Sequence[QueryTerm]) -> list[Scores]:
        """Return every row's BM25 with its surroundings, as a share of the maximum, in [0, 1].

        One array per segment; see `LEXICAL` for the weights. Document frequencies are those
        of single rows over live rows, as in `rag.index.storage.bm25`; for whole documents, of documents.
        """
        out = [np.zeros(segment.rows) for segment in self._segments]
        whole = [np.zeros(len(segment.documents)) for segment in self._segments]
        most = most_whole = 0.0
        for terms in _groups(query):
            repeats = np.array([term.repeats for term in terms])
            weights = repeats * idf(np.array([term.df for term in terms]), self._statistics.count)
            rows = [_joined([term.postings[n] for term in terms]) for n in range(len(self._segments))]
            documents = [self._by_document(n, occurrences) for n, occurrences in enumerate(rows)]
            df = sum(np.bincount(occurrences.term, minlength=len(terms)) for occurrences in documents)
            document_weights = repeats * idf(df, self._count)
            most, most_whole = most + weights.sum(), most_whole + document_weights.sum()
            for number in range(len(self._segments)):
                self._add_rows(out[number], number, rows[number], weights)
                self._add_documents(whole[number], number, documents[number], document_weights)
        scale = (K1 + 1) * sum(LEXICAL)
        for segment, total, of_document in zip(self._segments, out, whole, strict=True):
            total /= max(most * scale, 1e-9)
            total += LEXICAL[2] / max(most_whole * scale, 1e-9) * segment.of_documents(of_document)
        return out

    def _by_document(self, number: int, occurrences: _Occurrences) -> _Occurrences:
        """Return the terms' occurrences in live documents from those in rows."""
        segment, (term, rows, frequency) = self._segments[number], occurrences
        if len(segment.removed):
            live = segment.live[rows]
            term, rows, frequency = term[live], rows[live], frequency[live]
        documents = segment.document_of_row[rows].astype(np.int64)
        new = np.flatnonzero((np.diff(documents, prepend=-1) != 0) | (np.diff(term, prepend=-1) != 0))
        sums = np.add.reduceat(frequency, new) if len(new) else frequency
        return _Occurrences(term[new], documents[new], sums)

    def _add_rows(self, total: Scores, number: int, rows: _Occurrences, weights: Scores) -> None:
        """Add the terms' scores to the rows around their occurrences."""
        segment, sums = self._segments[number], self._sums[number]
        # Place = term * rows + row: one array covers all terms.
        first, end = segment.around(rows.of, WIDE)
        window = rows.of + np.arange(-WIDE, WIDE + 1)[:, None]
        inside = (window >= first) & (window < end)
        start = rows.term * segment.rows
        near = np.sort((start + window)[inside], kind="stable")  # quick, as the rows of window are sorted
        term, touched = np.divmod(near[np.diff(near, prepend=-1) > 0], segment.rows)
        start, weight = term * segment.rows, weights[term]
        before = _running_sums(rows, segment.rows, len(weights))
        for share, reach, mean in zip(LEXICAL, (NEAR, WIDE), self._means, strict=False):
            low, high = segment.around(touched, reach)
            tf = before(start + high) - before(start + low)
            part = share * weight * saturated(tf, sums[high] - sums[low], mean)
            np.add.at(total, touched, part)

    def _add_documents(self, total: Scores, number: int, documents: _Occurrences, weights: Scores) -> None:
        """Add the terms' scores to the documents that hold them."""
        sums = self._sums[number]
        first, end = self._segments[number].rows_of_document
        length = sums[end[documents.of]] - sums[first[documents.of]]
        part = weights[documents.term] * saturated(documents.frequency, length, self._means[2])
        np.add.at(total, documents.of, part)


class _Occurrences(NamedTuple):
    """Where terms occur: in order of the term's position in its group, then of the row (or document).

    `of` are rows, or documents; `frequency` is how often the term occurs there.
    """

    term: Rows
    of: Rows
    frequency: Rows


def _groups(query: Sequence[QueryTerm]) -> Iterator[list[QueryTerm]]:
    """Yield terms in groups of at most `_AT_ONCE` postings, or of one term."""
    group: list[QueryTerm] = []
    size = 0
    for term in query:
        count = sum(len(rows) for rows, _ in term.postings)
        if group and size + count > _AT_ONCE:
            yield group
            group, size = [], 0
        group.append(term)
        size += count
    if group:
        yield group


def _joined(postings: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> _Occurrences:
    """Return the occurrences of some terms in a segment from their postings."""
    counts = [len(rows) for rows, _ in postings]
    return _Occurrences(
        np.repeat(np.arange(len(postings)), counts),
        np.concatenate([rows for rows, _ in postings]).astype(np.int64),
        np.concatenate([frequency for _, frequency in postings]).astype(np.int64),
    )


def _running_sums(occurrences: _Occurrences, rows: int, terms: int) -> Callable[[Rows], Rows]:
    """Return a function from places (term * rows + row) to the sum of all frequencies before each."""
    places = occurrences.term * rows + occurrences.of
    if _COMMON * len(places) < rows * terms:
        sums = np.concatenate([[0], np.cumsum(occurrences.frequency)])
        return lambda wanted: sums[np.searchsorted(places, wanted)]
    dense_sums = np.zeros(rows * terms + 1, np.int64)
    dense_sums[places + 1] = occurrences.frequency
    np.cumsum(dense_sums, out=dense_sums)
    return lambda wanted: dense_sums[wanted]
