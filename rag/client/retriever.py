"""A server's passages as a LangChain retriever."""

from __future__ import annotations

from typing import Any, Literal, Protocol, Unpack, runtime_checkable

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, field_validator

from rag.client.calls import SEARCH, SearchOptions
from rag.core.errors import UsageError, near_miss
from rag.core.passages import Hit
from rag.index.filters.parse import parse
from rag.index.filters.where import Where


@runtime_checkable
class Searches(Protocol):
    """What searches a server (`rag.client.client.Client`)."""

    def search(self, question: str, **options: Unpack[SearchOptions]) -> list[Hit]:
        """Return the best passages."""

    async def asearch(self, question: str, **options: Unpack[SearchOptions]) -> list[Hit]:
        """Return the best passages without blocking the event loop."""


class RemoteRetriever(BaseRetriever):
    """Searches a server of `rag serve`.

    Attributes
    ----------
    client : Client
    k : int, optional
        How many passages; by default 10.
    mode : {"hybrid", "dense", "lexical"}, optional
    where : Where, str or dict, optional
        A filter, which that of a question narrows further.

    Examples
    --------
    >>> rag.Client().as_retriever(k=4).invoke("How long do we keep CVs?")             # doctest: +SKIP
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    client: Searches
    k: int | None = None
    mode: Literal["hybrid", "dense", "lexical"] | None = None
    where: Where | None = None

    @field_validator("where", mode="before")
    @classmethod
    def _parsed(cls, where: Any) -> Where | None:
        return None if where is None else parse(where)

    def hits(
        self,
        question: str,
        *,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
        room_chars: int | None = None,
    ) -> list[Hit]:
        """Return the passages for a question, best first; `room_chars` is not sent."""
        return self.client.search(question, **self._options({"where": where, "k": k, "mode": mode}))

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return [hit.to_document() for hit in self.client.search(query, **self._options(options))]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return [hit.to_document() for hit in await self.client.asearch(query, **self._options(options))]

    def _options(self, given: dict[str, Any]) -> SearchOptions:
        """Return a question's options over the retriever's own; ``filter`` is LangChain's ``where``."""
        if unknown := given.keys() - {*SEARCH, "filter", "room_chars"}:
            name = sorted(unknown)[0]
            raise UsageError(f"the retriever has no option {name!r}: {near_miss(name, SEARCH)}")
        if given.get("filter") is not None and given.get("where") is not None:
            raise UsageError("filter and where are the same: pass one of them")
        asked = given.get("filter") if given.get("where") is None else given["where"]
        parts = [parse(each) for each in (self.where, asked) if each is not None]
        where = None if not parts else parts[0] if len(parts) == 1 else parts[0] & parts[1]
        return {"where": where, "k": given.get("k") or self.k, "mode": given.get("mode") or self.mode}
