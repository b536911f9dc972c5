"""An index with another embedder is a copy: the same files and measurements, its own question vectors."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

import rag
from rag.core.errors import StoreMismatchError
from rag.embedding.static import StaticEmbeddings
from rag.index.search.question_vectors import REMEMBERED
from tests.conftest import index_of_rows


class Counting(Embeddings):
    """The static embedder, or its vectors negated, counting its questions."""

    def __init__(self, sign: float = 1.0) -> None:
        self.sign, self.calls, self.lock = sign, 0, threading.Lock()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return (self.sign * StaticEmbeddings().vectors(texts)).tolist()

    def embed_query(self, text: str) -> list[float]:
        with self.lock:
            self.calls += 1
        return self.embed_documents([text])[0]


@pytest.fixture
def index(tmp_path: Path) -> rag.Index:
    return index_of_rows(tmp_path / "ix", [{"n": n} for n in range(12)])


def test_copy_leaves_the_index_alone(index: rag.Index) -> None:
    before, balance = index.embedder, index.lexical_balance
    expected = [(hit.chunk_id, hit.score) for hit in index.search("document number 3", mode="dense")]
    opposite = Counting(-1)
    other = index.with_embedder(opposite)
    assert type(other) is type(index)
    assert (other.embedder, index.embedder) == (opposite, before)
    assert other._segments is index._segments
    assert other._searcher is index._searcher
    assert other.lexical_balance == balance
    bound = index.check("n > 3")
    assert other.check(bound) is bound
    nearest = other.search("document number 3", 12, mode="dense")
    assert [hit.score for hit in nearest] == pytest.approx(
        [-hit.score for hit in reversed(index.search("document number 3", 12, mode="dense"))], abs=1e-6
    )
    assert [(hit.chunk_id, hit.score) for hit in index.search("document number 3", mode="dense")] == expected
    with pytest.raises(StoreMismatchError, match="which is not loaded: pass it"):
        index.with_embedder(None).search("document")
    assert index.with_embedder(None).search("text", mode="lexical")


def test_each_copy_remembers_its_questions(index: rag.Index) -> None:
    one, two = Counting(), Counting()
    first = index.with_embedder(one)
    second = first.with_embedder(two)
    for _ in range(3):
        first.search("a question")
        second.search("a question")
        second.diverse("a question")
    assert (one.calls, two.calls) == (1, 1)
    first.embedder = two
    first.search("a question")
    assert (one.calls, two.calls) == (1, 2)
    for n in range(REMEMBERED):
        second.search(f"question {n}", mode="dense")
    assert two.calls == 2 + REMEMBERED
    second.search(f"question {REMEMBERED - 1}")
    assert two.calls == 2 + REMEMBERED
    second.search("a question")
    assert two.calls == 3 + REMEMBERED


def test_threads_share_the_memory(index: rag.Index) -> None:
    """Each thread gets the vector of its question, while the memory overflows."""
    embedder = Counting()
    shared = index.with_embedder(embedder)
    wrong: list[str] = []

    def search(seed: int) -> None:
        for n in np.random.default_rng(seed).integers(0, 2 * REMEMBERED, 150).tolist():
            text = f"document number {n}"
            expected = StaticEmbeddings().vectors([text])[0]
            if not np.allclose(shared.question_vector(text), expected, atol=1e-6):
                wrong.append(text)

    threads = [threading.Thread(target=search, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert REMEMBERED < embedder.calls <= 6 * 150
