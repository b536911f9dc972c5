"""How far an embedder can be trusted beside BM25, measured in the index itself, without questions.

Chunks that stand side by side mostly speak of the same thing. Each of some chunks is taken as a
question, and its neighbour is looked for among the other sampled chunks, once by cosine and once by
BM25 (an inverse cloze task, as Lee, Chang and Toutanova train retrievers with: "Latent Retrieval for
Weakly Supervised Open Domain Question Answering", 2019). Which arm finds it sooner is the better
one on these texts. On five collections the local model came out at 1.1 to 1.3 and its static
distillation at 0.65 to 0.8, and the weights that served questions best lay as the inverse square.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rag.core.text import terms
from rag.index.storage.bm25 import idf, saturated
from rag.index.storage.segment import Segment, Vectors

#: Pairs of neighbours that are looked at, and fewest that say something.
PAIRS, FEWEST = 384, 16
#: The least and the most that is believed.
BOUNDS = (0.5, 2.0)
#: Weight of the assumption that both arms are equal, in pairs found at once.
_PRIOR = 1.0


def dense_trust(segments: Sequence[Segment]) -> float:
    """Return how much sooner neighbours are found by cosine than by BM25, within `BOUNDS`.

    Returns
    -------
    float
        The ratio of the mean reciprocal ranks; 1.0 where there are too few neighbours to tell.
    """
    texts, vectors = _sample(segments)
    pairs = len(texts) // 2
    if pairs < FEWEST:
        return 1.0
    found = [_reciprocal_ranks(scores) for scores in (vectors[::2] @ vectors.T, _bm25(texts))]
    dense, lexical = (float(ranks.sum()) + _PRIOR for ranks in found)
    low, high = BOUNDS
    return min(max(dense / lexical, low), high)


def _sample(segments: Sequence[Segment]) -> tuple[list[str], Vectors]:
    """Return texts and vectors of pairs of neighbours: the same whatever the history of an index."""
    runs: list[tuple[int, str, Segment, int, int]] = []
    for segment in segments:
        documents = np.unique(segment.document(np.flatnonzero(segment.live)))
        first, end = segment.runs(documents)
        long = end - first >= 2
        sources = [name for part in segment.documents.chunks("source") for name in part.to_pylist()]
        for document, *rows in zip(documents[long].tolist(), first[long], end[long], strict=True):
            source = str(sources[document])
            runs.append((zlib.crc32(source.encode()), source, segment, int(rows[0]), int(rows[1])))
    runs.sort(key=lambda run: run[:2])
    runs = runs[:PAIRS]
    texts: list[str] = []
    vectors = []
    for _, _, segment, begin, behind in runs:
        most = (behind - begin) // 2
        wanted = min(most, -(-PAIRS // len(runs)))
        starts = begin + 2 * (np.arange(wanted) * most // wanted)
        chosen = (starts[:, None] + np.arange(2)).ravel()
        texts += [values["text"] for values in segment.chunks.take(chosen.tolist(), ("text",))]
        vectors.append(segment.vectors[chosen])
    return texts, np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float32)


def _bm25(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the BM25 of all texts for every other one of them as the question."""
    bags = [Counter(terms(text)) for text in texts]
    numbers: dict[str, int] = {}
    for bag in bags:
        for term in bag:
            numbers.setdefault(term, len(numbers))
    tf = np.zeros((len(texts), len(numbers)), np.float32)
    for row, bag in enumerate(bags):
        for term, frequency in bag.items():
            tf[row, numbers[term]] = frequency
    lengths = tf.sum(1, keepdims=True)
    held = tf > 0
    weights = idf(held.sum(0), len(texts)).astype(np.float32)
    counted = weights * saturated(tf, lengths, float(lengths.mean()))
    scores: npt.NDArray[np.float32] = held[::2].astype(np.float32) @ counted.T
    return scores


def _reciprocal_ranks(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return for question n, which is text 2n, the reciprocal rank of its neighbour, text 2n + 1."""
    count = np.arange(len(scores))
    wanted = scores[count, 2 * count + 1][:, None].copy()
    scores[count, 2 * count] = -np.inf  # a text is no answer to itself
    # A little above: copies of the neighbour are no better answers than the neighbour.
    better: npt.NDArray[np.int64] = (scores > wanted + 1e-5).sum(1)
    return 1.0 / (1 + better)
