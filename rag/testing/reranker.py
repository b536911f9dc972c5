"""What the pipeline asks of a reranker."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rag.core.passages import Hit
from rag.retrieval.reranking import reranked
from rag.testing import examples
from rag.testing.threads import at_once
from rag.usage.collector import Collector


class RerankerSuite:
    """Any `BaseDocumentCompressor` that sorts, or object with ``rerank(hits, question)``.

    Give a fixture ``reranker``.

    Attributes
    ----------
    purposes : tuple of str
        What a question pays for: ``("rerank",)`` where the price is known or the reranker reports its call.
    reads : bool
        Whether it tells a passage that answers the question from one that does not.

    Examples
    --------
    >>> class TestMine(RerankerSuite):
    ...     @pytest.fixture
    ...     def reranker(self):
    ...         return MyReranker()
    """

    purposes: tuple[str, ...] = ()
    reads = True

    @pytest.fixture
    def reranker(self) -> Any:
        """Return the reranker under test."""
        raise NotImplementedError("give the reranker under test in a fixture named reranker")

    @pytest.fixture
    def hits(self) -> list[Hit]:
        """Return the passages to sort: the one that answers the question is not the first."""
        return [hit for hit in examples.hits()[::-1] if hit.text.strip()]

    @pytest.fixture
    def question(self) -> str:
        """Return the question."""
        return examples.QUESTION

    def test_passages_are_sorted_and_none_is_changed(
        self, reranker: Any, hits: list[Hit], question: str
    ) -> None:
        """What comes back was given, each once, with its text, source and offsets."""
        given = {hit.chunk_id: hit for hit in hits}
        sorted_hits = reranked(reranker, hits, question)
        assert sorted_hits
        assert len({hit.chunk_id for hit in sorted_hits}) == len(sorted_hits)
        for hit in sorted_hits:
            one = given[hit.chunk_id]
            assert (hit.text, hit.source, hit.start, hit.end) == (one.text, one.source, one.start, one.end)

    def test_the_best_come_first(self, reranker: Any, hits: list[Hit], question: str) -> None:
        """Scores are finite, and fall or stay."""
        scores = [hit.score for hit in reranked(reranker, hits, question)]
        assert all(math.isfinite(score) for score in scores)
        assert scores == sorted(scores, reverse=True)

    def test_a_passage_that_answers_comes_before_others(
        self, reranker: Any, hits: list[Hit], question: str
    ) -> None:
        """The passage that states the answer is first."""
        if not self.reads:
            pytest.skip("this reranker does not compare passages with the question")
        assert "28 days" in reranked(reranker, hits, question)[0].text

    def test_no_passages_are_no_error(self, reranker: Any, question: str) -> None:
        """An empty list stays empty."""
        assert reranked(reranker, [], question) == []

    def test_the_order_is_stable(self, reranker: Any, hits: list[Hit], question: str) -> None:
        """Sorted again, the order is the same; the passages given stay as they are."""
        before = list(hits)
        assert reranked(reranker, hits, question) == reranked(reranker, hits, question)
        assert hits == before

    def test_many_threads_have_the_same_order(self, reranker: Any, hits: list[Hit], question: str) -> None:
        """16 threads at once have what one has."""
        expected = [reranked(reranker, hits, question), reranked(reranker, hits[:3], question)]
        some = [hits, hits[:3]]
        for number, found in enumerate(at_once(lambda n: reranked(reranker, some[n % 2], question))):
            assert found == expected[number % 2]

    def test_costs_are_the_questions_own(self, reranker: Any, hits: list[Hit], question: str) -> None:
        """What is paid for is in the question's collector, and in no other's, also on 16 threads."""

        def paid(_: int = 0) -> tuple[str, ...]:
            collector = Collector()
            collector.run(reranked, reranker, hits, question)
            return tuple(call.purpose for call in collector.calls)

        assert paid() == self.purposes
        assert set(at_once(paid)) == {self.purposes}
