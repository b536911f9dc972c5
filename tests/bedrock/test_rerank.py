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
from rag.core.calls import Call, Usage
from rag.core.errors import ConfigError, RagError, UsageError
from rag.emulator import Behaviour, Emulator
from rag.emulator.agents import RERANK_PAGE, relevance
from rag.usage.collector import Collector
from rag.usage.ledger import Ledger
from rag.usage.meter import Meter

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


def test_order(emulator: Emulator) -> None:
    """The most relevant document comes first, with its score."""
    ranked = BedrockReranker().compress_documents(documents(TEXTS), QUESTION)
    assert [document.id for document in ranked][:2] == ["1", "3"]
    scores = [document.metadata["relevance_score"] for document in ranked]
    assert scores == sorted(scores, reverse=True) and 0.5 < scores[0] <= 1
    assert scores == [document.metadata["score"] for document in ranked]
    assert ranked[0].metadata["source"] == "1.md" and ranked[0].page_content == TEXTS[1]
    assert emulator.problems == []


def test_top(emulator: Emulator) -> None:
    """top keeps the best; equal scores keep their order."""
    originals = documents([TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[1]])
    assert [d.id for d in BedrockReranker(top=3).compress_documents(originals, QUESTION)] == ["1", "3", "0"]


@pytest.mark.parametrize(
    ("model", "arn", "usd"),
    [
        ("amazon.rerank-v1:0", "arn:aws:bedrock:us-east-1::foundation-model/amazon.rerank-v1:0", 0.001),
        ("cohere.rerank-v3-5:0", "arn:aws:bedrock:us-east-1::foundation-model/cohere.rerank-v3-5:0", 0.002),
        ("arn:aws:bedrock:eu-west-1::foundation-model/amazon.rerank-v1:0",) * 2 + (0.001,),
    ],
)
def test_arn_and_cost(emulator: Emulator, model: str, arn: str, usd: float) -> None:
    """The request names the ARN; a call costs one query."""
    _, collector = collected(BedrockReranker(model=model).compress_documents, documents(TEXTS), QUESTION)
    configuration = emulator.requests[0].params["rerankingConfiguration"]["bedrockRerankingConfiguration"]
    assert configuration["modelConfiguration"]["modelArn"] == arn
    assert collector.calls == (Call(model, "rerank", Usage(cost_usd=usd)),)


def test_many_documents(
    emulator: Emulator,
) -> None:
    """Many documents take several pages, calls and queries."""
    texts = [f"Page {n} of the minutes of the works council." for n in range(1003)]
    texts[1001] = TEXTS[1]
    ranked, collector = collected(BedrockReranker().compress_documents, documents(texts), QUESTION)
    assert ranked[0].id == "1001" and sorted(int(d.id or 0) for d in ranked) == list(range(1003))
    assert [len(request.params["sources"]) for request in emulator.requests] == [1000] * (
        1000 // RERANK_PAGE
    ) + [3]
    assert [call.usage.cost_usd for call in collector.calls] == pytest.approx([0.010, 0.001])  # queries


def test_long_document(emulator: Emulator) -> None:
    """A long document has the score of its best part."""
    filler = "The canteen opens at noon. " * 2500
    long = f"{filler}{TEXTS[1]} {filler}"
    ranked = BedrockReranker().compress_documents(documents([TEXTS[0], long]), QUESTION)
    sent = [
        source["inlineDocumentSource"]["textDocument"]["text"]
        for source in emulator.requests[0].params["sources"]
    ]
    assert len(sent) == 1 + 5 and max(map(len, sent)) <= MAX_CHARS
    assert ranked[0].id == "1" and ranked[0].page_content == long
    assert ranked[0].metadata["score"] == max(relevance(QUESTION, sent)[1:])


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from("ab \n"), max_size=50), st.integers(1, 4000))
def test_parts(text: str, times: int) -> None:
    """Parts fit into a call and omit no word."""
    whole = text * times
    ranked = list(parts(whole))
    assert all(0 < len(part) <= MAX_CHARS and part.strip() for part in ranked)
    assert "".join("".join(ranked).split()) == "".join(whole.split())


def test_blank_documents(emulator: Emulator) -> None:
    """Documents without text come last and are not sent."""
    ranked = BedrockReranker().compress_documents(documents([" ", TEXTS[1], ""]), QUESTION)
    assert [(d.id, d.metadata["score"] > 0) for d in ranked] == [("1", True), ("0", False), ("2", False)]
    assert BedrockReranker().compress_documents([], QUESTION) == []
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("query", ["", "  ", "x" * (MAX_CHARS + 1)])
def test_invalid_question(emulator: Emulator, query: str) -> None:
    """An empty or long question is refused before any call."""
    with pytest.raises(UsageError, match="takes 1 to 32000; shorten it"):
        BedrockReranker().compress_documents(documents(TEXTS), query)
    assert emulator.requests == []


def test_retries(emulator: Emulator) -> None:
    """Faults are retried as the table says."""
    emulator.fail_next("ThrottlingException", times=2)
    emulator.fail_next("ConnectionClosedError")
    ranked = BedrockReranker(retry=AT_ONCE).compress_documents(documents(TEXTS), QUESTION)
    assert ranked[0].id == "1" and len(emulator.requests) == 4
    emulator.fail_next("ValidationException")
    with pytest.raises(RagError, match=r"amazon\.rerank-v1:0: ValidationException"):
        BedrockReranker(retry=AT_ONCE).compress_documents(documents(TEXTS), QUESTION)
    assert len(emulator.requests) == 5


def test_permission_advice(emulator: Emulator) -> None:
    """The advice names the permission for reranking."""
    emulator.fail_next("AccessDeniedException")
    with pytest.raises(RagError, match=r"allow bedrock:Rerank, and bedrock:InvokeModel on this model"):
        BedrockReranker(retry=AT_ONCE).compress_documents(documents(TEXTS), QUESTION)
    assert len(emulator.requests) == 1


def test_on_failure_keep(emulator: Emulator) -> None:
    """ "keep" returns the original order with a note, at no cost."""
    emulator.behaviour = Behaviour(fail=1.0, fail_with=("ServiceUnavailableException",))
    reranker = BedrockReranker(on_failure="keep", top=2, retry=AT_ONCE)
    originals = documents(TEXTS)
    kept, collector = collected(reranker.compress_documents, originals, QUESTION)
    assert kept == originals[:2]
    (note,) = collector.notes
    assert "keep the order of retrieval: amazon.rerank-v1:0: ServiceUnavailableException" in note
    assert collector.calls == ()


def test_rag_toml(emulator: Emulator, handbook_index: rag.Index, tmp_path: Path) -> None:
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
def test_wrong_rag_toml(reranker: Any, message: str) -> None:
    """A wrong reranker in rag.toml is an error that says what to write."""
    with pytest.raises(ConfigError) as caught:
        stages.stage("retriever", {"reranker": reranker}, index=None)
    assert message in str(caught.value)


def test_billed_documents() -> None:
    assert billed_documents("How long?", ["28 days."] * 350) == 350
    assert billed_documents("How long?", ["word " * 2000]) > 3
