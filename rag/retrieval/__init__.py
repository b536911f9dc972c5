"""Questions to Documents: the retriever over an index, and what can be put around its search."""

from rag.retrieval.hybrid import HybridRetriever
from rag.retrieval.query_expansion import Decomposed, Rephrased

__all__ = ["Decomposed", "HybridRetriever", "Rephrased"]
