"""From a question to passages: hybrid search, query expansion, reranking, and `explain`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.retrieval.hybrid import HybridRetriever
    from rag.retrieval.query_expansion import Decomposed, Rephrased

_HOMES = {"Decomposed": "query_expansion", "HybridRetriever": "hybrid", "Rephrased": "query_expansion"}
__all__ = ["Decomposed", "HybridRetriever", "Rephrased"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
