"""Hybrid search as a LangChain retriever."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from rag.core.errors import UsageError, near_miss
from rag.retrieval.search import HybridSearch

#: Options of a question; ``filter`` is LangChain's name for ``where``.
_OPTIONS = ("where", "k", "mode", "room_chars")


class HybridRetriever(HybridSearch, BaseRetriever):
    """`rag.retrieval.search.HybridSearch` with LangChain's interface; the parameters are the same.

    ``invoke`` takes a question's ``where`` (or ``filter``), ``k`` and ``mode`` as keywords.

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
        if unknown := options.keys() - {*_OPTIONS, "filter"}:
            name = sorted(unknown)[0]
            raise UsageError(f"the retriever has no option {name!r}: {near_miss(name, _OPTIONS)}")
        if options.get("filter") is not None and options.get("where") is not None:
            raise UsageError("filter and where are the same: pass one of them")
        where = options.pop("filter", None)
        options["where"] = options.get("where") if where is None else where
        return [hit.to_document() for hit in self.hits(query, **options)]
