"""A server as a LangChain retriever: the published suite, our own, and a pipeline over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

import rag
from rag.client.retriever import RemoteRetriever
from rag.core.errors import UsageError, WhereError
from rag.testing import RetrieverSuite

QUESTION = "How many days of annual leave?"


class TestLangChain(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _served(self, address: str) -> None:
        self._client = rag.Client(address)

    @property
    def retriever_constructor(self) -> type[RemoteRetriever]:
        return RemoteRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"client": self._client}

    @property
    def retriever_query_example(self) -> str:
        return QUESTION


class TestOurs(RetrieverSuite):
    @pytest.fixture
    def retriever(self, client: rag.Client) -> Any:
        return client.as_retriever()

    @pytest.fixture
    def question(self) -> str:
        return QUESTION

    @pytest.fixture
    def texts(self, leave: Path) -> Mapping[str, str]:
        return {d.metadata["source"]: d.page_content for d in rag.Loader(leave.parent / "docs").load()}


async def test_options_of_the_retriever_and_of_a_question(client: rag.Client) -> None:
    retriever = client.as_retriever(k=2, where="region == 'eu'")
    assert isinstance(retriever, BaseRetriever)
    found = retriever.invoke(QUESTION)
    assert found == [hit.to_document() for hit in client.search(QUESTION, k=2, where="region == 'eu'")]
    assert await retriever.ainvoke(QUESTION) == found and isinstance(found[0], Document)
    assert len(retriever.invoke(QUESTION, k=1)) == 1
    assert retriever.invoke(QUESTION, where="region == 'us'") == []
    assert retriever.invoke(QUESTION, filter={"year": 2024}) == found
    with pytest.raises(UsageError, match="no option 'kk': did you mean 'k'"):
        retriever.invoke(QUESTION, kk=2)
    with pytest.raises(UsageError, match="filter and where are the same"):
        retriever.invoke(QUESTION, where="year == 1", filter="year == 1")
    with pytest.raises(WhereError, match="cannot read where"):
        client.as_retriever(where="region =")


def test_a_pipeline_over_a_server(client: rag.Client, leave: Path) -> None:
    answer = rag.Pipeline(leave, retriever=client.as_retriever(where="region == 'us'")).ask(QUESTION)
    assert "22 days" in answer.text and {hit.source for hit in answer.context.hits} == {"leave-us.md"}
