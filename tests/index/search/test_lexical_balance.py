"""The weight of BM25 is measured in the index, independently of the index's history."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

import rag
from rag.index.search.hybrid_score import BALANCE
from rag.index.search.lexical_balance import BOUNDS, _reciprocal_ranks

TOPICS = ["leave holiday vacation", "salary wages pay", "incident outage pager", "kitchen canteen soup"]


class Noise(Embeddings):
    """Vectors that say nothing of their texts."""

    name, dimensions, fingerprint = "noise", 16, "noise/1"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
        vector = np.random.default_rng(seed).standard_normal(16)
        return (vector / np.linalg.norm(vector)).tolist()


class Topics(Noise):
    """Vectors that say which topic a text is of, and hardly more."""

    fingerprint = "topics/1"

    def embed_query(self, text: str) -> list[float]:
        vector = 0.1 * np.array(super().embed_query(text))
        for number, words in enumerate(TOPICS):
            vector[number] += sum(text.lower().count(word) for word in words.split())
        return (vector / np.linalg.norm(vector)).tolist()


def build(folder: Path, embedder: Embeddings, pages: int = 12) -> rag.Index:
    """Pages on a topic each, whose neighbouring sentences share a topic but no word of it."""
    for page in range(pages):
        words = TOPICS[page % len(TOPICS)].split()
        lines = [f"The {words[n % 3]} of item {page * 100 + n} is noted." for n in range(12)]
        (folder / f"{page}.md").write_text("\n\n".join(lines))
    rag.build(folder, folder / "ix", embedder=embedder, chunker={"max_tokens": 12, "min_tokens": 1})
    return rag.Index.open(folder / "ix", embedder=embedder)


@pytest.mark.parametrize(("embedder", "trusted"), [(Noise(), False), (Topics(), True)])
def test_balance_follows_the_embedder(embedder: Embeddings, trusted: bool, tmp_path: Path) -> None:
    """Noise makes BM25 weigh more, an embedder that ranks neighbours well less."""
    balance = build(tmp_path, embedder).lexical_balance
    low, high = BOUNDS
    assert BALANCE / high**2 <= balance <= BALANCE / low**2
    assert (balance < BALANCE) == trusted


def test_too_few_neighbours_keep_the_default(tmp_path: Path) -> None:
    assert build(tmp_path, Noise(), pages=1).lexical_balance == BALANCE


def test_reciprocal_ranks() -> None:
    """The rank is that of the neighbour; its copies do not count as better."""
    scores = np.array([
        [9.0, 0.5, 0.7, 0.5],  # question 0 is text 0: its own score is left out; text 2 is better
        [0.1, 0.2, 9.0, 0.3],  # question 1 is text 2, its neighbour text 3 the best
    ], np.float32)  # fmt: skip
    assert _reciprocal_ranks(scores).tolist() == [0.5, 1.0]


def test_balance_is_independent_of_history(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    build(tmp_path / "a", Topics())
    (tmp_path / "a" / "3.md").unlink()
    (tmp_path / "a" / "5.md").write_text("One line on wages.\n\nAnother line on pay.")
    small = {"max_tokens": 12, "min_tokens": 1}
    rag.build(tmp_path / "a", tmp_path / "a" / "ix", embedder=Topics(), chunker=small)
    for page in (tmp_path / "a").glob("*.md"):
        (tmp_path / "b" / page.name).write_text(page.read_text())
    rag.build(
        tmp_path / "b", tmp_path / "b" / "ix", embedder=Topics(), chunker={"max_tokens": 12, "min_tokens": 1}
    )
    changed, fresh = (rag.Index.open(tmp_path / name / "ix", embedder=Topics()) for name in "ab")
    assert changed.lexical_balance == fresh.lexical_balance
