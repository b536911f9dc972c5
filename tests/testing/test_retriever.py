"""Every kind of retriever keeps the contract, and the suite sees what is wrong with one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda

import rag
from rag.bedrock.runtime.retry import Retry
from rag.bedrock.search.knowledge_base import KnowledgeBaseRetriever
from rag.core.calls import Usage
from rag.core.passages import Hit
from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at
from rag.retrieval.search import HybridSearch
from rag.testing import RetrieverSuite
from rag.usage.collector import paid_call
from tests.conftest import HANDBOOK
from tests.testing.suites import failures

QUESTION = "Who declares a SEV-1?"


@pytest.fixture(scope="module")
def handbook_index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    """The handbook's folder on security, which is built in a moment."""
    path = tmp_path_factory.mktemp("security") / "index"
    rag.build(HANDBOOK / "security", path)
    return rag.Index.open(path)


@pytest.fixture(scope="module")
def handbook_texts() -> dict[str, str]:
    return {d.metadata["source"]: d.page_content for d in rag.Loader(HANDBOOK / "security").load()}


class OverHandbook(RetrieverSuite):
    @pytest.fixture
    def question(self) -> str:
        return QUESTION

    @pytest.fixture
    def texts(self, handbook_texts: Mapping[str, str]) -> Mapping[str, str]:
        return handbook_texts


class TestHybrid(OverHandbook):
    @pytest.fixture(params=["retriever", "search", "lexical", "distinct", "rephrased"])
    def retriever(self, request: pytest.FixtureRequest, handbook_index: rag.Index) -> Any:
        more: dict[str, Any] = {
            "lexical": {"mode": "lexical"}, "distinct": {"distinct": True},
            "rephrased": {"questions": lambda question: ["incident severity"]},
        }.get(request.param, {})  # fmt: skip
        kind = HybridSearch if request.param == "search" else rag.HybridRetriever
        return kind(index=handbook_index, **more)


class TestKnowledgeBase(OverHandbook):
    @pytest.fixture
    def retriever(self, monkeypatch: pytest.MonkeyPatch, handbook_index: rag.Index) -> Iterator[Any]:
        with Emulator(knowledge_bases={"HANDBOOK01": handbook_index.path}) as emulator:
            point_at(monkeypatch, emulator.environment())
            yield KnowledgeBaseRetriever(
                knowledge_base_id="HANDBOOK01", index=handbook_index, prefix="s3://handbook01/", k=20,
                retry=Retry(base_s=0),
            )  # fmt: skip


TEXT = "Staff take leave. Backups run at two. The canteen opens at noon. Doors close at six. Rota starts on Monday. Keys are on the board."
PIECES = [f"{piece.strip('.')}." for piece in TEXT.split(". ")]
DOCUMENTS = [
    Document(
        piece, metadata={"source": "a.md", "start": TEXT.index(piece), "status": ("current", "old")[n % 2]}
    )
    for n, piece in enumerate(PIECES)
]


class TestRunnable(RetrieverSuite):
    """A retriever that takes no options refuses them."""

    @pytest.fixture
    def retriever(self) -> Any:
        return RunnableLambda(lambda question: list(DOCUMENTS))

    @pytest.fixture
    def question(self) -> str:
        return "When do backups run?"

    @pytest.fixture
    def texts(self) -> Mapping[str, str]:
        return {"a.md": TEXT}


class Honest(BaseRetriever):
    """The retriever that the broken ones are made from."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: Any, where: Any = None, k: int = 6
    ) -> list[Document]:
        self.paid()
        found = [
            d
            for d in DOCUMENTS
            if all(d.metadata.get(name) == value for name, value in (where or {}).items())
        ]
        return self.changed(found[:k])

    def paid(self) -> None:
        pass

    def changed(self, found: list[Document]) -> list[Document]:
        return found


class TestHonest(TestRunnable):
    @pytest.fixture
    def retriever(self) -> Any:
        return Honest()


class IgnoresOptions(Honest):
    def _get_relevant_documents(
        self, query: str, *, run_manager: Any, where: Any = None, k: int = 6
    ) -> list[Document]:
        return list(DOCUMENTS)


class WorstFirst(Honest):
    def changed(self, found: list[Document]) -> list[Document]:
        return [
            Document(d.page_content, metadata={**d.metadata, "score": float(n)}) for n, d in enumerate(found)
        ]


class Shifted(Honest):
    def changed(self, found: list[Document]) -> list[Document]:
        return [
            Document(d.page_content, metadata={**d.metadata, "start": d.metadata["start"] + 1}) for d in found
        ]


class Doubles(Honest):
    def changed(self, found: list[Document]) -> list[Document]:
        return found[:1] + found


class Rotates(Honest):
    turn: int = 0

    def changed(self, found: list[Document]) -> list[Document]:
        self.turn += 1
        return found[self.turn % 2 :] + found[: self.turn % 2]


class PaysOnce(Honest):
    """Pays for its first question only, as one that keeps a client's reply in itself does."""

    paid_already: bool = False

    def paid(self) -> None:
        if not self.paid_already:
            self.paid_already = True
            with paid_call("my-model", "embed") as call:
                call.usage = Usage(3)


@pytest.mark.parametrize(
    ("broken", "tests"),
    [
        (Honest, set()),
        (IgnoresOptions, {"k_is_honoured_or_refused", "a_filter_is_honoured_or_refused", "a_filter_on_an_unknown_field_gives_no_passages"}),
        (WorstFirst, {"the_best_come_first"}),
        (Shifted, {"passages_are_slices_of_their_sources"}),
        (Doubles, {"no_passage_comes_twice", "k_is_honoured_or_refused"}),
        (Rotates, {"the_order_is_stable", "many_threads_have_the_same_passages", "langchain_has_the_same_passages"}),
        (PaysOnce, {"costs_are_the_questions_own"}),
    ],
)  # fmt: skip
def test_a_broken_retriever_is_caught(broken: type[Honest], tests: set[str]) -> None:
    found = failures(RetrieverSuite, retriever=lambda: broken(), question="When?", texts={"a.md": TEXT})
    assert found == tests


def test_a_retriever_that_mixes_questions_up_is_caught() -> None:
    class Mixed:
        def hits(self, question: str, **options: Any) -> list[Hit]:
            self.question = question
            threading.Event().wait(0.005)
            return [Hit("a.md", 0, len(self.question), self.question, 1.0)]

    assert "many_threads_have_the_same_passages" in failures(
        RetrieverSuite, retriever=Mixed(), question="When?"
    )
