"""The searches of a LangChain ``VectorStore`` over an index: for a text or a vector, with scores, diverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from rag.core.arguments import real, strings, text, whole
from rag.core.errors import UsageError
from rag.core.passages import Hit
from rag.core.vectors import finite
from rag.index import documents
from rag.index.documents import Filter
from rag.index.filters.parse import WhereLike
from rag.index.filters.where import Where, field
from rag.index.index import Index, Mode
from rag.index.search.results import Hits


class VectorStoreSearches(VectorStore):
    """What `rag.FaissStore` answers from the version that it has open; an empty store has none.

    Scores are cosines; ``filter`` and ``where`` are the same, and so are ``min_score`` and
    ``score_threshold``, which hold for every search.
    """

    mode: Mode
    _index: Index | None

    def search_hits(
        self,
        query: str | npt.ArrayLike,
        k: int = 4,
        *,
        where: Filter | None = None,
        mode: Mode | None = None,
        min_score: float | None = None,
    ) -> Hits | list[Hit]:
        """Return hits with offsets, all scores, and the plan of the search."""
        whole("k", k)
        query = text("query", query) if isinstance(query, str) else finite("the query's vector", query)
        if self._index is None:
            return []
        bound = self._where(where)
        if isinstance(query, str):
            chosen = mode or self.mode
            return self._index.search(query, k, where=bound, mode=chosen, min_score=min_score)
        return self._index.search_by_vector(query, k=k, where=bound, mode="dense", min_score=min_score)

    def similarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the k documents nearest to a text."""
        return documents.alone(self.similarity_search_with_score(query, k, filter, **kwargs))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the k documents nearest to a text, with their scores."""
        query = text("query", query)
        return documents.scored(self.search_hits(query, k, **documents.arguments(filter, kwargs)))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the k documents nearest to a vector."""
        return documents.alone(self.similarity_search_with_score_by_vector(embedding, k, filter, **kwargs))

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the k documents nearest to a vector, with their cosines."""
        vector = finite("embedding", embedding)
        return documents.scored(self.search_hits(vector, k, **documents.arguments(filter, kwargs)))

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return k documents that are near a text and unlike each other (`rag.Index.diverse`)."""
        return documents.alone(
            self._diverse(text("query", query), k, fetch_k, lambda_mult, filter=filter, **kwargs)
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return k documents that are near a vector and unlike each other."""
        vector = finite("embedding", embedding)
        return documents.alone(self._diverse(vector, k, fetch_k, lambda_mult, filter, **kwargs))

    def max_marginal_relevance_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return k such documents, each with its cosine to the vector."""
        return self._diverse(finite("embedding", embedding), k, fetch_k, lambda_mult, **kwargs)

    def _diverse(
        self,
        query: str | npt.ArrayLike,
        k: int,
        fetch_k: int,
        lambda_mult: float,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[tuple[Document, float]]:
        diversity = 1 - real("lambda_mult", lambda_mult, 0, 1)
        options = documents.arguments(filter, {**kwargs, "fetch_k": fetch_k})
        if options.pop("mode", "dense") != "dense":
            raise UsageError("maximal marginal relevance compares vectors: leave mode out")
        whole("k", k)
        if self._index is None:
            return []
        where = self._where(options.pop("where"))
        return documents.scored(
            self._index.diverse(query, k, fetch_k=fetch_k, diversity=diversity, where=where, **options)
        )

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return documents by id, in that order; unknown ids are left out."""
        names = strings("ids", ids)
        return [documents.document(hit) for hit in self._index.get(names)] if self._index is not None else []

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return relevance in [0, 1]: the cosine in every mode, and 0 for negative ones."""
        arguments = documents.arguments(kwargs.pop("filter", None), kwargs)
        if (arguments.get("mode") or self.mode) == "lexical":
            raise UsageError("relevance is a cosine, and mode 'lexical' has none: use 'dense' or 'hybrid'")
        return [
            (documents.document(hit), max(hit.dense or 0.0, 0.0))
            for hit in self.search_hits(text("query", query), k, **arguments)
        ]

    def _where(self, where: Filter | None) -> WhereLike | None:
        if where is None or isinstance(where, str | Where | Mapping) or not callable(where):
            return where
        return field("chunk_id").isin(documents.matching(self._index, where) if self._index else [])
