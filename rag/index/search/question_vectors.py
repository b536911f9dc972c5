"""The vectors of recent questions, so that a repeated question is embedded once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from rag.core.errors import StoreMismatchError
from rag.index.storage.layout import Vectors
from rag.usage.embedding_calls import embedding_call

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

#: Questions whose vectors are remembered: evaluations repeat their questions for every setting.
REMEMBERED = 256


def remembering(embedder: Embeddings | None, built_with: str) -> Callable[[str], Vectors]:
    """Return a function from a question to its vector, ``(dimensions,)`` float32; threads may share it.

    Without an embedder the function raises `StoreMismatchError`, whose message begins with `built_with`.
    """

    @functools.lru_cache(maxsize=REMEMBERED)
    def question_vector(query: str) -> Vectors:
        if embedder is None:
            raise StoreMismatchError(
                f"{built_with}, which is not loaded: pass it (--bedrock or --embedder; embedder= in Python), "
                "or search with mode 'lexical'"
            )
        with embedding_call(embedder, [query]):
            return np.asarray(embedder.embed_query(query), np.float32)

    return question_vector
