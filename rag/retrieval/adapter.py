"""Any retriever behind one interface: Hits inside, Documents only at the edge to one that is not ours."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from rag.core.errors import ConfigError, UsageError
from rag.core.passages import Hit


@runtime_checkable
class HitRetriever(Protocol):
    """What the pipeline asks of a retriever."""

    def hits(
        self,
        question: str,
        *,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
        room_chars: int | None = None,
    ) -> Sequence[Hit]:
        """Return the passages for a question, best first."""
        ...


class ForeignRetriever:
    """A LangChain retriever, or any Runnable from a question to Documents.

    Options that its ``_get_relevant_documents`` does not name are refused: it would ignore them.
    """

    def __init__(self, retriever: Any) -> None:
        self.retriever = retriever
        method = getattr(retriever, "_get_relevant_documents", None)
        self._options: Mapping[str, Any] = {} if method is None else inspect.signature(method).parameters

    def hits(
        self,
        question: str,
        *,
        where: Any = None,
        k: int | None = None,
        mode: str | None = None,
        room_chars: int | None = None,
    ) -> list[Hit]:
        """Return the retriever's documents as Hits."""
        options = {"where": where, "k": k, "mode": mode}
        options = {name: value for name, value in options.items() if value is not None}
        for name in options:
            if name not in self._options:
                raise UsageError(
                    f"the retriever {type(self.retriever).__name__} does not take {name}=: set it in the "
                    "retriever itself"
                )
        if room_chars is not None and "room_chars" in self._options:
            options["room_chars"] = room_chars
        return [Hit.from_document(document) for document in self.retriever.invoke(question, **options)]


def as_hit_retriever(retriever: Any) -> HitRetriever:
    """Return a retriever behind the pipeline's interface.

    Of a subclass that changes ``_get_relevant_documents`` of a retriever with ``hits``, the change counts.

    Raises
    ------
    ConfigError
        It is no retriever.
    """
    for kind in type(retriever).__mro__:
        if "hits" in vars(kind) and isinstance(retriever, HitRetriever):
            return retriever
        if "_get_relevant_documents" in vars(kind):
            break
    if not callable(getattr(retriever, "invoke", None)):
        raise ConfigError(
            f"the retriever is a {type(retriever).__name__}: give a LangChain retriever, or an object with "
            "hits(question, ...)"
        )
    return ForeignRetriever(retriever)
