"""A knowledge base as a retriever, by HTTP to the emulator, whose knowledge bases are indexes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_tests.integration_tests import RetrieversIntegrationTests

import rag
from rag.bedrock.search.knowledge_base import (
    MAX_CHARS,
    PAGE_KEY,
    SOURCE_KEY,
    KnowledgeBaseRetriever,
    source_of,
)
from rag.core.errors import RagError, UsageError
from rag.core.passages import Hit
from rag.emulator import Emulator
from rag.retrieval.adapter import as_hit_retriever
from tests.bedrock.emulated_bases import (
    ID,
    QUESTION,
    ROWS,
    ROWS_ID,
    place,
    retriever,
)


@pytest.fixture(scope="module")
def emulator(knowledge_base_emulator: Emulator) -> Emulator:
    return knowledge_base_emulator


def test_located_passages(
    emulator: Emulator, handbook_index: rag.Index, handbook_texts: dict[str, str]
) -> None:
    """Passages have the index's sources, offsets, pages and sections."""
    passages = retriever(handbook_index, k=150).invoke(QUESTION, where="status == 'current'")
    expected = handbook_index.search(QUESTION, 150, where="status == 'current'", spread=False)
    assert [place(document) for document in passages] == [
        (hit.source, hit.start, hit.end) for hit in expected
    ]
    for document, hit in zip(passages, expected, strict=True):
        source, start, end = place(document)
        assert document.page_content == handbook_texts[source][start:end]
        for name in ("page_start", "chunk_id", "doc_id", "score", "gap"):
            assert document.metadata.get(name) == getattr(hit, name), name
        assert tuple(document.metadata.get("section", ())) == hit.section
        assert document.metadata["status"] == "current"
        assert not {SOURCE_KEY, PAGE_KEY} & set(document.metadata)


def test_pages_of_results(emulator: Emulator, handbook_index: rag.Index) -> None:
    """More than a hundred passages take several calls."""
    before = len(emulator.requests)
    passages = retriever(handbook_index).invoke(QUESTION, k=230)
    assert len(passages) == 230 and len({document.metadata["chunk_id"] for document in passages}) == 230
    calls = [request.params for request in emulator.requests[before:]]
    assert len(calls) == 3
    assert {a["retrievalConfiguration"]["vectorSearchConfiguration"]["numberOfResults"] for a in calls} == {
        100
    }
    assert len(retriever(handbook_index).invoke(QUESTION, where="year == 2021", k=500)) < 500


def test_without_index(
    emulator: Emulator,
) -> None:
    """Without an index passages have sources and pages, but are not placed."""
    passages = retriever().invoke(QUESTION, k=30, where="doc_type == 'policy'")
    assert len(passages) == 30
    assert all("start" not in document.metadata for document in passages)
    assert not any(hit.placed for hit in retriever().hits(QUESTION, k=30))
    pdf = [document for document in passages if document.metadata["source"].endswith(".pdf")]
    assert pdf and all(document.metadata["page_start"] >= 1 for document in pdf)


def test_unknown_passages(emulator: Emulator, handbook_index: rag.Index, rows: rag.Index) -> None:
    """A passage that the index does not contain is not placed."""
    passages = retriever(handbook_index, knowledge_base_id=ROWS_ID).invoke("text")
    assert len(passages) == len(ROWS) and not any(Hit.from_document(document).placed for document in passages)


def test_other_chunks(handbook_index: rag.Index, handbook_texts: dict[str, str]) -> None:
    """A passage of other chunks is located, ignoring white space."""
    from rag.bedrock.search.passage_locator import PassageLocator

    texts = PassageLocator(handbook_index)
    source = "engineering/on-call-handbook.md"
    whole = handbook_texts[source]
    start = whole.index("Two people per rota")
    end = whole.index("Waking someone is fine")
    hit = texts.find(source, "  ".join(whole[start:end].split()))
    assert hit is not None
    assert (hit.start, hit.end) == (start, len(whole[:end].rstrip()))
    assert hit.text == whole[hit.start : hit.end] and hit.gap == " "
    assert texts.find(source, "words that stand nowhere in it") is None
    assert texts.find("no/such/file.md", "Two people per rota") is None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_passage(handbook_index: rag.Index, handbook_texts: dict[str, str], data: st.DataObject) -> None:
    """Any part of an indexed text is located at its offsets."""
    from rag.bedrock.search.passage_locator import PassageLocator

    source = data.draw(st.sampled_from(
        ["security/incident-response-policy-v3.pdf", "engineering/on-call-handbook.md"]
    ))  # fmt: skip
    chunks = sorted(handbook_index.scan({"source": source}), key=lambda hit: hit.start)
    first = data.draw(st.integers(0, len(chunks) - 1))
    start = data.draw(st.integers(chunks[first].start, chunks[first].end - 1))
    end = data.draw(st.integers(start + 1, min(start + 900, chunks[-1].end)))
    wanted = handbook_texts[source][start:end]
    hit = PassageLocator(handbook_index).find(source, " ".join(wanted.split()))
    if not wanted.strip():
        assert hit is None
        return
    if hit is None:  # text that no chunk holds stands in between
        assert any(a.gap is None or a.end + len(a.gap) != b.start for a, b in itertools.pairwise(chunks))
        return
    assert hit.text == handbook_texts[source][hit.start : hit.end]
    assert "".join(hit.text.split()) == "".join(wanted.split()) and hit.start <= start + len(wanted)


