"""The retriever: as many candidates as the context has room for, and what may be put around a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.vectorstores.utils import maximal_marginal_relevance

import rag
from rag.core.errors import ConfigError, GenerationError, UsageError
from rag.core.passages import Hit
from rag.index.search.ordering import diverse
from rag.retrieval import Decomposed, HybridRetriever, Rephrased

PAGES = {
    "leave.md": "# Leave\n\nAnnual leave is 28 days.\n\nUnused days lapse in March.\n\n# Pay\n\nPay day is the 25th.",
    "copy.md": "# Leave\n\nAnnual leave is 28 days.\n\nUnused days lapse in March.\n\n# Pay\n\nPay day is the 25th.",
    "incident.md": "# Incidents\n\nAnyone may declare a SEV-1.\n\nThe duty manager is paged.",
}


class Backwards(BaseDocumentCompressor):
    """A reranker that turns the order around, with scores of its own if asked."""

    scores: bool = False

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: object = None
    ) -> list[Document]:
        out = [d.model_copy(deep=True) for d in reversed(documents)]
        for place, document in enumerate(out):
            if self.scores:
                document.metadata["relevance_score"] = 0.9 - place / 100
        return out


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    folder = tmp_path_factory.mktemp("retrieval")
    for name, text in PAGES.items():
        (folder / name).write_text(text)
    rag.build(folder, folder / "ix", embedder="static", chunker={"max_tokens": 8, "min_tokens": 1})
    return rag.Index.open(folder / "ix")


def texts(found: Sequence[Document]) -> list[str]:
    return [document.page_content for document in found]


def test_candidates_grow_with_the_room_there_is(index: rag.Index) -> None:
    assert HybridRetriever(index=index).candidates(1000) == 64
    assert HybridRetriever(index=index).candidates(8000) == 200
    assert HybridRetriever(index=index, k=7).candidates(8000) == 7
    pipe = rag.Pipeline(index, trimmer={"budget": 3000, "unit": "tokens"})
    seen = []
    search = index.search
    index.search = lambda query, k, **more: seen.append(k) or search(query, k, **more)  # type: ignore[method-assign]
    try:
        pipe.context("leave")
        pipe.context("leave", budget=100, unit="chars")
        pipe.context("leave", k=3)
    finally:
        del index.search
    assert seen == [300, 64, 3]


def test_distinct_leaves_out_copies_and_still_finds_k(index: rag.Index) -> None:
    both = HybridRetriever(index=index, k=4).invoke("annual leave days")
    assert len(set(texts(both))) < 4
    once = HybridRetriever(index=index, k=4, distinct=True).invoke("annual leave days")
    assert len(set(texts(once))) == len(once) == 4
    assert texts(once)[0] == texts(both)[0]


def test_diversity_is_maximal_marginal_relevance(index: rag.Index) -> None:
    found = HybridRetriever(index=index, k=3, diversity=0.5).invoke("annual leave days")
    assert texts(found) == [
        hit.text for hit in index.diverse("annual leave days", 3, fetch_k=12, diversity=0.5)
    ]
    with pytest.raises(UsageError, match="diversity compares vectors"):
        HybridRetriever(index=index, k=3, diversity=0.5, mode="lexical").invoke("leave")


def test_more_questions_are_searched_beside_the_one_asked(index: rag.Index) -> None:
    asked = "the duty manager"
    plain = HybridRetriever(index=index, k=2)
    both = HybridRetriever(index=index, k=2, questions=lambda question: ["When is pay day?"])
    best = {hit.metadata["chunk_id"]: hit.metadata["score"] for hit in plain.invoke("When is pay day?")}
    found = both.invoke(asked)
    assert "Pay day is the 25th." in texts(found)[0]
    assert found[0].metadata["score"] == max(best.values())
    assert "Pay day" not in texts(plain.invoke(asked))[0]


def test_models_rephrase_and_take_apart() -> None:
    model = FakeListChatModel(
        responses=["1. How many days off?\n- how much holiday\n\nHow much Holiday\n(3) Days off?"]
    )
    assert Rephrased(model)("how much  holiday") == ["How many days off?", "Days off?"]
    assert Decomposed(model, most=1)("x") == ["How many days off?"]

    class Broken:
        def invoke(self, messages: object) -> str:
            raise TimeoutError("no answer\nwithin 3 s")

    with pytest.raises(GenerationError, match="Broken, asked for questions: no answer within 3 s"):
        Rephrased(Broken())("x")


@pytest.mark.parametrize("scores", [True, False])
def test_a_rerankers_order_is_kept_through_the_trimmer(index: rag.Index, scores: bool) -> None:
    plain = HybridRetriever(index=index, k=5).invoke("annual leave")
    turned = HybridRetriever(index=index, k=5, reranker=Backwards(scores=scores)).invoke("annual leave")
    assert texts(turned) == texts(plain)[::-1]
    said = [document.metadata["score"] for document in turned]
    assert said == sorted(said, reverse=True) and len(set(said)) == 5
    assert said[0] == (0.9 if scores else 0)
    trimmer = rag.BudgetTrimmer(budget=len(turned[0].page_content), strategy="chunks")
    assert texts(trimmer.compress_documents(turned, "annual leave")) == texts(turned)[:1]


def test_neighbours_and_sections_are_slices_and_no_place_comes_twice(index: rag.Index) -> None:
    hit = next(hit for hit in index.search("unused days lapse", k=9) if hit.source == "leave.md")
    (wide,) = index.widened([hit], neighbours=1)
    assert PAGES["leave.md"][wide.start : wide.end] == wide.text
    assert "28 days" in wide.text and "lapse" in wide.text and wide.chunk_id == hit.chunk_id
    (section,) = index.widened([hit], section=True)
    assert section.text == "# Leave\n\nAnnual leave is 28 days.\n\nUnused days lapse in March."
    assert section.score == hit.score
    everything = index.search("leave pay SEV-1", k=99, spread=False)
    widened = index.widened(everything, neighbours=2)
    places = [(h.source, at) for h in widened for at in range(h.start, h.end)]
    assert len(places) == len(set(places))
    with pytest.raises(UsageError, match="no chunk of"):
        index.widened([Hit("leave.md", 0, 3, "# L", 1.0)])


def test_rerankers_and_questions_can_be_named(
    index: rag.Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from tests.retrieval.test_hybrid import Backwards\ndef more(question):\n    return [question + '?']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    pipe = rag.Pipeline(index, retriever={"reranker": "mine:Backwards", "questions": "mine:more", "k": 2})
    assert type(pipe.retriever.reranker).__name__ == "Backwards"
    assert pipe.retriever.questions("a") == ["a?"]
    with pytest.raises(ConfigError, match="there is no retriever's reranker 'none'"):
        rag.Pipeline(index, retriever={"reranker": "none"})


def test_chosen_by_relevance_and_difference_as_langchain_does() -> None:
    vectors = np.random.default_rng(3).standard_normal((60, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    question, rows = vectors[0], list(vectors[1:])
    cosines = [float(row @ question) for row in rows]
    for diversity in (0.0, 0.3, 0.7, 1.0):
        expected = maximal_marginal_relevance(question, rows, 1 - diversity, 20)
        if diversity < 1:
            assert diverse(cosines, rows, 20, diversity) == expected
        assert len(set(diverse(cosines, rows, 99, diversity))) == 59
    assert diverse([], [], 5, 0.5) == []


def test_wrong_calls_say_what_is_missing(index: rag.Index) -> None:
    with pytest.raises(UsageError, match="the question is empty"):
        index.search_by_vector(np.ones(256), "", mode="lexical")
    with pytest.raises(UsageError, match="mode 'dense' compares vectors"):
        index.search_by_vector(None, "leave")
    with pytest.raises(UsageError, match="k is 0"):
        HybridRetriever(index=index).invoke("leave", k=0)
    one = HybridRetriever(index=index, k=2, questions=lambda question: "When is pay day?").invoke("SEV-1")
    assert any("Pay day" in text for text in texts(one))
