"""Two dimensions of many: principal components of an index's vectors, read in blocks.

The axes are the two directions along which the vectors differ most, the eigenvectors of their covariance
(Pearson 1901; Jolliffe, "Principal Component Analysis", 2002, chapter 1). They are found on a sample, and
every vector, the question's too, is projected afterwards: memory is bounded by the sample and one block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.index.vector_blocks import blocks, sampled

#: Vectors on which the axes are found: of 384 dimensions 30 MB.
SAMPLE = 20_000
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Axes:
    """Two axes through the middle of the vectors.

    Attributes
    ----------
    centre : ndarray of float32, shape (dimensions,)
    directions : ndarray of float32, shape (dimensions, 2)
        Unit columns, at right angles.
    spread : ndarray of float32, shape (2,)
        The share of the sample's variance along each, in [0, 1].
    """

    centre: Floats
    directions: Floats
    spread: Floats

    def place(self, vectors: Floats) -> Floats:
        """Return where vectors of shape (n, dimensions) lie, as (n, 2)."""
        return ((vectors - self.centre) @ self.directions).astype(np.float32)


def axes_of(vectors: Floats) -> Axes:
    """Return the two principal components of vectors, ``(n, dimensions)``; each has a definite sign.

    Examples
    --------
    >>> line = np.outer(np.arange(5.0), [3.0, 4.0]).astype(np.float32)
    >>> axes_of(line).directions[:, 0].round(2)
    array([0.6, 0.8], dtype=float32)
    """
    dimensions = vectors.shape[1]
    if not len(vectors):
        return Axes(
            np.zeros(dimensions, np.float32), np.eye(dimensions, 2, dtype=np.float32), np.zeros(2, np.float32)
        )
    centre = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - centre.astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64)
    values, found = np.linalg.eigh(covariance)
    directions = np.zeros((dimensions, 2))
    directions[:, : min(2, dimensions)] = found[:, ::-1][:, :2]
    # An eigenvector's sign is arbitrary: with the largest component positive, maps can be compared.
    largest = np.abs(directions).argmax(axis=0)
    directions *= np.where(directions[largest, [0, 1]] < 0, -1.0, 1.0)
    total = max(float(values.sum()), 1e-12)
    spread = np.zeros(2)
    spread[: min(2, dimensions)] = values[::-1][:2].clip(0) / total
    return Axes(centre.astype(np.float32), directions.astype(np.float32), spread.astype(np.float32))


def projected(index: Any, *, seed: int = 0) -> tuple[Floats, Axes]:
    """Return where the chunks of an index lie, ``(chunks, 2)``, in the order in which they are stored."""
    axes = axes_of(sampled(index, SAMPLE, seed=seed))
    parts = [axes.place(block) for block in blocks(index)]
    return np.concatenate([np.zeros((0, 2), np.float32), *parts]), axes
