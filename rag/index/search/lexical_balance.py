"""How well an embedder ranks beside BM25, measured in the index itself, without questions.

Neighbouring chunks mostly have one subject. A sample of chunks serve as questions, and cosine and BM25
each rank the question's neighbour among the other sampled chunks (an inverse cloze task, with which Lee,
Chang and Toutanova train retrievers: "Latent Retrieval for Weakly Supervised Open Domain Question
Answering", 2019). The arm that ranks neighbours higher is the better one on these texts. On five
collections the ratio was 1.1 to 1.3 for the local model and 0.65 to 0.8 for its static distillation, and
the best weights of BM25 were proportional to its inverse square.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rag.core.text import terms
from rag.index.storage.bm25 import idf, length_norm, saturated
from rag.index.storage.layout import Vectors
from rag.index.storage.segment import Segment

#: Pairs of neighbours in the sample, and the fewest to measure with.
PAIRS, FEWEST = 384, 16
#: The ratio is clipped to these: a sample is no proof of a larger difference.
BOUNDS = (0.5, 2.0)
#: Weight of the prior that both arms are equal, in pairs whose neighbour ranks first.
_PRIOR = 1.0


def dense_trust(segments: Sequence[Segment]) -> float:
    """Return how much better cosine ranks neighbours than BM25.

    Returns
    -------
    float
        The ratio of the mean reciprocal ranks, within `BOUNDS`; 1.0 for fewer than `FEWEST` pairs.
    """
    texts, vectors = _sample(segments)
    pairs = len(texts) // 2
    if pairs < FEWEST:
        return 1.0
    dense, lexical = (
        float(_reciprocal_ranks(scores).sum()) + _PRIOR for scores in (vectors[::2] @ vectors.T, _bm25(texts))
    )
    low, high = BOUNDS
    return min(max(dense / lexical, low), high)


def _sample(segments: Sequence[Segment]) -> tuple[list[str], Vectors]:
    """Return texts and vectors of pairs of neighbours, independent of the history of the index."""
    runs: list[tuple[int, str, Segment, int, int]] = []
    for segment in segments:
        documents = np.unique(segment.document_of_row[segment.live])
        first, end = (side[documents] for side in segment.rows_of_document)
        long = end - first >= 2
        sources = [name for part in segment.documents.chunks("source") for name in part.to_pylist()]
        for document, *rows in zip(documents[long].tolist(), first[long], end[long], strict=True):
            source = str(sources[document])
            runs.append((zlib.crc32(source.encode()), source, segment, int(rows[0]), int(rows[1])))
    runs.sort(key=lambda run: run[:2])
    runs = runs[:PAIRS]
    texts: list[str] = []
    vectors = []
    for _, _, segment, begin, stop in runs:
        most = (stop - begin) // 2
        wanted = min(most, -(-PAIRS // len(runs)))
        starts = begin + 2 * (np.arange(wanted) * most // wanted)
        chosen = (starts[:, None] + np.arange(2)).ravel()
        texts += [values["text"] for values in segment.chunks.take(chosen.tolist(), ("text",))]
        vectors.append(segment.vectors[chosen])
    return texts, np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float32)


def _bm25(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the BM25 of all texts, with every second text as the question."""
    bags = [Counter(terms(text)) for text in texts]
    # A term of one text alone says nothing of another one, which most terms are: they count as length.
    texts_with = Counter(term for bag in bags for term in bag)
    numbers = {term: number for number, term in enumerate(t for t, count in texts_with.items() if count > 1)}
    tf = np.zeros((len(texts), len(numbers)), np.float32)
    for row, bag in enumerate(bags):
        for term, frequency in bag.items():
            if term in numbers:
                tf[row, numbers[term]] = frequency
    lengths = np.array([[bag.total()] for bag in bags], np.float32)
    present = tf > 0
    weights = idf(present.sum(0), len(texts)).astype(np.float32)
    weighted = weights * saturated(tf, length_norm(lengths, float(lengths.mean())))
    scores: npt.NDArray[np.float32] = present[::2].astype(np.float32) @ weighted.T
    return scores


def _reciprocal_ranks(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return for question n, which is text 2n, the reciprocal rank of its neighbour, text 2n + 1."""
    count = np.arange(len(scores))
    neighbour = scores[count, 2 * count + 1][:, None].copy()
    scores[count, 2 * count] = -np.inf  # the question itself
    # With a margin: copies of the neighbour do not count as better.
    better: npt.NDArray[np.int64] = (scores > neighbour + 1e-5).sum(1)
    return 1.0 / (1 + better)
