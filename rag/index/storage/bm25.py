"""BM25 over a segment's rows: postings on disk, statistics over the rows that are live at query time.

Postings hold term frequencies, not scores, so that the scores of an index after changes and
removals equal those of a fresh build: document frequency, count and mean length are taken over the
live rows of all segments at query time.

The formula is BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
Beyond" (2009), with the non-negative idf of Lucene (``ln(1 + (N - df + 0.5) / (df + 0.5))``), and
k1 = 0.9, b = 0.4 as tuned by Trotman, Jia and Crane (2012) and used by Anserini.
"""

from __future__ import annotations

import bisect
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rag.core.errors import StoreCorruptError
from rag.core.text import terms
from rag.index.storage.arrays import int64
from rag.index.storage.columns import ADVICE, ArrayWriter, Columns, open_array, reading

Rows = npt.NDArray[np.int32]
Frequencies = npt.NDArray[np.uint16]
_TERMS = pa.schema([("term", pa.string()), ("end", pa.int64())])

K1 = 0.9
B = 0.4
_STEP = 64  # terms from one signpost to the next
_PIECE = 1 << 22  # postings that are sorted in memory at once


class QueryTerm(NamedTuple):
    """A term of a question, looked up.

    `repeats` is how often the question has it, `df` how many live rows hold it, and `postings` are its
    rows and frequencies in each segment.
    """

    repeats: int
    df: int
    postings: list[tuple[Rows, Frequencies]]


class LexicalWriter:
    """Collects the terms of a segment's rows; `write` writes the postings files.

    Only the vocabulary is in memory; the postings wait in files, and a counting sort orders them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ids: dict[str, int] = {}
        self._counts: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._waiting = [
            ArrayWriter(folder / f"waiting-{name}.npy", kind)
            for name, kind in (("terms", np.int32), ("rows", np.int32), ("frequencies", np.uint16))
        ]
        self._lengths = ArrayWriter(folder / "lengths.npy", np.int32)

    def add(self, texts: Iterable[str]) -> None:
        """Add the next rows."""
        ids = self._ids
        term_ids: list[int] = []
        counts: list[int] = []
        unique: list[int] = []
        lengths: list[int] = []
        for text in texts:
            bag = Counter(terms(text))
            term_ids += [ids.setdefault(term, len(ids)) for term in bag]
            counts += bag.values()
            unique.append(len(bag))
            lengths.append(bag.total())
        first = self._lengths.rows
        rows = np.repeat(np.arange(first, first + len(unique), dtype=np.int32), unique)
        frequency = np.minimum(np.array(counts, np.int64), 65535).astype(np.uint16)
        self._wait(np.array(term_ids, np.int32), rows, frequency)
        self._lengths.append(np.array(lengths, np.int32))

    def copy(self, postings: Postings, live: npt.NDArray[np.bool_]) -> None:
        """Add the live rows of another segment."""
        names, ends, rows, frequency = postings.everything()
        number = np.cumsum(live, dtype=np.int64) - 1 + self._lengths.rows
        new_ids = np.array([self._ids.setdefault(name, len(self._ids)) for name in names], np.int32)
        for at in range(0, len(rows), _PIECE):
            piece = rows[at : at + _PIECE]
            term = new_ids[np.searchsorted(ends, np.arange(at, at + len(piece)), side="right")]
            kept = live[piece]
            here = number[piece[kept]].astype(np.int32)
            self._wait(term[kept], here, frequency[at : at + len(piece)][kept])
        self._lengths.append(postings.lengths[live])

    def _wait(self, term: Rows, rows: Rows, frequency: Frequencies) -> None:
        columns: tuple[npt.NDArray[Any], ...] = (term, rows, frequency)
        for file, values in zip(self._waiting, columns, strict=True):
            file.append(values)
        counts = np.bincount(term, minlength=len(self._ids))
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    def write(self) -> None:
        """Write the postings: terms in order, and for each its rows, ascending."""
        self._lengths.close()
        # A copied segment may bring terms that only its removed rows held.
        names = sorted(name for name, number in self._ids.items() if self._counts[number])
        numbers = np.array([self._ids[name] for name in names], np.int64)
        rank = np.zeros(len(self._ids), np.int64)
        rank[numbers] = np.arange(len(names))
        ends = np.cumsum(self._counts[numbers])
        table = pa.table({"term": pa.array(names, pa.string()), "end": pa.array(ends, pa.int64())}, _TERMS)
        with pa.ipc.new_file(str(self._folder / "terms.arrow"), table.schema) as sink:
            sink.write_table(table.combine_chunks())
        self._order(rank, ends - self._counts[numbers])

    def _order(self, rank: npt.NDArray[np.int64], place: npt.NDArray[np.int64]) -> None:
        """Put each waiting posting at its term's next place, piece by piece."""
        total = self._waiting[0].rows
        out = [
            _room(self._folder / name, kind, total)
            for name, kind in (("postings.npy", np.int32), ("frequencies.npy", np.uint16))
        ]
        for term, *columns in zip(*(file.pieces(_PIECE) for file in self._waiting), strict=True):
            piece = rank[term]
            order = np.argsort(piece, kind="stable")
            piece = piece[order]
            new = np.concatenate([[True], piece[1:] != piece[:-1]])
            first = np.flatnonzero(new)
            count = np.diff(first, append=len(piece))
            goal = np.repeat(place[piece[first]] - first, count) + np.arange(len(piece))
            place[piece[first]] += count
            for target, column in zip(out, columns, strict=True):
                target[goal] = column[order]
        for file in self._waiting:
            file.path.unlink()

    def close(self) -> None:
        """Close the files."""
        for file in (*self._waiting, self._lengths):
            file.close()


