"""The local model with LangChain's interface."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

from rag.embedding.local_model import LocalModel


class LocalEmbeddings(LocalModel, Embeddings):
    """all-MiniLM-L6-v2 on this machine, as LangChain's ``Embeddings``; see `LocalModel`.

    Examples
    --------
    >>> vector = LocalEmbeddings().embed_query("who declares a SEV-1?")
    >>> len(vector)
    384
    """
