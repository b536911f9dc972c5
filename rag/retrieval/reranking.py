"""Rerankers: ours take Hits, LangChain's compressors take Documents, converted here alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Protocol, runtime_checkable

from rag.core.passages import Hit
from rag.usage.collector import paid_call


@runtime_checkable
class HitReranker(Protocol):
    """Sorts hits by their relevance to a question."""

    def rerank(self, hits: Sequence[Hit], question: str) -> Sequence[Hit]:
        """Return hits, the most relevant first, each with its new score."""
        ...


def reranked(reranker: Any, hits: Sequence[Hit], question: str) -> list[Hit]:
    """Return what a reranker keeps, in its order.

    Parameters
    ----------
    reranker : HitReranker or BaseDocumentCompressor
    hits : sequence of Hit
    question : str
    """
    if isinstance(reranker, HitReranker):
        return list(reranker.rerank(hits, question))
    with paid_call(type(reranker).__name__, "rerank", documents=len(hits)) as call:
        documents = reranker.compress_documents([hit.to_document() for hit in hits], question)
        call.usage = call.query_usage(len(hits))
    return _scored([Hit.from_document(document) for document in documents])


def _scored(hits: Sequence[Hit]) -> list[Hit]:
    """Return hits with scores that agree with their order.

    A reranker may give scores of its own (LangChain's do, as "relevance_score"): they are kept if they
    are in order; otherwise the places count.
    """
    values = [hit.metadata.get("relevance_score") for hit in hits]
    scores = [float(value) for value in values if isinstance(value, Real)]
    if len(scores) < len(hits) or scores != sorted(scores, reverse=True):
        scores = [-float(place) for place in range(len(hits))]
    return [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]
