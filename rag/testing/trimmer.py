"""What the pipeline asks of a trimmer."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor

from rag.core.passages import Context, Hit
from rag.testing import examples
from rag.testing.threads import at_once
from rag.trimming.adapter import context_of

#: What a candidate's fate may be called (`rag.core.passages.Candidate`).
_FATES = {"kept", "kept in part", "no room", "said already", "held by another candidate", "blank"}


class TrimmerSuite:
    """Any `BaseDocumentCompressor`, or object with ``trim``, ``size``, ``budget`` and ``unit``.

    Give a fixture ``trimmer``. With a budget of about 100 characters or 25 tokens, some of the suite's
    passages fit and others do not.

    Examples
    --------
    >>> class TestMine(TrimmerSuite):
    ...     @pytest.fixture
    ...     def trimmer(self):
    ...         return MyTrimmer(budget=100)
    """

    @pytest.fixture
    def trimmer(self) -> Any:
        """Return the trimmer under test."""
        raise NotImplementedError("give the trimmer under test in a fixture named trimmer")

    @pytest.fixture
    def hits(self) -> list[Hit]:
        """Return the passages to trim, slices of `rag.testing.examples.TEXTS`, best first."""
        return examples.hits()

    @pytest.fixture
    def question(self) -> str:
        """Return the question that they were retrieved for."""
        return examples.QUESTION

    def test_the_budget_is_never_exceeded(self, trimmer: Any, hits: list[Hit], question: str) -> None:
        """Of any passages, in any order, no more is kept than the budget holds."""
        worst = [replace(hit, score=-hit.score) for hit in hits]
        for some in (*(hits[:count] for count in range(len(hits) + 1)), hits[::-1], worst, hits[-2:]):
            context = context_of(trimmer, some, question)
            size = getattr(trimmer, "size", len)
            assert context.used == sum(size(hit.text) for hit in context.hits) <= context.budget

    def test_something_is_kept(self, trimmer: Any, hits: list[Hit], question: str) -> None:
        """Of passages that fit, the context is not empty; of none, it is."""
        assert context_of(trimmer, hits, question).hits
        assert context_of(trimmer, [], question).hits == ()

    def test_what_is_kept_was_retrieved(self, trimmer: Any, hits: list[Hit], question: str) -> None:
        """Every passage is a slice of its source, and holds nothing but retrieved text and white space."""
        for hit in context_of(trimmer, hits, question).hits:
            text = examples.TEXTS[hit.source]
            assert text[hit.start : hit.end] == hit.text
            retrieved = {
                at for each in hits if each.source == hit.source for at in range(each.start, each.end)
            }
            invented = [
                at for at in range(hit.start, hit.end) if at not in retrieved and not text[at].isspace()
            ]
            assert not invented, f"{hit.place}: {hit.text!r} was not retrieved whole"

    def test_no_text_is_sent_twice(self, trimmer: Any, hits: list[Hit], question: str) -> None:
        """Spans of one source do not overlap, not even where the candidates do."""
        doubled = [*hits, *(replace(hit, chunk_id=f"{hit.chunk_id}-again") for hit in hits)]
        # A compressor of LangChain's that only drops passages need not see that two are the same.
        for some in (hits, doubled) if _trims(trimmer) else (hits,):
            kept = context_of(trimmer, some, question).hits
            spans = sorted((hit.source, hit.start, hit.end) for hit in kept)
            for one, two in itertools.pairwise(spans):
                assert one[0] != two[0] or one[2] <= two[1], (one, two)

    def test_every_candidate_has_a_fate(self, trimmer: Any, hits: list[Hit], question: str) -> None:
        """What became of each candidate is reported, in their order, and is true."""
        context = context_of(trimmer, hits, question)
        if not context.candidates and isinstance(trimmer, BaseDocumentCompressor) and not _trims(trimmer):
            pytest.skip("LangChain's compressors do not say what becomes of a candidate")
        spans = [(each.source, each.start, each.end) for each in context.candidates]
        assert spans == [(hit.source, hit.start, hit.end) for hit in hits]
        for candidate, hit in zip(context.candidates, hits, strict=True):
            assert candidate.why in _FATES
            assert 0 <= candidate.kept <= 1
            assert (candidate.why in ("kept", "kept in part")) == (candidate.kept > 0)
            sent = _sent(context, hit)
            if candidate.why == "kept":
                assert sent == {at for at in range(hit.start, hit.end) if not _blank(hit, at)}
            if candidate.why == "no room":
                assert sent < {at for at in range(hit.start, hit.end) if not _blank(hit, at)}

    def test_the_choice_is_stable(self, trimmer: Any, hits: list[Hit], question: str) -> None:
        """The same passages give the same context; the passages themselves stay as they are."""
        before = copy.deepcopy(hits)
        context = context_of(trimmer, hits, question)
        assert context_of(trimmer, hits, question) == context
        assert hits == before

    def test_scores_of_any_kind_are_taken(self, trimmer: Any, hits: list[Hit], question: str) -> None:
        """Infinite scores, and scores that are no number, as other retrievers may give, are no error."""
        for score in (float("nan"), float("inf"), float("-inf"), 0.0):
            context = context_of(trimmer, [replace(hit, score=score) for hit in hits], question)
            assert context.used <= context.budget

    def test_many_threads_keep_the_same(self, trimmer: Any, hits: list[Hit], question: str) -> None:
        """16 threads at once keep what one keeps."""
        some = [hits, hits[:2]]
        expected = [context_of(trimmer, each, question) for each in some]
        for number, context in enumerate(at_once(lambda n: context_of(trimmer, some[n % 2], question))):
            assert context == expected[number % 2]

    def test_langchain_has_the_same_passages(self, trimmer: Any, hits: list[Hit], question: str) -> None:
        """``compress_documents`` returns Documents of what is kept."""
        if not isinstance(trimmer, BaseDocumentCompressor):
            pytest.skip("this trimmer is none of LangChain's")
        documents = trimmer.compress_documents([hit.to_document() for hit in hits], question)
        kept = context_of(trimmer, hits, question).hits
        assert [Hit.from_document(each).text for each in documents] == [hit.text for hit in kept]
        assert [Hit.from_document(each).start for each in documents] == [hit.start for hit in kept]


def _trims(trimmer: Any) -> bool:
    return callable(getattr(trimmer, "trim", None))


def _blank(hit: Hit, at: int) -> bool:
    return hit.text[at - hit.start].isspace()


def _sent(context: Context, hit: Hit) -> set[int]:
    """Return the offsets of a candidate's characters, white space aside, that are sent."""
    sent = {at for kept in context.hits if kept.source == hit.source for at in range(kept.start, kept.end)}
    return {at for at in range(hit.start, hit.end) if at in sent and not _blank(hit, at)}
