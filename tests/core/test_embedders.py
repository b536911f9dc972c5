"""What is known of an embedder: `rag`'s say it themselves, third-party ones by their public fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

import rag
from rag.core import embedders
from rag.core.vectors import embed
from rag.embedding.cache import CachedEmbeddings
from rag.embedding.local import LocalEmbeddings
from rag.embedding.static import StaticEmbeddings


class Remote(Embeddings):
    """A third-party embedder that names its model, and leaves its dimensions to the service."""

    model = "remote-3"
    dimensions = None
    name = 7

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0, 0.0] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def test_builtin_embedders_describe_themselves() -> None:
    static = StaticEmbeddings()
    assert embedders.fingerprint(static) == "all-MiniLM-L6-v2 static/2 dimensions=256 normalize=true"
    assert (embedders.name(static), embedders.dimensions(static)) == ("static", 256)
    counter = embedders.token_counter(static)
    assert counter is not None and counter(["annual leave"]) == [2]
    assert embedders.minutes(static, 90_000_000) == pytest.approx(1.0)


def test_third_party_embedders_are_described_by_their_fields() -> None:
    remote = Remote()
    assert embedders.fingerprint(remote) == f"{Remote.__module__}:Remote model=remote-3"
    assert (embedders.name(remote), embedders.dimensions(remote)) == ("", 3)
    assert embedders.token_counter(remote) is None
    assert embedders.minutes(remote, 1_200_000) == pytest.approx(1.0)
    assert np.array_equal(embed(remote, ["ab", ""]), np.array([[2, 1, 0], [0, 1, 0]], np.float32))


def test_calls_are_billed_for_the_model_unless_it_is_local() -> None:
    assert embedders.billed_model(StaticEmbeddings()) is None
    assert embedders.billed_model(LocalEmbeddings()) is None
    assert embedders.billed_model(rag.TitanEmbeddings(256)) == "amazon.titan-embed-text-v2:0"
    assert embedders.billed_model(Remote()) == "remote-3"
    assert embedders.billed_model(DeterministicFakeEmbedding(size=3)) == "DeterministicFakeEmbedding"


@pytest.mark.parametrize(("embedder", "synchronous"), [(StaticEmbeddings(), 1), (Remote(), 2)])
def test_only_free_vectors_may_be_lost_in_a_power_failure(
    embedder: Any, synchronous: int, tmp_path: Path
) -> None:
    cache = CachedEmbeddings(embedder, tmp_path / "cache.sqlite")
    assert cache._file.execute("PRAGMA synchronous").fetchone() == (synchronous,)  # 1: NORMAL, 2: FULL
    cache.close()
