"""Reranking on Bedrock: real HTTP to the emulator, through boto3's own Rerank."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

import rag
from rag.bedrock.runtime.retry import Retry
from rag.bedrock.search.rerank import MAX_CHARS, BedrockReranker, billed_documents, parts
from rag.config import settings as rag_toml
from rag.config import stages
from rag.core.answers import Call, Usage
from rag.core.errors import ConfigError, RagError, UsageError
from rag.emulator import Behaviour, Emulator
from rag.emulator.agents import RERANK_PAGE, relevance
from rag.usage.budget import Meter
from rag.usage.collector import Collector
from rag.usage.ledger import Ledger

QUESTION = "How many days of annual leave do staff in Europe take?"
TEXTS = [
    "The canteen opens at noon and closes at two.",
    "Staff in Europe take 28 days of annual leave.",
    "Backups run every night at two.",
    "Annual leave is asked for a month before.",
]
AT_ONCE = Retry(attempts=4, base_s=0)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def documents(texts: list[str]) -> list[Document]:
    return [
        Document(text, metadata={"source": f"{n}.md", "start": 0, "score": -1.0}, id=str(n))
        for n, text in enumerate(texts)
    ]


def collected(function: Any, *args: Any) -> tuple[Any, Collector]:
    """Call a function as a question would; return its result and what was collected."""
    collector = Collector(Meter(Ledger(Path(tempfile.mkdtemp()) / "ledger.sqlite")))
    return collector.run(function, *args), collector


def test_the_most_relevant_document_comes_first_with_its_score(emulator: Emulator) -> None:
    found = BedrockReranker().compress_documents(documents(TEXTS), QUESTION)
    assert [document.id for document in found][:2] == ["1", "3"]
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == sorted(scores, reverse=True) and 0.5 < scores[0] <= 1
    assert scores == [document.metadata["score"] for document in found]
    assert found[0].metadata["source"] == "1.md" and found[0].page_content == TEXTS[1]
    assert emulator.problems == []


def test_top_leaves_the_best_and_equal_scores_stay_in_order(emulator: Emulator) -> None:
    given_ = documents([TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[1]])
    assert [d.id for d in BedrockReranker(top=3).compress_documents(given_, QUESTION)] == ["1", "3", "0"]


@pytest.mark.parametrize(
    ("model", "arn", "usd"),
    [
        ("amazon.rerank-v1:0", "arn:aws:bedrock:us-east-1::foundation-model/amazon.rerank-v1:0", 0.001),
        ("cohere.rerank-v3-5:0", "arn:aws:bedrock:us-east-1::foundation-model/cohere.rerank-v3-5:0", 0.002),
        ("arn:aws:bedrock:eu-west-1::foundation-model/amazon.rerank-v1:0",) * 2 + (0.001,),
    ],
)
def test_a_model_is_named_by_its_arn_and_a_call_costs_what_a_query_does(
    emulator: Emulator, model: str, arn: str, usd: float
) -> None:
    _, collector = collected(BedrockReranker(model=model).compress_documents, documents(TEXTS), QUESTION)
    asked = emulator.requests[0].params["rerankingConfiguration"]["bedrockRerankingConfiguration"]
    assert asked["modelConfiguration"]["modelArn"] == arn
    assert collector.calls == (Call(model, "rerank", Usage(cost_usd=usd)),)


def test_many_documents_are_several_pages_and_several_calls_and_cost_several_queries(
    emulator: Emulator,
) -> None:
    texts = [f"Page {n} of the minutes of the works council." for n in range(1003)]
    texts[1001] = TEXTS[1]
    found, collector = collected(BedrockReranker().compress_documents, documents(texts), QUESTION)
    assert found[0].id == "1001" and sorted(int(d.id or 0) for d in found) == list(range(1003))
    assert [len(request.params["sources"]) for request in emulator.requests] == [1000] * (
        1000 // RERANK_PAGE
    ) + [3]
    assert [call.usage.cost_usd for call in collector.calls] == pytest.approx([0.010, 0.001])  # queries


def test_a_long_document_has_the_score_of_its_best_part(emulator: Emulator) -> None:
    filler = "The canteen opens at noon. " * 2500
    long = f"{filler}{TEXTS[1]} {filler}"
    found = BedrockReranker().compress_documents(documents([TEXTS[0], long]), QUESTION)
    sent = [
        source["inlineDocumentSource"]["textDocument"]["text"]
        for source in emulator.requests[0].params["sources"]
    ]
    assert len(sent) == 1 + 5 and max(map(len, sent)) <= MAX_CHARS
    assert found[0].id == "1" and found[0].page_content == long
    assert found[0].metadata["score"] == max(relevance(QUESTION, sent)[1:])


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from("ab \n"), max_size=50), st.integers(1, 4000))
def test_the_parts_of_a_text_fit_a_call_and_leave_no_word_out(text: str, times: int) -> None:
    whole = text * times
    found = list(parts(whole))
    assert all(0 < len(part) <= MAX_CHARS and part.strip() for part in found)
    assert "".join("".join(found).split()) == "".join(whole.split())


def test_documents_without_text_come_last_and_are_not_sent(emulator: Emulator) -> None:
    found = BedrockReranker().compress_documents(documents([" ", TEXTS[1], ""]), QUESTION)
    assert [(d.id, d.metadata["score"] > 0) for d in found] == [("1", True), ("0", False), ("2", False)]
    assert BedrockReranker().compress_documents([], QUESTION) == []
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("query", ["", "  ", "x" * (MAX_CHARS + 1)])
def test_a_question_that_no_call_takes_is_refused_before_one_is_made(emulator: Emulator, query: str) -> None:
    with pytest.raises(UsageError, match="takes 1 to 32000; shorten it"):
        BedrockReranker().compress_documents(documents(TEXTS), query)
    assert emulator.requests == []


def test_what_the_table_of_faults_says_is_tried_again(emulator: Emulator) -> None:
    emulator.fail_next("ThrottlingException", times=2)
    emulator.fail_next("ConnectionClosedError")
    found = BedrockReranker(retry=AT_ONCE).compress_documents(documents(TEXTS), QUESTION)
    assert found[0].id == "1" and len(emulator.requests) == 4
    emulator.fail_next("ValidationException")
    with pytest.raises(RagError, match=r"amazon\.rerank-v1:0: ValidationException"):
        BedrockReranker(retry=AT_ONCE).compress_documents(documents(TEXTS), QUESTION)
    assert len(emulator.requests) == 5


def test_what_is_to_be_allowed_is_that_of_reranking(emulator: Emulator) -> None:
    emulator.fail_next("AccessDeniedException")
    with pytest.raises(RagError, match=r"allow bedrock:Rerank, and bedrock:InvokeModel on this model"):
        BedrockReranker(retry=AT_ONCE).compress_documents(documents(TEXTS), QUESTION)
    assert len(emulator.requests) == 1


def test_on_failure_keep_leaves_the_order_and_says_so_and_costs_nothing(emulator: Emulator) -> None:
    emulator.behaviour = Behaviour(fail=1.0, fail_with=("ServiceUnavailableException",))
    reranker = BedrockReranker(on_failure="keep", top=2, retry=AT_ONCE)
    given_ = documents(TEXTS)
    kept, collector = collected(reranker.compress_documents, given_, QUESTION)
    assert kept == given_[:2]
    (note,) = collector.notes
    assert "keep the order of retrieval: amazon.rerank-v1:0: ServiceUnavailableException" in note
    assert collector.calls == ()


def test_a_reranker_is_named_in_rag_toml(
    emulator: Emulator, handbook_index: rag.Index, tmp_path: Path
) -> None:
    written = tmp_path / "rag.toml"
    written.write_text(
        '[retriever]\nreranker = {use = "bedrock", model = "cohere.rerank-v3-5:0", top = 5}\nk = 20\n'
    )
    pipe = rag.Pipeline(handbook_index, settings=rag_toml.read(written))
    answer = pipe.ask("who declares a SEV-1?")
    assert len(answer.context.candidates) == 5
    assert (answer.calls[0].purpose, answer.calls[0].usage.cost_usd) == ("rerank", 0.002)
    assert all(0 <= hit.score <= 1 for hit in pipe.retrieve("who declares a SEV-1?"))
    named: Any = stages.stage("retriever", {"reranker": "bedrock"}, index=handbook_index)
    assert named.reranker.model == "amazon.rerank-v1:0"


@pytest.mark.parametrize(
    ("reranker", "message"),
    [
        ("bedrok", "did you mean 'bedrock'"),
        ({"use": "bedrock", "topp": 3}, "no argument 'topp': did you mean 'top'"),
        ({"use": "bedrock", "top": 0}, "top: Input should be greater than or equal to 1"),
        ({"top": 3}, "is a name or module:name"),
    ],
)
def test_a_wrong_reranker_in_rag_toml_is_an_error_that_says_what_to_write(
    reranker: Any, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        stages.stage("retriever", {"reranker": reranker}, index=None)
    assert message in str(caught.value)


def test_documents_are_billed_by_their_tokens() -> None:
    assert billed_documents("How long?", ["28 days."] * 350) == 350
    assert billed_documents("How long?", ["word " * 2000]) > 3
