"""Texts to an array of vectors, by any LangChain embedder; vectors to unit length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rag.core.errors import EmbeddingError

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


def embed(embedder: Embeddings, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the texts' vectors, ``(len(texts), dimensions)`` float32.

    `rag`'s own embedders give an array at once; LangChain's interface gives lists of floats.
    """
    own = getattr(embedder, "vectors", None)
    made = own(texts) if callable(own) else embedder.embed_documents(list(texts))
    return np.asarray(made, np.float32)


def normalised(
    rows: npt.NDArray[np.float32], norms: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """Return rows with length 1, ``(n, dimensions)`` float32; a row of zeros stays one.

    `norms` are the rows' lengths, ``(n, 1)``, where they are known.
    """
    if norms is None:
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit


def unit_rows(vectors: Any, count: int, size: int) -> npt.NDArray[np.float32]:
    """Return vectors as ``(count, size)`` float32 with unit rows.

    Raises
    ------
    EmbeddingError
        The embedder gave another number of vectors, another length, a zero vector or a NaN.
    """
    out = np.asarray(vectors, dtype=np.float32)
    if count == 0:
        return np.zeros((0, size), np.float32)
    if out.shape != (count, size):
        raise EmbeddingError(
            f"the embedder gave vectors of shape {out.shape} for {count} texts of {size} dimensions"
        )
    norms = np.linalg.norm(out, axis=1, keepdims=True)
    if not np.isfinite(norms).all():
        raise EmbeddingError("the embedder gave a vector that is not finite")
    return normalised(out, norms)
