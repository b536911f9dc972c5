"""Hybrid search as a LangChain retriever."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from rag.retrieval.search import HybridSearch


class HybridRetriever(HybridSearch, BaseRetriever):
    """`rag.retrieval.search.HybridSearch` with LangChain's interface; the parameters are the same.

    Examples
    --------
    >>> HybridRetriever(index=index, k=4).invoke("how long do we keep CVs?")   # doctest: +SKIP
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    # Beside its LangChain form: a subclass that changes only that one is taken at its word.
    hits = HybridSearch.hits

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return [hit.to_document() for hit in self.hits(query, **options)]
