"""Every embedder keeps the contract, and the suite sees what is wrong with one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from rag.bedrock.embeddings.cohere import CohereEmbeddings
from rag.bedrock.embeddings.nova import NovaEmbeddings
from rag.bedrock.embeddings.titan import TitanEmbeddings
from rag.embedding.cache import CachedEmbeddings
from rag.embedding.local import LocalEmbeddings
from rag.embedding.static import StaticEmbeddings
from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at
from rag.testing import EmbedderSuite
from tests.testing.suites import failures


class TestStatic(EmbedderSuite):
    @pytest.fixture
    def embedder(self) -> Embeddings:
        return StaticEmbeddings()


class TestLocal(EmbedderSuite):
    tolerance = 0.05  # int8 activations are scaled by the whole batch

    @pytest.fixture
    def embedder(self) -> Embeddings:
        return LocalEmbeddings()


class TestCached(EmbedderSuite):
    @pytest.fixture
    def embedder(self, tmp_path: Any) -> Iterator[Embeddings]:
        yield CachedEmbeddings(StaticEmbeddings(), tmp_path / "cache")


@pytest.mark.parametrize("kind", [TitanEmbeddings, CohereEmbeddings, NovaEmbeddings])
class TestBedrock(EmbedderSuite):
    @pytest.fixture
    def embedder(self, kind: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embeddings]:
        with Emulator() as emulator:
            point_at(monkeypatch, emulator.environment())
            yield kind()
            assert emulator.problems == []


class TestLangChains(EmbedderSuite):
    unit_length = False

    @pytest.fixture
    def embedder(self) -> Embeddings:
        return DeterministicFakeEmbedding(size=24)


class Broken(StaticEmbeddings):
    """Changes what the static model gives."""

    def vectors(self, texts: Any) -> Any:
        return self.changed(super().vectors(texts))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [list(map(float, row)) for row in self.vectors(texts)]

    def changed(self, rows: Any) -> Any:
        return rows


class Long(Broken):
    def changed(self, rows: Any) -> Any:
        return rows * 2


class NotFinite(Broken):
    def changed(self, rows: Any) -> Any:
        return np.where(rows == rows.max(), np.nan, rows)


class Shuffled(Broken):
    def changed(self, rows: Any) -> Any:
        return np.roll(rows, 1, axis=0)


class Short(Broken):
    def changed(self, rows: Any) -> Any:
        return rows[:, :-1]


class Restless(Broken):
    count = 0

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        self.count += 1
        return f"static {self.count}"


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Long, "vectors_have_length_1"),
        (NotFinite, "vectors_are_finite_and_have_the_dimensions"),
        (Shuffled, "each_text_keeps_its_place"),
        (Short, "vectors_are_finite_and_have_the_dimensions"),
        (Restless, "the_fingerprint_is_stable"),
    ],
)
def test_a_broken_embedder_is_caught(broken: Any, test: str) -> None:
    assert failures(EmbedderSuite, embedder=lambda: Broken()) == set()
    assert test in failures(EmbedderSuite, embedder=lambda: broken())


def test_an_embedder_with_one_buffer_for_all_is_caught() -> None:
    class Buffered(Broken):
        def vectors(self, texts: Any) -> Any:
            self.kept = super().vectors(texts)
            time.sleep(0.005)
            return self.kept

    assert "many_threads_have_the_same_vectors" in failures(EmbedderSuite, embedder=Buffered())