def _room(path: Path, kind: type[np.generic], total: int) -> npt.NDArray[Any]:
    """Create a numpy file of `total` zeros and map it for writing; an empty file cannot be mapped.

    The zeros are written, so that a full disk is an error here. To write to a hole of a mapped file for
    which there is no room kills the process (SIGBUS).
    """
    with contextlib.closing(ArrayWriter(path, kind)) as file:
        for at in range(0, total, _PIECE):
            file.append(np.zeros(min(_PIECE, total - at), kind))
    return np.load(path, "r+") if total else np.zeros(0, kind)


class Postings:
    """The postings of one segment, memory-mapped."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder = folder
        self._table = Columns(folder / "terms.arrow", _TERMS)
        self._ends = self._table.numbers("end")
        total = int(self._ends[-1]) if len(self._ends) else 0
        if len(self._ends) and (self._ends[0] < 1 or np.any(np.diff(self._ends) < 1)):
            raise StoreCorruptError(
                f"{folder / 'terms.arrow'} is damaged (its ends are not in order): {ADVICE}"
            )
        self._rows = open_array(folder / "postings.npy", np.int32, (total,))
        self._frequency = open_array(folder / "frequencies.npy", np.uint16, (total,))
        self.lengths = open_array(folder / "lengths.npy", np.int32, (rows,))
        self._sound: set[str] = set()  # terms whose rows were looked at

    @cached_property
    def _terms(self) -> pa.Array:
        chunks = self._table.chunks("term")
        return chunks[0] if len(chunks) == 1 else pa.concat_arrays([pa.nulls(0, pa.string()), *chunks])

    @cached_property
    def _signposts(self) -> list[str]:
        """Every 64th term (`_STEP`), to find a term's neighbourhood without reading the vocabulary."""
        numbers = int64(np.arange(0, len(self._terms), _STEP))
        names: list[str] = self._terms.take(numbers).to_pylist()
        return names

    def find(self, term: str) -> tuple[Rows, Frequencies]:
        """Return the rows that hold a term, ascending, and how often each does."""
        with reading(self._folder / "terms.arrow"):
            first = max(bisect.bisect_right(self._signposts, term) - 1, 0) * _STEP
            names = self._terms.slice(first, _STEP).to_pylist()
            place = bisect.bisect_left(names, term)
        if place == len(names) or names[place] != term:
            return self._rows[:0], self._frequency[:0]
        low = first + place
        start = int(self._ends[low - 1]) if low else 0
        end = int(self._ends[low])
        rows = self._rows[start:end]
        if term not in self._sound:
            if rows[0] < 0 or rows[-1] >= len(self.lengths) or np.any(rows[1:] <= rows[:-1]):
                raise StoreCorruptError(f"{self._folder / 'postings.npy'} is damaged (at {term!r}): {ADVICE}")
            self._sound.add(term)
        return rows, self._frequency[start:end]

    def everything(self) -> tuple[list[str], npt.NDArray[np.int64], Rows, Frequencies]:
        """Return all terms in order, where the postings of each end, and the postings."""
        names: list[str] = self._terms.to_pylist()
        rows = self._rows
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.lengths):
            raise StoreCorruptError(f"{self._folder / 'postings.npy'} is damaged: {ADVICE}")
        return names, self._ends, rows, self._frequency


