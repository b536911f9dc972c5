"""BM25 of rows with the rows around them, and the rows where it is highest.

The sum over terms is exact wherever it is asked for, but most rows are never looked at: as in MaxScore
(Turtle and Flood, "Query Evaluation: Strategies and Optimizations", 1995), terms are added from the
rarest on, and as soon as all that the others could still add lifts no further row among the best, these
others are added to the candidates only. A frequent term of a question weighs little, and has most of the
postings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rag.index.filters.mask import Mask
from rag.index.search.highest import highest
from rag.index.search.reach import NEAR, WIDE
from rag.index.storage.bm25 import K1, QueryTerm, Statistics, idf, length_norm, saturated
from rag.index.storage.layout import Rows
from rag.index.storage.segment import Segment

Scores = npt.NDArray[np.float64]

#: Weights of BM25 over the near rows, over the wide ones, and over the document.
LEXICAL = (0.6, 0.3, 0.6)
#: Postings of terms that are added together: their arrays should stay small.
AT_ONCE = 1 << 16
#: Candidates to which the frequent terms are added one by one, beside AT_ONCE of their postings.
FEW = 1 << 13
#: Shares of the maximum are compared with this margin, as sums in another order differ by rounding.
_MARGIN = 1e-9


class Surroundings:
    """What BM25 of rows with the rows around them needs of the live rows of some segments.

    Parameters
    ----------
    segments : sequence of Segment
    statistics : Statistics
        Of the same segments.
    """

    def __init__(self, segments: Sequence[Segment], statistics: Statistics) -> None:
        self.segments, self.statistics = segments, statistics
        self.count = sum(len(np.unique(segment.document_of_row[segment.live])) for segment in segments)
        totals, lengths = np.zeros(3), []
        for segment in segments:
            live, own = segment.live, segment.postings.lengths
            # Lengths of runs of rows are differences of these sums.
            sums = np.concatenate([[0], np.cumsum(own, dtype=np.int64)])
            every = np.arange(segment.rows)
            around = [segment.around(every, reach) for reach in (NEAR, WIDE)]
            first, end = segment.rows_of_document
            lengths.append([*(sums[high] - sums[low] for low, high in around), sums[end] - sums[first]])
            parts = (lengths[-1][0][live], lengths[-1][1][live], own[live])
            totals += [part.sum(dtype=np.float64) for part in parts]
        means = totals / [max(statistics.count, 1), max(statistics.count, 1), max(self.count, 1)]
        #: For each segment BM25's norms of the near rows and of the wide ones, by row, and of documents.
        self.norms = [
            [length_norm(length, mean) for length, mean in zip(three, means, strict=True)]
            for three in lengths
        ]

    def lexical(self, query: Sequence[QueryTerm]) -> Lexical:
        """Return the scores of a question."""
        return Lexical(self, query)


class Lexical:
    """The scores of one question: shares of the maximum, in [0, 1].

    Document frequencies are those of single rows over live rows, as in `rag.index.storage.bm25`; for whole
    documents, of documents.
    """

    def __init__(self, surroundings: Surroundings, query: Sequence[QueryTerm]) -> None:
        self._segments, self._norms = surroundings.segments, surroundings.norms
        scale = (K1 + 1) * sum(LEXICAL)
        weighed = [(t.repeats * float(idf(t.df, surroundings.statistics.count)), t) for t in query]
        weighed.sort(key=lambda pair: -pair[0])
        # A term that no row holds counts for the maximum all the same.
        most = max(sum(weight for weight, _ in weighed) * scale, 1e-9)
        self._terms = [_Term(weight / most, term.postings) for weight, term in weighed]
        self._documents = self._of_documents(query, surroundings.count, scale)
        #: For each segment, the sum of the first `_added` terms: of the rows that `best` was asked about.
        self._sums = [np.zeros(segment.rows) for segment in self._segments]
        self._added = 0

    def of(self, number: int, rows: Rows) -> Scores:
        """Return the scores of rows of a segment; after `best`, of rows in its masks."""
        total = self._sums[number][rows]
        if self._added < len(self._terms):
            windows = _Windows(self._segments[number], rows)
            for term in self._terms[self._added :]:
                near, wide = windows.frequencies(*term.postings[number])
                total = total + self._part(number, rows, term.weight, near, wide)
        document = self._segments[number].document_of_row[rows]
        return np.asarray(total + self._documents[number][document])

    def best(self, masks: Sequence[Mask], k: int) -> list[Rows]:
        """Return, by segment, the k rows with the highest scores, and those that tie; without zeros.

        Parameters
        ----------
        masks : sequence of ndarray of bool, shape (rows,)
            The rows to look at, one mask for each segment.
        k : int
        """
        counts = [int(np.count_nonzero(mask)) for mask in masks]
        if sum(counts) <= FEW:
            candidates = [np.flatnonzero(mask) for mask in masks]
        else:
            candidates = self._candidates(masks, k)
        scores = [self.of(number, rows) for number, rows in enumerate(candidates)]
        candidates = [rows[values > 0] for rows, values in zip(candidates, scores, strict=True)]
        scores = [values[values > 0] for values in scores]
        return [rows[at] for rows, at in zip(candidates, highest(scores, k), strict=True)]

    def _candidates(self, masks: Sequence[Mask], k: int) -> list[Rows]:
        """Add terms until few rows can be among the k best, and return these, by segment."""
        touched = [[np.zeros(0, np.int64)] for _ in masks]
        full = [bool(mask.all()) for mask in masks]
        candidates: list[Rows] | None = None
        for group in self._groups():
            for number, mask in enumerate(masks):
                touched[number].append(self._add(number, group, None if full[number] else mask))
            self._added += len(group)
            rest = sum(term.weight for term in self._terms[self._added :]) * (K1 + 1) * sum(LEXICAL[:2])
            rows = [_distinct(parts, len(mask)) for parts, mask in zip(touched, masks, strict=True)]
            touched = [[each] for each in rows]
            candidates = self._possible(masks, rows, k, rest)
            if candidates is not None:
                break
        return candidates or [np.zeros(0, np.int64) for _ in masks]

    def _possible(
        self, masks: Sequence[Mask], rows: Sequence[Rows], k: int, rest: float
    ) -> list[Rows] | None:
        """Return the rows that may be among the k best if terms add at most `rest`; None if too many."""
        known = [
            sums[at] + documents[segment.document_of_row[at]]
            for sums, documents, segment, at in zip(
                self._sums, self._documents, self._segments, rows, strict=True
            )
        ]
        together = np.concatenate(known)
        least = np.partition(together, -k)[-k] if len(together) >= k else 0.0
        least -= rest + _MARGIN
        if rest and least <= 0:
            return None
        out, count = [], 0
        for number, (segment, mask) in enumerate(zip(self._segments, masks, strict=True)):
            # A row without any of the terms so far has the score of its document.
            possible = self._documents[number] >= max(least, 0.0)
            possible &= self._documents[number] > 0
            first, end = segment.rows_of_document
            count += int((end - first)[possible].sum())
            if rest and count > FEW:
                return None
            whole = _ranges(first[possible], end[possible])
            likely = rows[number][known[number] >= least]
            count += len(likely)
            out.append(np.union1d(likely, whole[mask[whole]]))
        return out if count <= FEW or not rest else None

    def _of_documents(self, query: Sequence[QueryTerm], count: int, scale: float) -> list[Scores]:
        """Return the documents' part of the scores, by segment."""
        most = 0.0
        out = [np.zeros(len(segment.documents)) for segment in self._segments]
        for term in query:
            held = [
                _by_document(segment, *postings)
                for segment, postings in zip(self._segments, term.postings, strict=True)
            ]
            weight = term.repeats * float(idf(sum(len(documents) for documents, _ in held), count))
            most += weight
            for total, (documents, tf), norms in zip(out, held, self._norms, strict=True):
                total[documents] += weight * saturated(tf, norms[2][documents])
        for total in out:
            total *= LEXICAL[2] / max(most * scale, 1e-9)
        return out

    def _groups(self) -> Iterator[list[_Term]]:
        """Yield the terms, those with few postings together."""
        group: list[_Term] = []
        size = 0
        for term in self._terms:
            count = sum(len(rows) for rows, _ in term.postings)
            if group and size + count > AT_ONCE:
                yield group
                group, size = [], 0
            group.append(term)
            size += count
        if group:
            yield group

    def _add(self, number: int, group: Sequence[_Term], mask: Mask | None) -> Rows:
        """Add terms to the rows around their occurrences, and return these rows, with repeats."""
        segment = self._segments[number]
        counts = [len(term.postings[number][0]) for term in group]
        of = np.repeat(np.arange(len(group)), counts)
        held = np.concatenate([term.postings[number][0] for term in group]).astype(np.int64)
        if not len(held):
            return held
        frequency = np.concatenate([term.postings[number][1] for term in group])
        rows, owner, near, wide = _around_occurrences(segment, of, held, frequency)
        term = of[owner]
        if mask is not None:
            kept = mask[rows]
            rows, term, near, wide = rows[kept], term[kept], near[kept], wide[kept]
        weights = np.array([each.weight for each in group])
        part = self._part(number, rows, weights[term], near, wide)
        np.add.at(self._sums[number], rows, part)
        return rows

    def _part(self, number: int, rows: Rows, weight: Any, near: Rows, wide: Rows) -> Scores:
        """Return what a term adds to rows, from its frequencies in the rows around them."""
        norms = self._norms[number]
        both = LEXICAL[0] * saturated(near, norms[0][rows]) + LEXICAL[1] * saturated(wide, norms[1][rows])
        return np.asarray(weight * both)


