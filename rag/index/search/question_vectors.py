"""The vectors of recent questions, so that a repeated question is embedded once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rag.core.errors import EmbeddingError, StoreMismatchError
from rag.core.vectors import finite
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
            vector = np.asarray(embedder.embed_query(query), np.float32)
        if not np.isfinite(vector).all():
            raise EmbeddingError(
                "the embedder returned a vector with NaN or infinity for the question: check its model"
            )
        return vector

    return question_vector


def unit(vector: npt.ArrayLike, dimensions: int, built_with: str) -> Vectors:
    """Return a question's vector of unit length, ``(dimensions,)`` float32; a zero vector stays one.

    Raises
    ------
    UsageError
        It is no vector, or not finite.
    StoreMismatchError
        It has other dimensions than the index; the message ends with `built_with`.
    """
    out = finite("the question's vector", vector)
    if len(out) != dimensions:
        raise StoreMismatchError(
            f"the question's vector has {len(out)} dimensions, not {dimensions}: {built_with}, use that "
            "embedder"
        )
    norm = float(np.linalg.norm(out.astype(np.float64)))  # the squares of large numbers exceed float32
    return (out / norm).astype(np.float32) if norm else out
