"""Every kind of trimmer keeps the contract, and the suite sees what is wrong with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document

import rag
from rag.core.passages import Candidate, Hit
from rag.embedding.static import StaticEmbeddings
from rag.testing import TrimmerSuite
from tests.testing.suites import failures

STATIC = StaticEmbeddings()


class Shortest(BaseDocumentCompressor):
    """A compressor as LangChain's are: it drops documents, and says nothing of them."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> list[Document]:
        return [each for each in documents if each.page_content.strip() and len(each.page_content) < 60]


@pytest.mark.parametrize("unit", ["chars", "tokens"])
@pytest.mark.parametrize("strategy", ["passages", "sentences", "chunks"])
class TestBudgetTrimmer(TrimmerSuite):
    @pytest.fixture(params=[0.5, 1, 8])
    def trimmer(self, request: pytest.FixtureRequest, strategy: str, unit: str) -> Any:
        budget = int({"chars": 110, "tokens": 30}[unit] * request.param)
        embedder = STATIC if unit == "tokens" else None  # without one, words are compared by their stems
        return rag.BudgetTrimmer(budget=budget, unit=unit, strategy=strategy, embedder=embedder)


class TestCompressor(TrimmerSuite):
    @pytest.fixture
    def trimmer(self) -> Any:
        return Shortest()


class Honest:
    """The trimmer that the broken ones are made from: whole passages in their order, while they fit."""

    unit = "chars"

    def __init__(self, budget: int = 110) -> None:
        self.budget = budget

    def size(self, text: str) -> int:
        return len(text)

    def trim(self, hits: Sequence[Hit], question: str) -> tuple[list[Hit], list[Candidate]]:
        kept: list[Hit] = []
        fates = []
        for hit in hits:
            known = any((hit.source, hit.start) == (one.source, one.start) for one in kept)
            fits = sum(len(one.text) for one in kept) + len(hit.text) <= self.budget
            why = (
                "blank"
                if not hit.text.strip()
                else "held by another candidate"
                if known
                else "kept"
                if fits
                else "no room"
            )
            kept += [hit] if why == "kept" else []
            fates.append(Candidate(hit.source, hit.start, hit.end, hit.score, float(why == "kept"), why))
        return kept, fates


class TestHonest(TrimmerSuite):
    @pytest.fixture
    def trimmer(self) -> Any:
        return Honest()


class OverBudget(Honest):
    def trim(self, hits: Sequence[Hit], question: str) -> Any:
        return Honest(self.budget + 50).trim(hits, question)


class Silent(Honest):
    def trim(self, hits: Sequence[Hit], question: str) -> Any:
        kept, fates = super().trim(hits, question)
        return kept, [fate for fate in fates if fate.kept]


class Liar(Honest):
    def trim(self, hits: Sequence[Hit], question: str) -> Any:
        kept, fates = super().trim(hits, question)
        return kept, [replace(fate, why="kept", kept=1.0) for fate in fates]


class Rewriter(Honest):
    def trim(self, hits: Sequence[Hit], question: str) -> Any:
        kept, fates = super().trim(hits, question)
        return [replace(hit, text=hit.text.upper()) for hit in kept], fates


class Twice(Honest):
    def trim(self, hits: Sequence[Hit], question: str) -> Any:
        kept, fates = Honest(self.budget // 2).trim(hits, question)
        return kept + kept, fates


class Moody(Honest):
    asked = 0

    def trim(self, hits: Sequence[Hit], question: str) -> Any:
        self.asked += 1
        return super().trim(hits[self.asked % 2 :], question)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (OverBudget, "the_budget_is_never_exceeded"),
        (Silent, "every_candidate_has_a_fate"),
        (Liar, "every_candidate_has_a_fate"),
        (Rewriter, "what_is_kept_was_retrieved"),
        (Twice, "no_text_is_sent_twice"),
        (Moody, "the_choice_is_stable"),
    ],
)
def test_a_broken_trimmer_is_caught(broken: type[Honest], test: str) -> None:
    assert test in failures(TrimmerSuite, trimmer=lambda: broken())
