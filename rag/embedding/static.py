"""The static model with LangChain's interface."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

from rag.embedding.static_model import StaticModel


class StaticEmbeddings(StaticModel, Embeddings):
    """A static distillation of all-MiniLM-L6-v2, as LangChain's ``Embeddings``; see `StaticModel`.

    Examples
    --------
    >>> len(StaticEmbeddings().embed_query("who declares a SEV-1?"))
    256
    """