class Statistics:
    """What BM25 needs of the live rows of some segments.

    Attributes
    ----------
    count : int
        Live rows.
    mean : float
        Their mean length in terms.
    """

    def __init__(self, postings: Sequence[Postings], live: Sequence[npt.NDArray[np.bool_]]) -> None:
        self._postings, self._live = postings, live
        self._whole = [bool(mask.all()) for mask in live]
        self.count = int(sum(np.count_nonzero(mask) for mask in live))
        total = sum(float(p.lengths[mask].sum()) for p, mask in zip(postings, live, strict=True))
        self.mean = total / self.count if self.count else 0.0

    def look_up(self, query: str) -> list[QueryTerm]:
        """Look up the terms of a question."""
        out = []
        for term, repeats in Counter(terms(query)).items():
            postings = [segment.find(term) for segment in self._postings]
            held = zip(postings, self._live, self._whole, strict=True)
            df = sum(
                len(rows) if whole else int(np.count_nonzero(live[rows])) for (rows, _), live, whole in held
            )
            out.append(QueryTerm(repeats, df, postings))
        return out

    def score(self, query: Sequence[QueryTerm]) -> list[npt.NDArray[np.float32]]:
        """Score every row of every segment by BM25.

        Returns
        -------
        list of ndarray, float32, shape (rows,)
            One per segment; >= 0, and 0 where no term of the query occurs. Rows that are not live
            have scores too: mask them.
        """
        scores = [np.zeros(len(mask)) for mask in self._live]
        for term in query:
            if not term.df:
                continue
            weight = term.repeats * float(idf(term.df, self.count))
            for (rows, frequency), out, segment in zip(term.postings, scores, self._postings, strict=True):
                norm = length_norm(segment.lengths[rows], self.mean)
                out[rows] += weight * saturated(frequency.astype(np.float64), norm)
        return [out.astype(np.float32) for out in scores]

    def score_rows(
        self, query: Sequence[QueryTerm], number: int, wanted: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return the scores of some rows of a segment, equal to those of `score`."""
        norm = length_norm(self._postings[number].lengths[wanted], self.mean)
        scores = np.zeros(len(wanted))
        for term in query:
            rows, frequency = term.postings[number]
            if not term.df or not len(rows):
                continue
            at = np.minimum(np.searchsorted(rows, wanted.astype(rows.dtype)), len(rows) - 1)
            tf = np.where(rows[at] == wanted, frequency[at], 0).astype(np.float64)
            scores += term.repeats * float(idf(term.df, self.count)) * saturated(tf, norm)
        return scores.astype(np.float32)


def length_norm(lengths: npt.NDArray[Any], mean: float) -> npt.NDArray[np.float64]:
    """Return what BM25 adds to the term frequencies of texts of some lengths, in its denominator."""
    return np.asarray(K1 * (1 - B + B * lengths / max(mean, 1e-9)))


def saturated(tf: npt.NDArray[Any], norm: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return BM25's saturated term frequencies, each below ``K1 + 1``; `norm` is that of `length_norm`."""
    out: npt.NDArray[Any] = tf * (K1 + 1) / (tf + norm)
    return out


def idf(df: npt.ArrayLike, count: int) -> npt.NDArray[np.float64]:
    """Return the inverse document frequency of terms that `df` of `count` rows (or documents) hold."""
    df = np.asarray(df, np.float64)
    return np.log(1 + (count - df + 0.5) / (df + 0.5))
