"""What the pipeline asks of a retriever."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever

from rag.core.errors import RagError, UsageError
from rag.core.passages import Hit
from rag.retrieval.adapter import as_hit_retriever
from rag.testing.threads import at_once
from rag.usage.collector import Collector


class RetrieverSuite:
    """Any `BaseRetriever`, Runnable from a question to Documents, or object with ``hits(question, ...)``.

    Give a fixture ``retriever`` that has at least five passages, and ``question``. Further fixtures, each
    with a default: ``where``, the name and value of a field that some passages have; ``texts``, the
    loaded texts by source, for the offsets.

    Attributes
    ----------
    purposes : tuple of str
        What a question pays for, in order: ``"embed"`` for a model that is paid, ``"rerank"``.

    Examples
    --------
    >>> class TestMine(RetrieverSuite):
    ...     @pytest.fixture
    ...     def retriever(self):
    ...         return MyRetriever()
    ...     @pytest.fixture
    ...     def question(self):
    ...         return "Who declares an incident?"
    """

    purposes: tuple[str, ...] = ()

    @pytest.fixture
    def retriever(self) -> Any:
        """Return the retriever under test."""
        raise NotImplementedError("give the retriever under test in a fixture named retriever")

    @pytest.fixture
    def question(self) -> str:
        """Return a question that it has passages for."""
        raise NotImplementedError("give a question in a fixture named question")

    @pytest.fixture
    def where(self) -> Mapping[str, Any]:
        """Return the name and the value of a field of the passages' metadata."""
        return {"status": "current"}

    @pytest.fixture
    def texts(self) -> Mapping[str, str]:
        """Return the loaded texts by source."""
        return {}

    def test_passages_are_slices_of_their_sources(
        self, retriever: Any, question: str, texts: Mapping[str, str]
    ) -> None:
        """Every passage has a text, a source and a finite score; its offsets are those of its text."""
        hits = _hits(retriever, question)
        assert hits, "the suite needs a question that the retriever has passages for"
        for hit in hits:
            assert isinstance(hit, Hit)
            assert hit.source and math.isfinite(hit.score)
            assert hit.end - hit.start == len(hit.text)
            if hit.placed and hit.source in texts:
                assert texts[hit.source][hit.start : hit.end] == hit.text, hit.place
        if texts:
            assert any(hit.placed and hit.source in texts for hit in hits)

    def test_no_passage_comes_twice(self, retriever: Any, question: str) -> None:
        """Each span of a source is there once."""
        spans = [(hit.source, hit.start, hit.end, hit.text) for hit in _hits(retriever, question)]
        assert len(spans) == len(set(spans))

    def test_the_best_come_first(self, retriever: Any, question: str) -> None:
        """Scores fall or stay; where there are none, all are 0."""
        scores = [hit.score for hit in _hits(retriever, question)]
        assert scores == sorted(scores, reverse=True)

    def test_k_is_honoured_or_refused(self, retriever: Any, question: str) -> None:
        """Of k passages there are at most k, the first of those that more would be."""
        for k in (1, 2, 5):
            try:
                hits = _hits(retriever, question, k=k)
            except UsageError as error:
                assert _one_line(error) and "k=" in str(error)
                return
            assert len(hits) == k, f"{len(hits)} passages for k={k}"

    def test_a_filter_is_honoured_or_refused(
        self, retriever: Any, question: str, where: Mapping[str, Any]
    ) -> None:
        """No passage comes that does not pass the filter, and there are some that do."""
        try:
            hits = _hits(retriever, question, where=dict(where))
        except UsageError as error:
            assert _one_line(error)
            return
        assert hits, f"nothing passes {where}"
        for hit in hits:
            assert {name: hit.metadata.get(name) for name in where} == dict(where), hit.place

    def test_a_filter_on_an_unknown_field_gives_no_passages(self, retriever: Any, question: str) -> None:
        """A misspelt field never means all passages: it is refused, or nothing passes."""
        try:
            hits = _hits(retriever, question, where={"no_such_field": "x"})
        except RagError as error:
            assert _one_line(error)
        else:
            assert hits == []

    def test_the_order_is_stable(self, retriever: Any, question: str) -> None:
        """Asked again, the passages are the same, in the same order."""
        assert _hits(retriever, question) == _hits(retriever, question)

    def test_many_threads_have_the_same_passages(self, retriever: Any, question: str) -> None:
        """16 threads at once have what one has, each with its own question."""
        questions = [question, f"{question} And since when?"]
        expected = [_hits(retriever, each) for each in questions]
        for number, hits in enumerate(at_once(lambda n: _hits(retriever, questions[n % 2]))):
            assert hits == expected[number % 2]

    def test_costs_are_the_questions_own(self, retriever: Any, question: str) -> None:
        """What is paid for is in the question's collector, and in no other's, also on 16 threads."""

        def paid(_: int = 0) -> tuple[str, ...]:
            collector = Collector()
            collector.run(_hits, retriever, question)
            return tuple(call.purpose for call in collector.calls)

        assert paid() == self.purposes
        assert set(at_once(paid)) == {self.purposes}

    def test_langchain_has_the_same_passages(self, retriever: Any, question: str) -> None:
        """Invoked as LangChain does, it returns Documents of the same passages."""
        if not isinstance(retriever, BaseRetriever):
            pytest.skip("this retriever is none of LangChain's")
        documents = retriever.invoke(question)
        hits = as_hit_retriever(retriever).hits(question)
        assert [document.page_content for document in documents] == [hit.text for hit in hits]
        assert [Hit.from_document(each).source for each in documents] == [hit.source for hit in hits]


def _hits(retriever: Any, question: str, **options: Any) -> Sequence[Hit]:
    return list(as_hit_retriever(retriever).hits(question, **options))


def _one_line(error: Exception) -> bool:
    return bool(str(error).strip()) and "\n" not in str(error)