@pytest.mark.parametrize(
    ("location", "prefix", "source"),
    [
        ("s3://bucket/a/b.md", "", "a/b.md"),
        ("s3://bucket/a/b.md", "a", "b.md"),
        ("s3://bucket/a/b.md", "s3://bucket/a/", "b.md"),
        ("s3://bucket/a/b.md", "s3://bucket/a", "b.md"),
        ("s3://bucket/a/b.md", "s3://bucket/a/b.md", "b.md"),
        ("s3://bucket/ab/c.md", "s3://bucket/a", "s3://bucket/ab/c.md"),
        ("https://example.org/a", "s3://bucket/", "https://example.org/a"),
    ],
)
def test_source_of(location: str, prefix: str, source: str) -> None:
    """A source is the key below the prefix."""
    assert source_of(location, prefix) == source


def test_modes(emulator: Emulator, handbook_index: rag.Index) -> None:
    """The mode is sent; lexical is refused."""
    passages = retriever(handbook_index, mode="dense").invoke(QUESTION, k=5)
    expected = handbook_index.search(QUESTION, 5, mode="dense")
    assert [place(document) for document in passages] == [
        (hit.source, hit.start, hit.end) for hit in expected
    ]
    sent = emulator.requests[-1].params["retrievalConfiguration"]["vectorSearchConfiguration"]
    assert sent["overrideSearchType"] == "SEMANTIC"
    retriever(handbook_index).invoke(QUESTION, k=5)
    sent = emulator.requests[-1].params["retrievalConfiguration"]["vectorSearchConfiguration"]
    assert "overrideSearchType" not in sent
    with pytest.raises(UsageError, match="'lexical': this knowledge base has the modes hybrid and dense"):
        retriever(handbook_index).invoke(QUESTION, mode="lexical")


def test_long_question(emulator: Emulator) -> None:
    """A question that is too long is refused before a call."""
    before = len(emulator.requests)
    with pytest.raises(UsageError, match="a knowledge base takes at most 20000; shorten it"):
        retriever().invoke("x" * (MAX_CHARS + 1))
    assert len(emulator.requests) == before


def test_failures(emulator: Emulator) -> None:
    """Failures are retried; permanent ones say what to do."""
    emulator.fail_next("ThrottlingException", times=2)
    assert len(retriever().invoke(QUESTION, k=3)) == 3
    with pytest.raises(
        RagError, match=r"ABCDEFGHIJ: .*ResourceNotFound.*check knowledge_base_id and the region"
    ):
        retriever(knowledge_base_id="ABCDEFGHIJ").invoke(QUESTION)
    emulator.fail_next("AccessDeniedException")
    with pytest.raises(RagError, match="allow bedrock:Retrieve on the knowledge base"):
        retriever().invoke(QUESTION)


def test_hits(emulator: Emulator, handbook_index: rag.Index) -> None:
    """The pipeline takes the retriever's Hits directly; Documents are made for LangChain alone."""
    asker = retriever(handbook_index)
    assert as_hit_retriever(asker) is asker
    hits = asker.hits(QUESTION, where="year >= 2021", k=12, mode="dense", room_chars=100)
    documents = asker.invoke(QUESTION, where="year >= 2021", k=12, mode="dense")
    assert len(hits) == 12
    assert [Hit.from_document(document) for document in documents] == hits
    assert all(hit.placed for hit in hits)
    unplaced = retriever().hits(QUESTION, k=3)
    assert [(hit.start, hit.end, hit.placed) for hit in unplaced] == [
        (0, len(h.text), False) for h in unplaced
    ]


@pytest.mark.usefixtures("emulator")
class TestLangChainSuite(RetrieversIntegrationTests):
    """What LangChain asks of a retriever."""

    @property
    def retriever_constructor(self) -> type[KnowledgeBaseRetriever]:
        return KnowledgeBaseRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"knowledge_base_id": ID}

    @property
    def retriever_query_example(self) -> str:
        return QUESTION
