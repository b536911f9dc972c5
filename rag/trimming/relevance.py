"""How much of a question a piece of text covers, word by word, by meaning as well as by letters.

Each word of the question is looked for in the piece: the word itself (by its stem) counts 1, else
the nearest word by its vector counts its cosine. Rare words weigh more, by how many of the
candidates hold them. It says what the cosine of a whole sentence does not: which of many passages on
the same subject holds all that was asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from rag.text import term, words
from rag.vectors import embed

Scores = npt.NDArray[np.float64]

#: Cosines of words below this say nothing; and what a neighbour's words count beside one's own.
LEAST_COSINE, NEIGHBOUR = 0.35, 0.6
#: Words whose vectors are remembered, for each embedder: 64 MB with 256 dimensions.
_MOST_WORDS = 1 << 16
_LONGEST_WORD = 64  # characters: what is longer is a key or an encoded file
_MEMORIES = 4  # embedders whose words are remembered


def cover(
    texts: Sequence[str], follows: Sequence[bool], query: str, embedder: Embeddings | None = None
) -> Scores:
    """Return how much of a question's words each text covers, with its neighbours.

    Parameters
    ----------
    texts : sequence of str
    follows : sequence of bool
        Whether text n + 1 stands right behind text n in a document.
    query : str
    embedder : Embeddings, optional
        Gives words their vectors; without one only the same words (by their stems) count.

    Returns
    -------
    ndarray of float64, shape (len(texts),)
        In [0, 1]; 0 where the question has no words.
    """
    asked = list({term(word): word for word in words(query) if term(word)}.values())
    if not asked or not texts:
        return np.zeros(len(texts))
    bags = [_bag(text) for text in texts]
    distinct = list(dict.fromkeys(word for bag in bags for word in bag))
    matches = _matches(distinct, asked, embedder)
    numbers = {word: number for number, word in enumerate(distinct)}
    held = np.zeros((len(texts), len(asked)))
    for row, bag in enumerate(bags):
        if bag:
            held[row] = matches[[numbers[word] for word in bag]].max(0)
    exact = (held == 1).sum(0)
    weights = np.log(1 + (len(texts) - exact + 0.5) / (exact + 0.5))
    scores: Scores = _with_neighbours(held, follows) @ weights / weights.sum()
    return scores


@lru_cache(maxsize=4096)  # the chunks that are asked for most; 10 MB
def _bag(text: str) -> tuple[str, ...]:
    """Return the words of a text that may stand for a question's, each once."""
    return tuple(word for word in dict.fromkeys(words(text)) if len(word) <= _LONGEST_WORD and term(word))


def _matches(found: Sequence[str], asked: Sequence[str], embedder: Embeddings | None) -> Scores:
    """Return how well words stand for the words that were asked, ``(len(found), len(asked))``."""
    numbers = {term(word): number for number, word in enumerate(asked)}
    stems = np.array([numbers.get(term(word), -1) for word in found])
    same = stems[:, None] == np.arange(len(asked))
    if embedder is None or not found:
        return np.asarray(same, np.float64)
    vectors = _memory(embedder).vectors([*found, *asked], embedder)
    # Not as a product of matrices: BLAS would wake threads, which then spin for longer than this takes.
    cosines = np.einsum("id,jd->ij", vectors[: len(found)], vectors[len(found) :]).astype(np.float64)
    near: Scores = np.where(cosines > LEAST_COSINE, np.minimum(cosines, 0.999), 0.0)
    either: Scores = np.maximum(near, same)
    return either


def _with_neighbours(held: Scores, follows: Sequence[bool]) -> Scores:
    out = held.copy()
    joined = np.flatnonzero(np.asarray(follows[: len(held) - 1], bool))
    out[joined] = np.maximum(out[joined], NEIGHBOUR * held[joined + 1])
    out[joined + 1] = np.maximum(out[joined + 1], NEIGHBOUR * held[joined])
    return out


class _Memory:
    """The vectors of words, so that each is embedded once for many questions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self._vectors: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def vectors(self, texts: Sequence[str], embedder: Embeddings) -> npt.NDArray[np.float32]:
        """Return the vectors of words, ``(len(texts), dimensions)`` float32."""
        with self._lock:
            new = [word for word in dict.fromkeys(texts) if word not in self._rows]
            if len(self._rows) + len(new) > _MOST_WORDS:
                self._rows, self._vectors = {}, np.zeros((0, 0), np.float32)
                new = list(dict.fromkeys(texts))
            if new:
                self._learn(new, embed(embedder, new))
            found: npt.NDArray[np.float32] = self._vectors[[self._rows[word] for word in texts]]
            return found

    def _learn(self, new: Sequence[str], made: npt.NDArray[np.float32]) -> None:
        norms = np.linalg.norm(made, axis=1, keepdims=True)
        vectors = np.divide(made, norms, out=np.zeros_like(made), where=norms > 0)
        needed = len(self._rows) + len(new)
        if needed > len(self._vectors):  # room for as many again, so that it seldom grows
            grown = np.zeros((2 * needed, vectors.shape[1]), np.float32)
            if self._rows:
                grown[: len(self._rows)] = self._vectors[: len(self._rows)]
            self._vectors = grown
        self._vectors[len(self._rows) : needed] = vectors
        for word in new:
            self._rows[word] = len(self._rows)


_memories: dict[str | int, tuple[Embeddings, _Memory]] = {}
_guard = threading.Lock()


def _memory(embedder: Embeddings) -> _Memory:
    """Return an embedder's words: of all with the same fingerprint, or of a stranger's object alone."""
    own = getattr(embedder, "fingerprint", None)
    # The object is kept beside its words, so that no other one gets its number meanwhile.
    key = own if isinstance(own, str) else id(embedder)
    with _guard:
        if key not in _memories:
            if len(_memories) >= _MEMORIES:
                _memories.pop(next(iter(_memories)))
            _memories[key] = embedder, _Memory()
        return _memories[key][1]
