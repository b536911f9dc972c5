"""Measure how much of a question a piece of text covers, word by word, by meaning as well as by letters.

Each word of the question is looked up in the piece: the word itself (by its stem) counts 1, else the
nearest word by its vector counts its cosine. Words that few candidates hold weigh more. The coverage shows
what the cosine of a whole sentence does not: which of many passages on one subject holds every part of the
question.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rag.core.text import term, words
from rag.core.vectors import embed, normalised

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

Scores = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

#: Cosines of words below `LEAST_COSINE` count 0; a neighbour's words count `NEIGHBOUR` times their value.
LEAST_COSINE, NEIGHBOUR = 0.35, 0.6
#: Most words and texts kept for each embedder: words with their vectors (64 MB with 256 dimensions), and
#: the word numbers of texts (10 MB).
_MOST_WORDS, _MOST_TEXTS = 1 << 16, 4096
_LONGEST_WORD = 64  # characters: a longer one is a key or an encoded file
_MOST_EMBEDDERS = 4


def cover(
    texts: Sequence[str], follows: Sequence[bool], query: str, embedder: Embeddings | None = None
) -> Scores:
    """Return the share of a question's words that each text covers, with its neighbours.

    Parameters
    ----------
    texts : sequence of str
    follows : sequence of bool
        Whether text n + 1 stands right behind text n in a document.
    query : str
    embedder : Embeddings, optional
        Embeds words; without one only the same words (by their stems) count.

    Returns
    -------
    ndarray of float64, shape (len(texts),)
        In [0, 1]; 0 if the question has no words.
    """
    sought = list({term(word): word for word in words(query) if term(word)}.values())
    if not sought or not texts:
        return np.zeros(len(texts))
    bags, place, matches = _vocabulary(embedder).compare(texts, sought, embedder)
    held = np.zeros((len(texts), len(sought)))
    filled = np.flatnonzero([len(bag) for bag in bags])
    starts = np.cumsum([0, *(len(bags[row]) for row in filled[:-1])])
    for number in range(len(sought) if len(filled) else 0):
        held[filled, number] = np.maximum.reduceat(matches[place, number], starts)
    exact = (held == 1).sum(0)
    weights = np.log(1 + (len(texts) - exact + 0.5) / (exact + 0.5))
    scores: Scores = _with_neighbours(held, follows) @ weights / weights.sum()
    return scores


def _with_neighbours(held: Scores, follows: Sequence[bool]) -> Scores:
    out = held.copy()
    joined = np.flatnonzero(np.asarray(follows[: len(held) - 1], bool))
    out[joined] = np.maximum(out[joined], NEIGHBOUR * held[joined + 1])
    out[joined + 1] = np.maximum(out[joined + 1], NEIGHBOUR * held[joined])
    return out


class _Vocabulary:
    """Numbered words of many texts, so that each is stemmed and embedded once for many questions.

    A number never changes its word: a full vocabulary is emptied, and starts again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._numbers: dict[str, int] = {}
        self._stems: dict[str, int] = {}
        self._bags: dict[str, Numbers] = {}
        self._stem_of: Numbers = np.zeros(0, np.int64)
        self._vectors: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def compare(
        self, texts: Sequence[str], sought: Sequence[str], embedder: Embeddings | None
    ) -> tuple[list[Numbers], Numbers, Scores]:
        """Return the words of each text, and how well each matches the words sought.

        Returns
        -------
        bags : list of ndarray, int64
            The numbers of each text's words, each once.
        place : ndarray of int64, shape (words of all bags,)
            The rows of `matches` that they have.
        matches : ndarray of float64, shape (different words, len(sought))
        """
        with self._lock:
            bags, wanted = self._read(texts, sought, embedder)
            stem_of, vectors = self._stem_of, self._vectors  # rows that are filled never change
        distinct, place = np.unique(np.concatenate([*bags, np.zeros(0, np.int64)]), return_inverse=True)
        same = stem_of[distinct][:, None] == stem_of[wanted]
        if embedder is None:
            return bags, place, same.astype(np.float64)
        # Not a product of matrices: BLAS would wake threads, which then spin for longer than this takes.
        cosines = np.einsum("id,jd->ij", vectors[distinct], vectors[wanted]).astype(np.float64)
        near = np.where(cosines > LEAST_COSINE, np.minimum(cosines, 0.999), 0.0)
        matches: Scores = np.maximum(near, same)
        return bags, place, matches

    def _read(
        self, texts: Sequence[str], sought: Sequence[str], embedder: Embeddings | None
    ) -> tuple[list[Numbers], Numbers]:
        """Return the numbers of the texts' words, and of those sought."""
        if len(self._bags) + len(texts) > _MOST_TEXTS:
            self._bags = {}
        fresh = {text: _words(text) for text in texts if text not in self._bags}
        new = self._unknown(fresh, sought)
        if len(self._numbers) + len(new) > _MOST_WORDS:
            self._clear()
            fresh = {text: _words(text) for text in texts}
            new = self._unknown(fresh, sought)
        if new:
            self._learn(new, embedder)
        numbers = self._numbers
        for text, distinct in fresh.items():
            self._bags[text] = np.array([numbers[word] for word in distinct], np.int64)
        return [self._bags[text] for text in texts], np.array([numbers[word] for word in sought], np.int64)

    def _unknown(self, fresh: Mapping[str, Sequence[str]], sought: Sequence[str]) -> list[str]:
        every = itertools.chain(*fresh.values(), sought)
        return [word for word in dict.fromkeys(every) if word not in self._numbers]

    def _learn(self, new: Sequence[str], embedder: Embeddings | None) -> None:
        known, needed = len(self._numbers), len(self._numbers) + len(new)
        vectors = (
            np.zeros((len(new), 0), np.float32) if embedder is None else normalised(embed(embedder, new))
        )
        if needed > len(self._stem_of):  # twice the room needed, so that it seldom grows
            self._stem_of = _grown(self._stem_of, known, 2 * needed)
            self._vectors = _grown(self._vectors if known else vectors, known, 2 * needed)
        self._vectors[known:needed] = vectors
        for number, word in enumerate(new, known):
            self._stem_of[number] = self._stems.setdefault(term(word), len(self._stems))
            self._numbers[word] = number


def _words(text: str) -> list[str]:
    """Return the words of a text that can match a question's, each once."""
    return [word for word in dict.fromkeys(words(text)) if len(word) <= _LONGEST_WORD and term(word)]


def _grown(values: npt.NDArray[Any], used: int, size: int) -> npt.NDArray[Any]:
    """Return an array with room for more rows."""
    out = np.zeros((size, *values.shape[1:]), values.dtype)
    out[:used] = values[:used]
    return out


_vocabularies: dict[str | int | None, tuple[Embeddings | None, _Vocabulary]] = {}
_guard = threading.Lock()


def _vocabulary(embedder: Embeddings | None) -> _Vocabulary:
    """Return the words of an embedder: shared by fingerprint, else of this object alone."""
    fingerprint = getattr(embedder, "fingerprint", None)
    # The object is kept beside its words, so that no other object gets its id meanwhile.
    key = fingerprint if embedder is None or isinstance(fingerprint, str) else id(embedder)
    with _guard:
        if key not in _vocabularies:
            if len(_vocabularies) >= _MOST_EMBEDDERS:
                _vocabularies.pop(next(iter(_vocabularies)))
            _vocabularies[key] = embedder, _Vocabulary()
        return _vocabularies[key][1]
