"""Find questions that ask the same in equal or similar words: by the local embedder and by shared terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.core.quantities import figures
from rag.core.text import terms, words
from rag.core.vectors import embed, normalised

#: Two questions are nearly the same from this cosine on, or from the lower one together with this share of
#: common terms. Of the 41,616 pairs of data/golden.jsonl, all of them different questions, no pair with the
#: same filter has a cosine above 0.66, and none has half of its terms in common but one of 0.80, whose
#: filters differ (all-MiniLM-L6-v2).
CLOSE, CLOSE_WITH_TERMS, LEAST_TERMS = 0.9, 0.8, 0.5
#: Questions whose cosines are held at a time.
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts that ask the same, or nearly.

    Attributes
    ----------
    first, second : int
        Their numbers, ``first < second`` within one sequence.
    cosine : float
        1.0 if they are equal after normalisation.
    terms : float
        The share of their index terms that both have, in [0, 1].
    equal : bool
        Whether they differ in case, blanks and punctuation only.
    """

    first: int
    second: int
    cosine: float
    terms: float
    equal: bool


def plain(text: str) -> str:
    """Return a question without case, punctuation and repeated blanks.

    Examples
    --------
    >>> plain("How  long is leave?") == plain("how long is leave")
    True
    """
    return " ".join(words(text))


def unit_vectors(texts: Sequence[str], embedder: Any = None) -> npt.NDArray[np.float32]:
    """Return the texts' vectors of length 1, ``(len(texts), dimensions)``; by default the local model's."""
    if embedder is None:
        from rag.embedding.local_model import LocalModel

        embedder = LocalModel()
    if not texts:
        return np.zeros((0, 1), np.float32)
    return normalised(embed(embedder, texts))


class Texts:
    """Questions that are compared: their vectors, terms and numbers.

    Parameters
    ----------
    texts : sequence of str
    embedder : Embeddings, optional
        By default the local model.
    """

    def __init__(self, texts: Sequence[str], embedder: Any = None) -> None:
        self.texts = tuple(texts)
        self.vectors = unit_vectors(self.texts, embedder)
        self._plain = [plain(text) for text in self.texts]
        self._terms = [frozenset(terms(text)) for text in self.texts]
        self._numbers = [
            frozenset(form for each in figures(text) for form in each.needs) for text in self.texts
        ]

    def add(self, others: Texts) -> None:
        """Compare with these texts, too, from now on; they are numbered behind the others."""
        self.vectors = np.concatenate((self.vectors, others.vectors)) if self.texts else others.vectors
        self.texts += others.texts
        self._plain += others._plain
        self._terms += others._terms
        self._numbers += others._numbers

    def pairs(self, others: Texts | None = None) -> Iterator[Pair]:
        """Yield the pairs that ask the same, or nearly: within these texts, or with `others`.

        Questions with different numbers ("in 2022", "in 2024") are different ones.
        """
        right = self if others is None else others
        equal = set(self._equal(right, within=others is None))
        for first, second in sorted(equal):
            yield Pair(first, second, 1.0, 1.0, True)
        for start in range(0, len(self.texts) if right.texts else 0, _BLOCK):
            block = self.vectors[start : start + _BLOCK] @ right.vectors.T
            rows, columns = np.nonzero(block >= CLOSE_WITH_TERMS - 1e-6)
            for row, column in zip((rows + start).tolist(), columns.tolist(), strict=True):
                if (others is None and row >= column) or (row, column) in equal:
                    continue
                cosine = float(block[row - start, column])
                share = self._shared(row, right, column)
                near = cosine >= CLOSE or share >= LEAST_TERMS
                if near and self._numbers[row] == right._numbers[column]:
                    yield Pair(row, column, cosine, share, False)

    def _equal(self, right: Texts, *, within: bool) -> Iterator[tuple[int, int]]:
        at: dict[str, list[int]] = {}
        for number, text in enumerate(right._plain):
            at.setdefault(text, []).append(number)
        for first, text in enumerate(self._plain):
            yield from ((first, second) for second in at.get(text, ()) if not within or first < second)

    def _shared(self, first: int, right: Texts, second: int) -> float:
        mine, its = self._terms[first], right._terms[second]
        return len(mine & its) / (len(mine | its) or 1)
