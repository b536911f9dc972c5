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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rag.text import terms

K1 = 0.9
B = 0.4


class LexicalWriter:
    """Collects the terms of a segment's rows; `write` makes the postings files."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._term: list[npt.NDArray[np.int32]] = []
        self._frequency: list[npt.NDArray[np.uint16]] = []
        self._unique: list[int] = []
        self._lengths: list[int] = []

    def add(self, text: str) -> None:
        """Add the next row."""
        counts = Counter(terms(text))
        ids = self._ids
        self._term.append(np.array([ids.setdefault(t, len(ids)) for t in counts], np.int32))
        self._frequency.append(np.minimum(np.array([*counts.values()], np.int64), 65535).astype(np.uint16))
        self._unique.append(len(counts))
        self._lengths.append(counts.total())

    def write(self, folder: Path) -> None:
        """Write the postings: terms in order, and for each its rows, ascending."""
        none = np.zeros(0, np.int32)
        rows = np.repeat(np.arange(len(self._unique), dtype=np.int32), self._unique)
        term = np.concatenate([*self._term, none])
        frequency = np.concatenate([*self._frequency, none.astype(np.uint16)])
        names = sorted(self._ids)
        rank = np.empty(len(names), np.int32)
        rank[[self._ids[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        term = rank[term]
        order = np.argsort(term, kind="stable")
        ends = np.cumsum(np.bincount(term, minlength=len(names)))
        table = pa.table({"term": pa.array(names, pa.string()), "end": pa.array(ends, pa.int64())})
        with pa.ipc.new_file(str(folder / "terms.arrow"), table.schema) as sink:
            sink.write_table(table.combine_chunks())
        np.save(folder / "postings.npy", rows[order])
        np.save(folder / "frequencies.npy", frequency[order])
        np.save(folder / "lengths.npy", np.array(self._lengths, np.int32))


class Postings:
    """The postings of one segment, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        table = pa.ipc.open_file(pa.memory_map(str(folder / "terms.arrow"))).read_all()
        batch = table.combine_chunks()
        self._terms = batch["term"].chunk(0) if len(batch) else pa.array([], pa.string())
        self._ends = batch["end"].to_numpy() if len(batch) else np.zeros(0, np.int64)
        load = np.load
        self._rows = load(folder / "postings.npy", mmap_mode="r", allow_pickle=False)
        self._frequency = load(folder / "frequencies.npy", mmap_mode="r", allow_pickle=False)
        self.lengths = load(folder / "lengths.npy", mmap_mode="r", allow_pickle=False)

    def find(self, term: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]:
        """Return the rows that hold a term, ascending, and how often each does."""
        low, high = 0, len(self._terms)
        while low < high:
            middle = (low + high) // 2
            if self._terms[middle].as_py() < term:
                low = middle + 1
            else:
                high = middle
        if low == len(self._terms) or self._terms[low].as_py() != term:
            return self._rows[:0], self._frequency[:0]
        start = int(self._ends[low - 1]) if low else 0
        end = int(self._ends[low])
        return self._rows[start:end], self._frequency[start:end]


def idf_of(df: int, count: int) -> float:
    """Return the weight of a term that `df` of `count` rows hold."""
    return float(np.log(1 + (count - df + 0.5) / (df + 0.5)))


def score(
    query: str, postings: Sequence[Postings], live: Sequence[npt.NDArray[np.bool_]]
) -> list[npt.NDArray[np.float32]]:
    """Score every row of every segment by BM25.

    Parameters
    ----------
    query : str
    postings : sequence of Postings
        One per segment.
    live : sequence of ndarray of bool
        For each segment which of its rows count.

    Returns
    -------
    list of ndarray, float32, shape (rows,)
        One per segment; >= 0, and 0 where no term of the query occurs. Rows that are not live have
        scores too: mask them.
    """
    count = int(sum(mask.sum() for mask in live))
    total = float(sum(p.lengths[mask].sum() for p, mask in zip(postings, live, strict=True)))
    scores = [np.zeros(len(mask), np.float32) for mask in live]
    if not count or not total:
        return scores
    mean = total / count
    norms = [K1 * (1 - B + B * np.asarray(p.lengths) / mean) for p in postings]
    for term, weight in Counter(terms(query)).items():
        found = [p.find(term) for p in postings]
        df = int(sum(mask[rows].sum() for (rows, _), mask in zip(found, live, strict=True)))
        if not df:
            continue
        idf = weight * idf_of(df, count)
        for (rows, frequency), out, norm in zip(found, scores, norms, strict=True):
            tf = frequency.astype(np.float64)
            out[rows] += idf * tf * (K1 + 1) / (tf + norm[rows])
    return scores
