"""BM25 of rows with the rows around them, and the rows where it is highest.

The sum over terms is exact wherever it is asked for, but most rows are never looked at. As in block-max
indexes (Ding and Suel, "Faster Top-k Document Retrieval Using Block-Max Indexes", 2011), rows are taken in
blocks: how often a term occurs in a block and beside it bounds what it can add to any row there. The blocks
with the highest bounds are summed first; once the k-th best row has more than a block's bound, the block
cannot hold a better one. The bounds are made for each question from the postings, so no file holds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rag.index.filters.mask import Mask
from rag.index.search.highest import highest
from rag.index.search.reach import NEAR, WIDE
from rag.index.storage.bm25 import K1, QueryTerm, Statistics, idf, length_norm, saturated
from rag.index.storage.layout import Rows
from rag.index.storage.segment import Segment

Scores = npt.NDArray[np.float64]
#: Bounds: half the memory of scores.
Bounds = npt.NDArray[np.float32]

#: Weights of BM25 over the near rows, over the wide ones, and over the document.
LEXICAL = (0.6, 0.3, 0.6)
#: Rows of a block. The rows around one row are then in its block and one of those beside it.
BLOCK = 2 * WIDE
#: Rows of a block, and those on either side.
_LINE = BLOCK + 2 * WIDE
#: Blocks that are summed together at first; each further time four times as many.
AT_ONCE = 128
#: Shares of an array up to which it is quicker to look at some of its places than at all.
_FEW = 1 / 16
#: Bounds are compared with this margin: they are of single precision, and sums are rounded.
_MARGIN = 1e-5


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

    @cached_property
    def blocks(self) -> list[_Blocks]:
        """The blocks of each segment."""
        return [_blocks(segment, norms) for segment, norms in zip(self.segments, self.norms, strict=True)]

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
        self._surroundings = surroundings
        scale = (K1 + 1) * sum(LEXICAL)
        weighed = [(t.repeats * float(idf(t.df, surroundings.statistics.count)), t) for t in query]
        # A term that no row holds counts for the maximum all the same.
        most = max(sum(weight for weight, _ in weighed) * scale, 1e-9)
        self._terms = [_Term(weight / most, term.postings) for weight, term in weighed]
        self._documents = self._of_documents(query, surroundings.count, scale)

    def of(self, number: int, rows: Rows) -> Scores:
        """Return the scores of rows of a segment."""
        blocks, place = np.unique(rows // BLOCK, return_inverse=True)
        scores = self._of_blocks(number, blocks)
        return np.asarray(scores[place.reshape(-1), rows % BLOCK])

    def best(self, masks: Sequence[Mask], k: int) -> list[Rows]:
        """Return, by segment, the k rows with the highest scores, and those that tie; without zeros.

        Parameters
        ----------
        masks : sequence of ndarray of bool, shape (rows,)
            The rows to look at, one mask for each segment.
        k : int
        """
        of_segments = [self._bounds(number, mask) for number, mask in enumerate(masks)]
        starts = np.cumsum([0, *map(len, of_segments)])
        bounds = np.concatenate([np.zeros(0, np.float32), *of_segments])
        rows = [np.zeros(0, np.int64) for _ in masks]
        scores = [np.zeros(0) for _ in masks]
        waiting, size = np.flatnonzero(bounds > 0), AT_ONCE
        while len(waiting):
            (among,) = highest([bounds[waiting]], size)
            blocks, waiting = waiting[among], waiting[~among]
            for number, (start, mask) in enumerate(zip(starts, masks, strict=False)):
                own = blocks[(blocks >= start) & (blocks < starts[number + 1])] - start
                found, values = self._positive(number, own, mask)
                rows[number] = np.concatenate([rows[number], found])
                scores[number] = np.concatenate([scores[number], values])
            kept = highest(scores, k)
            rows = [at[some] for at, some in zip(rows, kept, strict=True)]
            scores = [values[some] for values, some in zip(scores, kept, strict=True)]
            if sum(map(len, rows)) >= k:
                least = min(float(values.min(initial=np.inf)) for values in scores) - _MARGIN
                waiting = waiting[bounds[waiting] > least]
            size *= 4
        return rows

    def _bounds(self, number: int, mask: Mask) -> Bounds:
        """Return what no row of the mask can exceed, for each block of a segment; 0 for one without rows."""
        blocks = self._surroundings.blocks[number]
        bounds = blocks.highest_of_documents(self._documents[number]).astype(np.float32)
        for term in self._terms:
            at, most = _beside(*term.postings[number], len(bounds))
            near, wide = saturated(most, blocks.near[at]), saturated(most, blocks.wide[at])
            bounds[at] += np.float32(term.weight) * (LEXICAL[0] * near + LEXICAL[1] * wide)
        if not mask.all():
            bounds[~np.logical_or.reduceat(mask, np.arange(0, len(mask), BLOCK))] = 0.0
        return bounds

    def _positive(self, number: int, blocks: Rows, mask: Mask) -> tuple[Rows, Scores]:
        """Return the rows of some blocks that are in the mask and have a score, and their scores."""
        scores = self._of_blocks(number, blocks).ravel()
        rows = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        scores[rows >= len(mask)] = 0.0
        kept = (scores > 0) & mask[np.minimum(rows, len(mask) - 1)]
        return rows[kept], scores[kept]

    def _of_blocks(self, number: int, blocks: Rows) -> Scores:
        """Return the scores of the rows of some blocks, ``(len(blocks), BLOCK)``."""
        segment = self._segments[number]
        if not len(blocks):
            return np.zeros((0, BLOCK))
        first = blocks * BLOCK - WIDE
        rows = np.minimum(blocks[:, None] * BLOCK + np.arange(BLOCK), segment.rows - 1).ravel()
        # The rows of each block, with those on either side, are written one after the other; of the
        # frequencies in this line, those around a row are a difference of two sums.
        shift = np.repeat(np.arange(len(blocks)) * _LINE - first, BLOCK)
        sides = [side + shift for reach in (NEAR, WIDE) for side in segment.around(rows, reach)]
        norms = [norm[rows] for norm in self._norms[number][:2]]
        total = np.zeros(len(rows))
        for term in self._terms:
            held, frequency = term.postings[number]
            # In the postings' own type: others would be converted for each search.
            low, high = (np.searchsorted(held, (first + end).astype(held.dtype)) for end in (0, _LINE))
            if not (low < high).any():
                continue
            at = _ranges(low, high)
            line = np.zeros(len(blocks) * _LINE + 1, np.int64)
            line[1 + held[at] + np.repeat(np.arange(len(blocks)) * _LINE - first, high - low)] = frequency[at]
            sums = np.cumsum(line)
            near, wide = (sums[sides[2 * n + 1]] - sums[sides[2 * n]] for n in range(2))
            hit = np.flatnonzero(wide)
            total[hit] += term.weight * (
                LEXICAL[0] * saturated(near[hit], norms[0][hit])
                + LEXICAL[1] * saturated(wide[hit], norms[1][hit])
            )
        total += self._documents[number][segment.document_of_row[rows]]
        return total.reshape(-1, BLOCK)

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


class _Term(NamedTuple):
    """A term's weight as a share of the maximum, and its rows and frequencies in each segment."""

    weight: float
    postings: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]]


