"""Our store keeps the contract in both modes, and the suite sees what is wrong with one."""

from __future__ import annotations

import random
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

import rag
from rag.embedding.static import StaticEmbeddings
from rag.testing import StoreSuite
from tests.testing.suites import failures


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
class TestFaissStore(StoreSuite):
    @pytest.fixture
    def store(self, mode: str) -> Any:
        return rag.FaissStore(StaticEmbeddings(), mode=mode)


class TestLangChains(StoreSuite):
    """A store whose filters are functions."""

    @pytest.fixture
    def store(self) -> Any:
        return InMemoryVectorStore(DeterministicFakeEmbedding(size=24))

    @pytest.fixture
    def even(self) -> Any:
        return lambda document: document.metadata["even"]


class Honest(InMemoryVectorStore):
    """The store that the broken ones are made from: it takes mappings, and refuses unknown fields."""

    def __init__(self) -> None:
        super().__init__(DeterministicFakeEmbedding(size=24))

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, filter: Any = None, **_: Any) -> Any:
        wanted = filter or {}
        return super().similarity_search_with_score(
            query,
            k,
            filter=lambda document: all(document.metadata[name] == value for name, value in wanted.items()),
        )


class FilterAfter(Honest):
    def similarity_search_with_score(self, query: str, k: int = 4, filter: Any = None, **_: Any) -> Any:
        best = super().similarity_search_with_score(query, k)
        return [
            pair
            for pair in best
            if all(pair[0].metadata[name] == value for name, value in (filter or {}).items())
        ]


class FilterIgnored(Honest):
    def similarity_search_with_score(self, query: str, k: int = 4, **_: Any) -> Any:
        return super().similarity_search_with_score(query, k)


class WorstFirst(Honest):
    def similarity_search_with_score(self, query: str, k: int = 4, **more: Any) -> Any:
        return super().similarity_search_with_score(query, k, **more)[::-1]


class Approximate(Honest):
    def similarity_search_with_score(self, query: str, k: int = 4, **more: Any) -> Any:
        best = super().similarity_search_with_score(query, k + 2, **more)
        return [pair for pair in best if random.random() > 0.1][:k]


class Strings(Honest):
    def add_texts(self, texts: Any, metadatas: Any = None, **more: Any) -> Any:
        return super().add_texts(
            texts, [{name: str(value) for name, value in each.items()} for each in metadatas], **more
        )


class Undeleting(Honest):
    def delete(self, ids: Any = None, **_: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (FilterAfter, "filters_come_before_the_search"),
        (FilterIgnored, "filters_come_before_the_search"),
        (FilterIgnored, "an_unknown_field_is_refused"),
        (WorstFirst, "the_best_come_first"),
        (Approximate, "many_threads_find_the_same"),
        (Strings, "documents_come_back_as_they_were_given"),
        (Undeleting, "an_id_is_replaced_and_removed"),
    ],
)
def test_a_broken_store_is_caught(broken: type[Honest], test: str) -> None:
    random.seed(7)
    assert failures(StoreSuite, store=lambda: Honest()) == set()
    assert test in failures(StoreSuite, store=lambda: broken())
