"""Questions to Documents: the retriever over an index, under a filter."""

from __future__ import annotations

from typing import Any, Protocol

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from rag.records import Hit


class Searchable(Protocol):
    """What a retriever needs of an index."""

    def search(
        self, query: str, k: int, *, where: Any, mode: Any, lexical_weight: float, spread: bool
    ) -> list[Hit]:
        """Return the k best hits that match the filter, best first."""
        ...


class HybridRetriever(BaseRetriever):
    """Dense and lexical search under one filter, as a LangChain retriever.

    Parameters
    ----------
    index : Index
        What to search.
    k : int
        How many chunks to return.
    mode : {"hybrid", "dense", "lexical"}
    where : Where, str or dict, optional
        A filter for every question; a question's own filter is added to it with "and".
    lexical_weight : float
        Weight of the lexical arm in mode "hybrid".

    Examples
    --------
    >>> HybridRetriever(index=index, k=4).invoke("how long do we keep CVs?")   # doctest: +SKIP
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    index: Any
    k: int = Field(default=48, ge=1)
    mode: str = "hybrid"
    where: Any = None
    lexical_weight: float = Field(default=1.0, ge=0)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
    ) -> list[Document]:
        both = [self.index.check(item) for item in (self.where, where) if item is not None]
        hits = self.index.search(
            query, k or self.k, where=(both[0] if len(both) == 1 else both[0] & both[1]) if both else None,
            mode=mode or self.mode, lexical_weight=self.lexical_weight, spread=False,
        )  # fmt: skip
        return [hit.to_document() for hit in hits]