class _Blocks(NamedTuple):
    """What bounds need of a segment's blocks: their least norms, and their first and last documents."""

    near: Bounds
    wide: Bounds
    first: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    several: Rows  # blocks of three documents or more

    def highest_of_documents(self, scores: Scores) -> Scores:
        """Return the highest score of the documents in each block."""
        out = np.maximum(scores[self.first], scores[self.last])
        if len(self.several):
            ends = np.stack([self.first[self.several], self.last[self.several] + 1], axis=1).ravel()
            out[self.several] = np.maximum.reduceat(np.append(scores, 0.0), ends)[::2]
        return out


def _blocks(segment: Segment, norms: Sequence[Scores]) -> _Blocks:
    starts = np.arange(0, segment.rows, BLOCK)
    near, wide = (np.minimum.reduceat(norm, starts).astype(np.float32) for norm in norms[:2])
    document = segment.document_of_row
    first, last = document[starts], document[np.minimum(starts + BLOCK, segment.rows) - 1]
    return _Blocks(near, wide, first, last, np.flatnonzero(last - first > 1))


def _by_document(
    segment: Segment, rows: npt.NDArray[np.int32], frequency: npt.NDArray[np.uint16]
) -> tuple[npt.NDArray[np.int32], Scores]:
    """Return the live documents in which a term occurs, ascending, and how often."""
    if len(segment.removed):
        live = segment.live[rows]
        rows, frequency = rows[live], frequency[live]
    document, count = segment.document_of_row[rows], len(segment.documents)
    if len(rows) <= _FEW * count:
        return _sums(document, frequency)
    sums = np.bincount(document, frequency, count)
    held = np.flatnonzero(sums).astype(np.int32)
    return held, sums[held].astype(np.float64)


def _beside(
    rows: npt.NDArray[np.int32], frequency: npt.NDArray[np.uint16], count: int
) -> tuple[Rows | slice, Bounds]:
    """Return the blocks, of `count`, around whose rows a term may occur, and how often at most."""
    held = rows // np.int32(BLOCK)
    line = np.zeros(count + 2, np.float32)
    at: Rows | slice = slice(None)
    if len(rows) > _FEW * count:
        line[1:-1] = np.bincount(held, frequency, count)
    else:
        held, line[held + 1] = _sums(held, frequency)
        near = np.zeros(count + 2, bool)
        near[held] = near[held + 1] = near[held + 2] = True
        at = np.flatnonzero(near[1:-1])
    return at, line[1:-1][at] + np.maximum(line[:-2][at], line[2:][at])


def _sums(
    group: npt.NDArray[np.int32], frequency: npt.NDArray[np.uint16]
) -> tuple[npt.NDArray[np.int32], Scores]:
    """Return the groups that occur, ascending as `group` is, and their sums."""
    new = np.flatnonzero(np.diff(group, prepend=-1))
    if not len(new):
        return group, np.zeros(0)
    return group[new], np.add.reduceat(frequency, new, dtype=np.float64)


def _ranges(first: Rows, end: Rows) -> Rows:
    """Return the numbers of the ranges [first, end), one after the other."""
    counts = end - first
    last = np.cumsum(counts)
    return np.arange(last[-1] if len(last) else 0) + np.repeat(end - last, counts)
