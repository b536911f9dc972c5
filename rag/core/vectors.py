"""Texts to an array of vectors, by any LangChain embedder; vectors to unit length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rag.core.embedders import GivesArrays
from rag.core.errors import EmbeddingError, UsageError
from rag.core.values import shown

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


def embed(embedder: Embeddings, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the texts' vectors, ``(len(texts), dimensions)`` float32.

    `rag`'s own embedders give an array at once; LangChain's interface gives lists of floats.
    """
    if isinstance(embedder, GivesArrays):
        return np.asarray(embedder.vectors(texts), np.float32)
    return np.asarray(embedder.embed_documents(list(texts)), np.float32)


def finite(name: str, vector: Any) -> npt.NDArray[np.float32]:
    """Return a vector that a user passes, ``(dimensions,)`` float32.

    Raises
    ------
    UsageError
        It is no sequence of numbers, or one is not finite; the message begins with `name`.
    """
    try:
        with np.errstate(over="ignore"):
            out = np.asarray(vector).astype(np.float32, casting="same_kind")
    except (TypeError, ValueError):
        out = np.zeros(0, np.float32)
    out = out[0] if out.ndim == 2 and len(out) == 1 else out
    if out.ndim != 1 or not len(out):
        raise UsageError(f"{name} is {shown(vector)}: pass a vector, a list of numbers")
    if not np.isfinite(out).all():
        raise UsageError(f"{name} is a vector with NaN or infinity: pass finite numbers")
    return out


def normalised(
    rows: npt.NDArray[np.float32], norms: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """Return rows scaled to length 1, ``(n, dimensions)`` float32; a row of zeros stays one.

    `norms` are the rows' lengths, ``(n, 1)``, where the caller knows them.
    """
    if norms is None:
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit


def unit_rows(vectors: Any, count: int, size: int) -> npt.NDArray[np.float32]:
    """Return vectors as ``(count, size)`` float32 with unit rows; a row of zeros stays one.

    Raises
    ------
    EmbeddingError
        The number of vectors or their length is wrong, or a number is not finite.
    """
    out = np.asarray(vectors, dtype=np.float32)
    if count == 0:
        return np.zeros((0, size), np.float32)
    if out.shape != (count, size):
        raise EmbeddingError(
            f"the embedder returned vectors of shape {out.shape}, not {(count, size)}: check its model and "
            "dimensions"
        )
    norms = np.linalg.norm(out, axis=1, keepdims=True)
    if not np.isfinite(norms).all():
        raise EmbeddingError("the embedder returned a vector with NaN or infinity: check its model")
    return normalised(out, norms)