class _Term(NamedTuple):
    """A term's weight as a share of the maximum, and its rows and frequencies in each segment."""

    weight: float
    postings: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]]


class _Windows:
    """The rows around some rows, in which occurrences of terms are counted by search."""

    def __init__(self, segment: Segment, rows: Rows) -> None:
        # In the postings' own type: others would be converted for each search.
        sides = [side for reach in (NEAR, WIDE) for side in segment.around(rows, reach)]
        self._sides = [side.astype(np.int32) for side in sides]

    def frequencies(
        self, rows: npt.NDArray[np.int32], frequency: npt.NDArray[np.uint16]
    ) -> tuple[Rows, Rows]:
        """Return how often a term occurs in the near rows, and in the wide ones."""
        near, near_end, first, end = (np.searchsorted(rows, side) for side in self._sides)
        sums = np.zeros((2, len(first)), np.int64)
        for step in range(int((end - first).max(initial=0))):
            at = first + step
            value = np.where(at < end, frequency[np.minimum(at, len(rows) - 1)], 0)
            sums[1] += value
            sums[0] += np.where((at >= near) & (at < near_end), value, 0)
        return sums[0], sums[1]


def _around_occurrences(
    segment: Segment, term: Rows, rows: Rows, frequency: npt.NDArray[np.uint16]
) -> tuple[Rows, Rows, Rows, Rows]:
    """Return the rows around occurrences of terms.

    Parameters
    ----------
    term, rows, frequency : ndarray, shape (occurrences,)
        The term's number, its row, and how often; in order of term, then row.

    Returns
    -------
    rows : ndarray of int64
        For each term, every row with an occurrence in its wide surroundings, once.
    occurrence : ndarray of int64
        The position of one of the row's occurrences: it is in the same document, and of the same term.
    near, wide : ndarray of int64
        The term's frequency in the near rows, and in the wide ones.
    """
    first, end = segment.around(rows, WIDE)
    start = term * segment.rows  # one line of numbers for all terms
    # Each occurrence contributes the rows that those before it did not; `last` is where its rows end.
    new = end + start
    new -= np.maximum(first + start, np.concatenate([[0], new[:-1]]))
    last = np.cumsum(new)
    owner = np.repeat(np.arange(len(rows)), new)
    place = np.arange(last[-1])
    counts = np.zeros(len(place) + 1, np.int64)
    counts[last - (end - rows) + 1] = frequency
    before = np.cumsum(counts)
    # In this line the surroundings of two occurrences in a document are either joined or far apart, as
    # there are WIDE rows without an occurrence on both sides; so only documents must be kept apart.
    document = segment.document_of_row[rows]
    leads = np.flatnonzero((np.diff(document, prepend=-1) != 0) | (np.diff(term, prepend=-1) != 0))
    size = np.diff(leads, append=len(rows))
    low = np.repeat((last - new)[leads], size)[owner]
    high = np.repeat(last[np.append(leads[1:], len(rows)) - 1], size)[owner]
    near, wide = (
        before[np.minimum(place + reach + 1, high)] - before[np.maximum(place - reach, low)]
        for reach in (NEAR, WIDE)
    )
    return place + (end - last)[owner], owner, near, wide


def _by_document(
    segment: Segment, rows: npt.NDArray[np.int32], frequency: npt.NDArray[np.uint16]
) -> tuple[Rows, Rows]:
    """Return the live documents in which a term occurs, ascending, and how often."""
    if len(segment.removed):
        live = segment.live[rows]
        rows, frequency = rows[live], frequency[live]
    document = segment.document_of_row[rows]
    new = np.flatnonzero(np.diff(document, prepend=-1))
    if not len(new):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return document[new].astype(np.int64), np.add.reduceat(frequency, new, dtype=np.int64)


def _distinct(parts: Sequence[Rows], count: int) -> Rows:
    """Return the distinct rows of some arrays, ascending; there are `count` rows in all."""
    if len(parts) == 1 and not np.any(np.diff(parts[0]) <= 0):
        return parts[0]
    together = np.concatenate(parts)
    if 16 * len(together) < count:
        return np.unique(together)
    among = np.zeros(count, bool)
    among[together] = True
    return np.flatnonzero(among)


def _ranges(first: Rows, end: Rows) -> Rows:
    """Return the numbers of the ranges [first, end), one after the other."""
    counts = end - first
    last = np.cumsum(counts)
    return np.arange(last[-1] if len(last) else 0) + np.repeat(end - last, counts)
