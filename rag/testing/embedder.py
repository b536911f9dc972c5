"""What the pipeline asks of an embedder."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rag.core import embedders
from rag.core.vectors import embed
from rag.testing.threads import THREADS, at_once

TEXTS = (
    "Staff in Europe take 28 days of annual leave.",
    "Backups run every night at two, and restores are tested each quarter.",
    "a",
    "日本語の文です。",
    "A longer text. " * 40,
    "1.5 % of 300 is 4.5; <b>tags</b> & signs",
)


class EmbedderSuite:
    """Any `Embeddings`: of `rag`, of LangChain, or yours.

    Give a fixture ``embedder``.

    Attributes
    ----------
    unit_length : bool
        Whether the vectors have length 1. Set it to False for an embedder whose vectors do not: an index
        brings them to it.
    tolerance : float
        By how much a vector's numbers may differ between two calls; a model in int8 or float16 answers
        a little differently in a batch of other texts.

    Examples
    --------
    >>> class TestMine(EmbedderSuite):
    ...     @pytest.fixture
    ...     def embedder(self):
    ...         return MyEmbeddings()
    """

    unit_length = True
    tolerance = 1e-5

    @pytest.fixture
    def embedder(self) -> Any:
        """Return the embedder under test."""
        raise NotImplementedError("give the embedder under test in a fixture named embedder")

    def test_vectors_are_finite_and_have_the_dimensions(self, embedder: Any) -> None:
        """One finite vector a text, of the length that the embedder says; a question's is as long."""
        vectors = embed(embedder, TEXTS)
        size = embedders.dimensions(embedder)
        assert vectors.shape == (len(TEXTS), size)
        assert np.isfinite(vectors).all()
        assert _norms(vectors).min() > 0, "a text has the zero vector"
        assert np.asarray(embedder.embed_query(TEXTS[0])).shape == (size,)

    def test_vectors_have_length_1(self, embedder: Any) -> None:
        """Lengths are 1 within 0.001, of texts and questions."""
        if not self.unit_length:
            pytest.skip("this embedder's vectors are brought to length 1 by the index")
        asked = np.asarray([embedder.embed_query(text) for text in TEXTS], np.float32)
        for norms in (_norms(embed(embedder, TEXTS)), _norms(asked)):
            assert np.abs(norms - 1).max() < 1e-3, norms

    def test_different_texts_have_different_vectors(self, embedder: Any) -> None:
        """No two texts have the same vector."""
        vectors = embed(embedder, TEXTS)
        assert len({row.tobytes() for row in vectors}) == len(TEXTS)

    def test_each_text_keeps_its_place(self, embedder: Any) -> None:
        """In another order, or alone, a text has the same vector."""
        vectors = embed(embedder, TEXTS)
        assert self._same(embed(embedder, TEXTS[::-1])[::-1], vectors)
        for number, text in enumerate(TEXTS):
            assert self._same(embed(embedder, [text]), vectors[number : number + 1]), text

    def test_no_texts_have_no_vectors(self, embedder: Any) -> None:
        """An empty list is no error."""
        assert list(embedder.embed_documents([])) == []

    def test_lists_and_arrays_are_the_same(self, embedder: Any) -> None:
        """LangChain's lists of floats hold what `rag` takes as an array."""
        lists = embedder.embed_documents(list(TEXTS))
        assert isinstance(lists[0], list) and isinstance(lists[0][0], float)
        assert self._same(np.asarray(lists, np.float32), embed(embedder, TEXTS))

    def test_the_fingerprint_is_stable(self, embedder: Any) -> None:
        """It is one line, and stays the same when the embedder is used: a cache and an index rely on it."""
        before = embedders.fingerprint(embedder)
        embedder.embed_query(TEXTS[0])
        assert embedders.fingerprint(embedder) == before
        assert before.strip() and "\n" not in before
        assert " at 0x" not in before, "the fingerprint has an address in it, which no other process has"

    def test_tokens_are_counted_text_by_text(self, embedder: Any) -> None:
        """Where it counts tokens, each text has a count, and a longer text has more."""
        count = embedders.token_counter(embedder)
        if count is None:
            pytest.skip("this embedder does not count tokens")
        counts = count(TEXTS)
        assert len(counts) == len(TEXTS) and min(counts) >= 1
        assert counts[4] > count(["A longer text. "])[0]
        assert list(count([TEXTS[0]])) == [counts[0]]

    def test_many_threads_have_the_same_vectors(self, embedder: Any) -> None:
        """16 threads at once have what one has."""
        expected = [embed(embedder, [text]) for text in TEXTS]
        results = at_once(lambda number: embed(embedder, [TEXTS[number % len(TEXTS)]]))
        assert len(results) == THREADS
        for number, vectors in enumerate(results):
            assert self._same(vectors, expected[number % len(TEXTS)])

    def _same(self, one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> bool:
        return one.shape == other.shape and bool(np.abs(one - other).max() <= self.tolerance)


def _norms(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    norms: npt.NDArray[np.float32] = np.linalg.norm(vectors, axis=1)
    return norms
