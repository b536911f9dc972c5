"""The vectors and columns of an index's chunks, in blocks: for what looks at all of them, and at no text.

`index` is a `rag.index.index.Index` throughout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rag.core.errors import UsageError, near_miss
from rag.index.storage.arrays import int64
from rag.index.storage.columns import reading
from rag.index.storage.schema import recast

#: Rows of a block: of 1,024 dimensions 32 MB.
ROWS = 8192
#: Fields of a chunk itself; all others are its document's.
_OF_CHUNK = ("chunk_id", "start", "end", "page_start", "page_end")
Floats = npt.NDArray[np.float32]


def blocks(index: Any) -> Iterator[Floats]:
    """Yield the vectors of all chunks in the order in which they are stored, ``(up to ROWS, dimensions)``."""
    for segment in index._segments:
        rows = np.flatnonzero(segment.live)
        for first in range(0, len(rows), ROWS):
            yield np.ascontiguousarray(segment.vectors[rows[first : first + ROWS]])


def sampled(index: Any, most: int, *, seed: int = 0) -> Floats:
    """Return the vectors of up to `most` chunks, drawn without replacement; ``(n, dimensions)``."""
    count = len(index)
    chosen = np.arange(count)
    if count > most:
        chosen = np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
    parts, first = [np.zeros((0, index.manifest.embedder.dimensions), np.float32)], 0
    for segment in index._segments:
        rows = np.flatnonzero(segment.live)
        within = chosen[(chosen >= first) & (chosen < first + len(rows))] - first
        parts.append(segment.vectors[rows[within]])
        first += len(rows)
    return np.concatenate(parts)


def values(index: Any, name: str) -> list[Any]:
    """Return a field's value for each chunk in the order in which they are stored; None where it has none.

    Raises
    ------
    UsageError
        There is no such field.
    """
    kind = index.schema.get(name)
    if kind is None:
        raise UsageError(f"no document has a field {name!r}: {near_miss(name, index.schema)}")
    out: list[Any] = []
    for segment in index._segments:
        rows = np.flatnonzero(segment.live)
        if name in _OF_CHUNK:
            found = _taken(segment.chunks.chunks(name), rows, segment.chunks.path)
        elif name in segment.documents.names:
            column = _whole(segment.documents.chunks(name), segment.documents.path)
            found = recast(column, kind).to_pylist()
            found = [found[number] for number in segment.document_of_row[rows].tolist()]
        elif name == "section":
            found = [row["section"] or None for row in segment.chunks.take(rows.tolist(), ("section",))]
        else:
            found = [None] * len(rows)
        out += found
    return out


def _whole(parts: Sequence[pa.Array], path: Any) -> pa.Array:
    with reading(path):
        return pa.concat_arrays(parts)


def _taken(parts: Sequence[pa.Array], rows: npt.NDArray[np.int64], path: Any) -> list[Any]:
    with reading(path):
        found: list[Any] = pa.concat_arrays(parts).take(int64(rows)).to_pylist()
    return found


def hits_at(index: Any, positions: Sequence[int]) -> list[Any]:
    """Return chunks as hits, by their positions in the order in which they are stored."""
    keys, first = [], 0
    for number, segment in enumerate(index._segments):
        rows = np.flatnonzero(segment.live)
        within = [at - first for at in positions if first <= at < first + len(rows)]
        keys += [(number, int(rows[at])) for at in within]
        first += len(rows)
    hits: list[Any] = index._hits(keys, dict.fromkeys(keys, (0.0, None, None)))
    return hits


def positions_of(index: Any, chunk_ids: Sequence[str]) -> list[int]:
    """Return where chunks stand in the order in which they are stored; unknown ones are left out."""
    place: dict[str, int] = {}
    first = 0
    for segment in index._segments:
        live = np.flatnonzero(segment.live)
        rows = np.intersect1d(segment.rows_with(set(chunk_ids)), live)
        at = np.searchsorted(live, rows)
        ids = segment.ids(rows.tolist())
        place |= {name: first + int(position) for name, position in zip(ids, at, strict=True)}
        first += len(live)
    return [place[name] for name in chunk_ids if name in place]
