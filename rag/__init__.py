"""A self-managed RAG pipeline for Claude on Amazon Bedrock: every stage yours to see and swap.

>>> import rag
>>> report = rag.build("data/handbook", "indexes/handbook")              # doctest: +SKIP
>>> pipe = rag.Pipeline(rag.Index.open("indexes/handbook"))               # doctest: +SKIP
>>> print(pipe.ask("Who declares a SEV-1?").text)                         # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag.bedrock.chat.claude import ClaudeBedrock
    from rag.bedrock.embeddings.titan import TitanEmbeddings
    from rag.building.build import build
    from rag.building.plan import plan
    from rag.chunking import SemanticChunker
    from rag.client.client import Client
    from rag.config.loader import Loader
    from rag.config.open import Index
    from rag.config.remote import pull, push
    from rag.core.answers import Answer
    from rag.core.errors import RagError
    from rag.core.passages import Hit
    from rag.core.progress import Progress
    from rag.embedding.local import LocalEmbeddings
    from rag.embedding.static import StaticEmbeddings
    from rag.erasure.forget import forget
    from rag.generation.extractive import ExtractiveAnswerer
    from rag.generation.prompt import Prompt
    from rag.index.filters.where import field
    from rag.index.langchain import FaissStore
    from rag.index.maintenance import Store
    from rag.notebook.explorer.open import explore
    from rag.notebook.map.open import chunk_map
    from rag.notebook.progress.open import progress_bar
    from rag.pipeline import Pipeline
    from rag.retrieval import HybridRetriever
    from rag.trimming import BudgetTrimmer

__version__ = "0.7.0"

# Imported when first used: `import rag` loads no model, no AWS and no faiss.
_HOMES = {
    "Answer": "core.answers", "BudgetTrimmer": "trimming", "ClaudeBedrock": "bedrock.chat.claude",
    "Client": "client.client", "ExtractiveAnswerer": "generation.extractive",
    "FaissStore": "index.langchain", "Hit": "core.passages",
    "HybridRetriever": "retrieval", "Index": "config.open", "Loader": "config.loader",
    "LocalEmbeddings": "embedding.local", "Pipeline": "pipeline", "Progress": "core.progress",
    "Prompt": "generation.prompt",
    "RagError": "core.errors", "SemanticChunker": "chunking", "StaticEmbeddings": "embedding.static",
    "Store": "index.maintenance", "TitanEmbeddings": "bedrock.embeddings.titan", "build": "building.build",
    "chunk_map": "notebook.map.open", "explore": "notebook.explorer.open", "field": "index.filters.where",
    "forget": "erasure.forget", "plan": "building.plan", "progress_bar": "notebook.progress.open",
    "pull": "config.remote", "push": "config.remote",
}  # fmt: skip

__all__ = [
    "Answer", "BudgetTrimmer", "ClaudeBedrock", "Client", "ExtractiveAnswerer", "FaissStore", "Hit",
    "HybridRetriever", "Index", "Loader", "LocalEmbeddings", "Pipeline", "Progress", "Prompt", "RagError",
    "SemanticChunker", "StaticEmbeddings", "Store", "TitanEmbeddings", "build", "chunk_map",
    "explore", "field", "forget", "plan", "progress_bar", "pull", "push",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rag' has no attribute {name!r}")
    value = getattr(import_module(f"rag.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
