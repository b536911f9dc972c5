"""Every kind of reranker keeps the contract, and the suite sees what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document

from rag.bedrock.search.rerank import BedrockReranker
from rag.core.calls import Usage
from rag.core.passages import Hit
from rag.core.text import terms
from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at
from rag.testing import RerankerSuite
from rag.usage.collector import paid_call
from tests.testing.suites import failures


@pytest.mark.slow
class TestBedrock(RerankerSuite):
    purposes = ("rerank",)

    @pytest.fixture
    def reranker(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        with Emulator() as emulator:
            point_at(monkeypatch, emulator.environment())
            yield BedrockReranker()


class ByWords(BaseDocumentCompressor):
    """A reranker as LangChain's are: by the words that a document shares with the question."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> list[Document]:
        asked = set(terms(query))
        return sorted(documents, key=lambda each: -len(asked & set(terms(each.page_content))))


class TestLangChains(RerankerSuite):
    @pytest.fixture
    def reranker(self) -> Any:
        return ByWords()


class Honest:
    """The reranker that the broken ones are made from."""

    def rerank(self, hits: Sequence[Hit], question: str) -> list[Hit]:
        asked = set(terms(question))
        scored = [replace(hit, score=float(len(asked & set(terms(hit.text))))) for hit in hits]
        return sorted(scored, key=lambda hit: -hit.score)


class TestHonest(RerankerSuite):
    @pytest.fixture
    def reranker(self) -> Any:
        return Honest()


class WorstFirst(Honest):
    def rerank(self, hits: Sequence[Hit], question: str) -> list[Hit]:
        return super().rerank(hits, question)[::-1]


class Cutting(Honest):
    def rerank(self, hits: Sequence[Hit], question: str) -> list[Hit]:
        return [replace(hit, text=hit.text[:20]) for hit in super().rerank(hits, question)]


class Doubling(Honest):
    def rerank(self, hits: Sequence[Hit], question: str) -> list[Hit]:
        return [each for hit in super().rerank(hits, question) for each in (hit, hit)]


class NeedsOne(Honest):
    def rerank(self, hits: Sequence[Hit], question: str) -> list[Hit]:
        assert hits[0]
        return super().rerank(hits, question)


class Turning(Honest):
    turn = 0

    def rerank(self, hits: Sequence[Hit], question: str) -> list[Hit]:
        self.turn += 1
        return [replace(hit, score=float(self.turn)) for hit in super().rerank(hits, question)]


class Billing(Honest):
    """Bills the second question for the first one, too."""

    owed = 0

    def rerank(self, hits: Sequence[Hit], question: str) -> list[Hit]:
        self.owed += 1
        for _ in range(self.owed - 1):
            with paid_call("my-model", "rerank") as call:
                call.usage = Usage()
        return super().rerank(hits, question)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (WorstFirst, "the_best_come_first"),
        (WorstFirst, "a_passage_that_answers_comes_before_others"),
        (Cutting, "passages_are_sorted_and_none_is_changed"),
        (Doubling, "passages_are_sorted_and_none_is_changed"),
        (NeedsOne, "no_passages_are_no_error"),
        (Turning, "the_order_is_stable"),
        (Billing, "costs_are_the_questions_own"),
    ],
)
def test_a_broken_reranker_is_caught(broken: type[Honest], test: str) -> None:
    assert test in failures(RerankerSuite, reranker=lambda: broken())
