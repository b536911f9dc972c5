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

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.index.lexical import K1, B, idf_of
from rag.index.segment import Segment, Vectors
from rag.text import terms

Scores = npt.NDArray[np.float64]

NEAR, WIDE = 1, 4  # rows on either side
#: Weights of the cosines: the row's own, the mean of the near rows, that of the wide ones, and that
#: of the heading path (title and sections).
DENSE = (1.0, 1.0, 0.5, 0.4)
#: Weights of BM25 over the near rows, over the wide ones, and over the document.
LEXICAL = (0.6, 0.3, 0.3)


def dense(segment: Segment, unit: Vectors, rows: npt.NDArray[np.int64]) -> Scores:
    """Return the weighted sum of rows' cosines and their surroundings' (see `DENSE`)."""
    first, end = (side[rows] for side in segment.around(WIDE))
    window = rows[:, None] + np.arange(-WIDE, WIDE + 1)
    inside = (window >= first[:, None]) & (window < end[:, None])
    needed, place = np.unique(np.where(inside, window, rows[:, None]), return_inverse=True)
    cosines = segment.cosines(unit, needed).astype(np.float64)[place.reshape(window.shape)]
    near = inside & (np.abs(np.arange(-WIDE, WIDE + 1)) <= NEAR)
    own = cosines[:, WIDE]
    means = [np.where(mask, cosines, 0).sum(1) / mask.sum(1) for mask in (near, inside)]
    parts = (own, *means, segment.heading_cosines(unit, rows))
    return np.asarray(sum(weight * part for weight, part in zip(DENSE, parts, strict=True)))


@dataclass(frozen=True, slots=True)
class _Field:
    """One way to read rows as texts: sums over runs of rows, and their lengths."""

    first: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    norm: Scores


class Surroundings:
    """BM25 of rows with what stands around them, over the live rows of some segments."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._count = int(sum(segment.live.sum() for segment in segments))
        self._fields = _fields(segments)

    def lexical(self, query: str) -> list[Scores]:
        """Return every row's BM25 with its surroundings (see `LEXICAL`), one array per segment.

        Document frequencies, as in `rag.index.lexical`, are those of single rows over live rows.
        """
        out = [np.zeros(segment.rows) for segment in self._segments]
        for term, weight in Counter(terms(query)).items():
            found = [segment.postings.find(term) for segment in self._segments]
            df = sum(
                int(segment.live[rows].sum())
                for segment, (rows, _) in zip(self._segments, found, strict=True)
            )
            if not df:
                continue
            idf = weight * idf_of(df, self._count)
            for (rows, frequency), own, total in zip(found, self._fields, out, strict=True):
                sums = np.zeros(len(total) + 1)
                sums[rows + 1] = frequency
                np.cumsum(sums, out=sums)
                for share, field in zip(LEXICAL, own, strict=True):
                    tf = sums[field.end] - sums[field.first]
                    total += share * idf * tf * (K1 + 1) / (tf + field.norm)
        return out


def _fields(segments: Sequence[Segment]) -> list[list[_Field]]:
    """Return each segment's near, wide and document fields, with norms over the live rows of all."""
    spans = [
        [segment.around(NEAR), segment.around(WIDE), segment.around(segment.rows)] for segment in segments
    ]
    sums = [np.concatenate([[0.0], np.cumsum(segment.postings.lengths)]) for segment in segments]
    lengths = [[s[end] - s[first] for first, end in own] for s, own in zip(sums, spans, strict=True)]
    out: list[list[_Field]] = [[] for _ in segments]
    for number in range(len(LEXICAL)):
        kept = [own[number][segment.live] for own, segment in zip(lengths, segments, strict=True)]
        mean = sum(float(values.sum()) for values in kept) / max(sum(map(len, kept)), 1)
        for fields, own, length in zip(out, spans, lengths, strict=True):
            norm = K1 * (1 - B + B * length[number] / max(mean, 1e-9))
            fields.append(_Field(*own[number], norm))
    return out


def moments(scores: Sequence[Scores], live: Sequence[npt.NDArray[np.bool_]]) -> tuple[float, float]:
    """Return mean and standard deviation of scores over the live rows."""
    kept = [values[mask] for values, mask in zip(scores, live, strict=True)]
    count = max(sum(map(len, kept)), 1)
    mean = sum(float(values.sum()) for values in kept) / count
    variance = sum(float(values @ values) for values in kept) / count - mean * mean
    return mean, float(np.sqrt(max(variance, 0.0))) or 1.0
