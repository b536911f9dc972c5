"""Texts to an array of vectors, by any LangChain embedder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from langchain_core.embeddings import Embeddings


def embed(embedder: Embeddings, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the texts' vectors, ``(len(texts), dimensions)`` float32.

    `rag`'s own embedders give an array at once; LangChain's interface gives lists of floats.
    """
    own = getattr(embedder, "vectors", None)
    made = own(texts) if callable(own) else embedder.embed_documents(list(texts))
    return np.asarray(made, np.float32)
