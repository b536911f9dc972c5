"""BM25 over a segment's rows: postings on disk, statistics over whatever rows are live now.

Postings hold term frequencies, not scores, so that the scores of an index after changes and
removals equal those of a fresh build: document frequency, count and mean length are taken over the
live rows of all segments at query time.

The formula is BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and
Beyond" (2009), with the non-negative idf of Lucene (``ln(1 + (N - df + 0.5) / (df + 0.5))``), and
k1 = 0.9, b = 0.4 as tuned by Trotman, Jia and Crane (2012) and used by Anserini.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rag.errors import StoreCorruptError
from rag.index.columns import ADVICE, Columns, array
from rag.text import terms

Rows = npt.NDArray[np.int32]
Frequencies = npt.NDArray[np.uint16]

_TERMS = pa.schema([("term", pa.string()), ("end", pa.int64())])

K1 = 0.9
B = 0.4


class LexicalWriter:
    """Collects the terms of a segment's rows; `write` makes the postings files."""

    def __init__(self) -> None:
        none = np.zeros(0, np.int32)
        self._ids: dict[str, int] = {}
        self._postings: list[tuple[Rows, Rows, Frequencies]] = [(none, none, none.astype(np.uint16))]
        self._lengths: list[Rows] = [none]
        self._rows = 0

    def add(self, texts: Iterable[str]) -> None:
        """Add the next rows."""
        ids = self._ids
        found: list[int] = []
        counts: list[int] = []
        unique: list[int] = []
        lengths: list[int] = []
        for text in texts:
            own = Counter(terms(text))
            found += [ids.setdefault(term, len(ids)) for term in own]
            counts += own.values()
            unique.append(len(own))
            lengths.append(own.total())
        rows = np.repeat(np.arange(self._rows, self._rows + len(unique), dtype=np.int32), unique)
        frequency = np.minimum(np.array(counts, np.int64), 65535).astype(np.uint16)
        self._postings.append((np.array(found, np.int32), rows, frequency))
        self._lengths.append(np.array(lengths, np.int32))
        self._rows += len(unique)

    def copy(self, postings: Postings, live: npt.NDArray[np.bool_]) -> None:
        """Add the live rows of another segment."""
        names, ends, rows, frequency = postings.everything()
        number = np.cumsum(live, dtype=np.int64) - 1 + self._rows
        kept = live[rows]
        own = np.array([self._ids.setdefault(name, len(self._ids)) for name in names], np.int32)
        term = np.repeat(own, np.diff(ends, prepend=0))
        self._postings.append((term[kept], number[rows[kept]].astype(np.int32), frequency[kept]))
        self._lengths.append(postings.lengths[live])
        self._rows += int(live.sum())

    def write(self, folder: Path) -> None:
        """Write the postings: terms in order, and for each its rows, ascending."""
        term, rows, frequency = (np.concatenate(each) for each in zip(*self._postings, strict=True))
        self._postings = []
        # A copied segment may bring terms that only its removed rows held.
        count = np.bincount(term, minlength=len(self._ids))
        names = sorted(name for name, number in self._ids.items() if count[number])
        rank = np.zeros(len(self._ids), np.int32)
        rank[[self._ids[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        term = rank[term]
        order = np.argsort(term, kind="stable")
        ends = np.cumsum(np.bincount(term, minlength=len(names)))
        table = pa.table({"term": pa.array(names, pa.string()), "end": pa.array(ends, pa.int64())}, _TERMS)
        with pa.ipc.new_file(str(folder / "terms.arrow"), table.schema) as sink:
            sink.write_table(table.combine_chunks())
        np.save(folder / "postings.npy", rows[order])
        np.save(folder / "frequencies.npy", frequency[order])
        np.save(folder / "lengths.npy", np.concatenate(self._lengths))


class Postings:
    """The postings of one segment of so many rows, memory-mapped."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder = folder
        self._table = Columns(folder / "terms.arrow", _TERMS)
        self._ends = self._table.numbers("end")
        total = int(self._ends[-1]) if len(self._ends) else 0
        if len(self._ends) and (self._ends[0] < 1 or np.any(np.diff(self._ends) < 1)):
            raise StoreCorruptError(
                f"{folder / 'terms.arrow'} is damaged (its ends are not in order): {ADVICE}"
            )
        self._rows = array(folder / "postings.npy", np.int32, (total,))
        self._frequency = array(folder / "frequencies.npy", np.uint16, (total,))
        self.lengths = array(folder / "lengths.npy", np.int32, (rows,))

    @cached_property
    def _terms(self) -> pa.Array:
        chunks = self._table.chunks("term")
        return chunks[0] if len(chunks) == 1 else pa.concat_arrays([pa.array([], pa.string()), *chunks])

    def find(self, term: str) -> tuple[Rows, Frequencies]:
        """Return the rows that hold a term, ascending, and how often each does."""
        names = self._terms
        low, high = 0, len(names)
        while low < high:
            middle = (low + high) // 2
            if names[middle].as_py() < term:
                low = middle + 1
            else:
                high = middle
        if low == len(names) or names[low].as_py() != term:
            return self._rows[:0], self._frequency[:0]
        start = int(self._ends[low - 1]) if low else 0
        end = int(self._ends[low])
        rows = self._rows[start:end]
        if rows[0] < 0 or rows[-1] >= len(self.lengths) or np.any(np.diff(rows) < 1):
            raise StoreCorruptError(f"{self._folder / 'postings.npy'} is damaged (at {term!r}): {ADVICE}")
        return rows, self._frequency[start:end]

    def everything(self) -> tuple[list[str], npt.NDArray[np.int64], Rows, Frequencies]:
        """Return all terms in order, where the postings of each end, and the postings."""
        names: list[str] = self._terms.to_pylist()
        rows = self._rows
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.lengths):
            raise StoreCorruptError(f"{self._folder / 'postings.npy'} is damaged: {ADVICE}")
        return names, self._ends, rows, self._frequency


class Statistics:
    """What BM25 needs to know of the live rows of some segments.

    Attributes
    ----------
    count : int
        Live rows.
    mean : float
        Their mean length in terms.
    """

    def __init__(self, postings: Sequence[Postings], live: Sequence[npt.NDArray[np.bool_]]) -> None:
        self._postings, self._live = postings, live
        self.count = int(sum(np.count_nonzero(mask) for mask in live))
        total = sum(float(p.lengths[mask].sum()) for p, mask in zip(postings, live, strict=True))
        self.mean = total / self.count if self.count else 0.0

    def weighed(self, query: str) -> Iterator[tuple[float, list[tuple[Rows, Frequencies]]]]:
        """Yield for each term of a query that occurs its weight, and its postings in each segment."""
        for term, repeated in Counter(terms(query)).items():
            found = [postings.find(term) for postings in self._postings]
            df = sum(
                int(np.count_nonzero(mask[rows])) for (rows, _), mask in zip(found, self._live, strict=True)
            )
            if df:
                yield repeated * float(np.log(1 + (self.count - df + 0.5) / (df + 0.5))), found

    def score(self, query: str) -> list[npt.NDArray[np.float32]]:
        """Score every row of every segment by BM25.

        Returns
        -------
        list of ndarray, float32, shape (rows,)
            One per segment; >= 0, and 0 where no term of the query occurs. Rows that are not live
            have scores too: mask them.
        """
        scores = [np.zeros(len(mask)) for mask in self._live]
        for idf, found in self.weighed(query):
            for (rows, frequency), out, postings in zip(found, scores, self._postings, strict=True):
                tf = frequency.astype(np.float64)
                norm = K1 * (1 - B + B * postings.lengths[rows] / max(self.mean, 1e-9))
                out[rows] += idf * tf * (K1 + 1) / (tf + norm)
        return [out.astype(np.float32) for out in scores]
