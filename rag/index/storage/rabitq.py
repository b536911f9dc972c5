"""One-bit codes of a large segment's vectors: they select candidates, which are then scored exactly.

A scan over RaBitQ codes [1]_ (32 times smaller than float32) estimates every inner product with an
error of known size; every row that the estimate does not rule out is then scored from the vectors
themselves. So scores are always exact, and how many rows are re-scored follows from the data.

An estimate's error is normal with a deviation of about ``0.75 |x - c| |q - c| / sqrt(d)``, where c
is the vectors' centre (section 3.2 of [1]_, with its measured <o', o> = 0.8: sqrt(1 / 0.8**2 - 1) =
0.75). A row whose estimate lies `SIGMAS` deviations under the k-th best exact score is left out; the
k-th best itself is missed with a chance of 0.3 %, better ones with less.

.. [1] J. Gao and C. Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error
   Bound for Approximate Nearest Neighbor Search", SIGMOD 2024.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from rag.index.storage.columns import open_array, reading
from rag.index.storage.layout import Rows, Vectors
from rag.index.storage.threads import one_thread, spread

#: Rows x dimensions from which on a segment gets codes; a smaller one is scanned exactly in about 4 ms
#: on 2 cores.
WORTHWHILE = 1 << 24
#: Standard deviations of the estimate's error within which a row is still a candidate.
SIGMAS = 2.8
#: Rows to a file, so that several processors can scan a segment.
PART = 1 << 16
_QUERY_BITS = 4
_SAMPLE = 4096
_FIRST = 256
_BLOCK = 1 << 14


def head(dimensions: int, rows: int) -> bytes:
    """Return the head of FAISS's file of an ``IndexRaBitQ``; codes, centre and query bits follow.

    A file's head is compared with it, so that FAISS's reader never gets a file with any other head.
    The layout is that of FAISS 1.15 (a test compares it with the installed one's).
    """
    size = code_size(dimensions)
    return b"Ixrq" + struct.pack(
        "<iqqqBiQQiQ", dimensions, rows, 1 << 20, 1 << 20, 1, faiss.METRIC_INNER_PRODUCT,
        dimensions, size, faiss.METRIC_INNER_PRODUCT, rows * size,
    )  # fmt: skip


def code_size(dimensions: int) -> int:
    """Return the bytes of one code: a bit per dimension, and two float32 factors."""
    return (dimensions + 7) // 8 + 8


def parts(rows: int) -> list[tuple[int, int]]:
    """Return the rows of each file of codes, as [first, end)."""
    count = -(-rows // PART)
    ends = [rows * number // count for number in range(count + 1)]
    return list(itertools.pairwise(ends))


def write(folder: Path, part: Callable[[int, int], Vectors], rows: int, dimensions: int) -> None:
    """Write the codes of a segment's vectors.

    Parameters
    ----------
    part : callable
        Returns the rows [first, end), ``(n, dimensions)`` float32; called for one file of codes
        after another, so that no more need be in memory.

    A random rotation makes the error independent of the vectors' distribution; it is stored beside
    the codes.
    """
    random = np.random.default_rng(0)
    rotation = np.linalg.qr(random.normal(size=(dimensions, dimensions)))[0].astype(np.float32)
    np.save(folder / "rotation.npy", rotation.T.copy())  # a row for each rotated dimension
    for number, (first, end) in enumerate(parts(rows)):
        vectors = part(first, end)
        sums = [vectors[at : at + _BLOCK].sum(0, dtype=np.float64) for at in range(0, len(vectors), _BLOCK)]
        centre = (np.sum(sums, axis=0) / (end - first)).astype(np.float32) @ rotation
        coder = _coder(dimensions, centre)
        with (folder / f"codes-{number:03d}.faiss").open("wb") as sink:
            sink.write(head(dimensions, end - first))
            for at in range(0, len(vectors), _BLOCK):
                block = np.ascontiguousarray(vectors[at : at + _BLOCK] @ rotation)
                sink.write(coder.sa_encode(block).tobytes())
            sink.write(struct.pack("<Q", dimensions) + centre.astype("<f4").tobytes())
            sink.write(struct.pack("<B", _QUERY_BITS))


class Codes:
    """The codes of a segment, memory-mapped."""

    def __init__(self, folder: Path, rows: int, dimensions: int) -> None:
        self.rows = rows
        self._rotation: Vectors = open_array(folder / "rotation.npy", np.float32, (dimensions, dimensions))
        self._parts = []
        for number, (first, end) in enumerate(parts(rows)):
            path = folder / f"codes-{number:03d}.faiss"
            with reading(path):
                index, centre = _open(path, end - first, dimensions)
            self._parts.append((first, end, index, centre))

    def search(
        self,
        unit: Vectors,
        k: int,
        mask: npt.NDArray[np.bool_] | None,
        nearest: Callable[[Rows, int], tuple[Rows, Vectors]],
    ) -> tuple[Rows, Vectors, int] | None:
        """Return the k best rows, their exact scores, and how many were compared exactly.

        None if the codes rule out too few rows to be faster than a scan of the vectors.

        Parameters
        ----------
        unit : ndarray of float32, shape (dimensions,)
        k : int
            At most the number of rows in the mask.
        mask : ndarray of bool, shape (rows,), optional
            The rows to search; by default all.
        nearest : callable
            Takes rows and a count; returns that many rows with the highest inner products, and these.
        """
        query = np.vecdot(self._rotation, unit)
        margin = SIGMAS * max(_deviation(query, centre) for _, _, _, centre in self._parts)
        radius = self._first_radius(query)
        rows, estimates = self._above(query, radius, mask)
        if len(rows) < k:
            return None
        some = min(max(2 * k, _FIRST), len(rows))
        first = rows[np.argpartition(-estimates, some - 1)[:some]]
        least = float(np.sort(nearest(first, k)[1])[-k]) - margin
        if least < radius:  # candidates lie below the first radius
            rows, estimates = self._above(query, least, mask)
        left = rows[estimates >= least]
        if 4 * len(left) > self.rows:
            return None
        return *nearest(left, k), len(left)

    def _first_radius(self, query: Vectors) -> float:
        """Return an estimate that about one row in fifty exceeds, from the first `_SAMPLE` rows."""
        among = self._sample.ntotal
        some = max(among // 50, min(_FIRST * among // self.rows + 1, among))
        with one_thread():
            estimates, _ = self._sample.search(query[None], some)
        return float(estimates[0][-1])

    @functools.cached_property
    def _sample(self) -> Any:
        """The first codes as a small index."""
        _, end, index, centre = self._parts[0]
        sample = _coder(self._rotation.shape[0], centre)
        count = min(end, _SAMPLE)
        codes = faiss.rev_swig_ptr(index.codes.data(), count * sample.code_size)
        sample.add_sa_codes(codes.reshape(count, sample.code_size))
        return sample

    def _above(
        self, query: Vectors, radius: float, mask: npt.NDArray[np.bool_] | None
    ) -> tuple[Rows, Vectors]:
        """Return the rows of the mask with estimates above a radius, and these."""

        def search_part(part: tuple[int, int, Any, Vectors]) -> tuple[Rows, Vectors]:
            first, _, index, _ = part
            parameters = faiss.RaBitQSearchParameters()
            parameters.qb = _QUERY_BITS
            _, estimates, rows = index.range_search(query[None], radius, params=parameters)
            return rows + first, estimates

        parts = spread(search_part, self._parts)
        rows, estimates = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if mask is not None:
            kept = mask[rows]
            rows, estimates = rows[kept], estimates[kept]
        return rows, estimates


def _coder(dimensions: int, centre: Vectors) -> Any:
    coder = faiss.IndexRaBitQ(dimensions, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(np.ascontiguousarray(centre), coder.center)
    coder.is_trained, coder.qb = True, _QUERY_BITS
    return coder


def _deviation(query: Vectors, centre: Vectors) -> float:
    variance = max(1.0 - float(centre @ centre), 0.0)  # of unit vectors about their centre
    return float(0.75 * np.sqrt(variance) * np.linalg.norm(query - centre) / np.sqrt(len(query)))


def _open(path: Path, rows: int, dimensions: int) -> tuple[Any, Vectors]:
    expected = head(dimensions, rows)
    codes = rows * code_size(dimensions)
    with path.open("rb") as file:
        begin = file.read(len(expected))
        file.seek(len(expected) + codes)
        tail = file.read(8 + 4 * dimensions + 2)
    sound = begin == expected and len(tail) == 8 + 4 * dimensions + 1
    sound = sound and tail[:8] == struct.pack("<Q", dimensions) and tail[-1] == _QUERY_BITS
    centre = np.frombuffer(tail[8:-1], "<f4") if sound else np.zeros(0, np.float32)
    if not sound or not np.isfinite(centre).all() or float(centre @ centre) > 1.001:
        raise ValueError(f"not the codes of {rows} vectors of {dimensions}")
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC), centre.astype(np.float32)
