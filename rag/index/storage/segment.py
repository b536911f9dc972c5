"""A segment opened for reading: immutable, memory-mapped files (`rag.index.storage.layout`).

The files are not trusted: their heads and sizes are compared with the manifest when a segment is
opened, and columns are validated before they are read.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rag.core.errors import StoreCorruptError
from rag.index.filters.bind import Bound
from rag.index.filters.mask import Mask, Numbers, evaluate
from rag.index.filters.where import Schema
from rag.index.storage import bm25
from rag.index.storage.arrays import array_of, booleans
from rag.index.storage.columns import ADVICE, Columns, open_array, reading, rows_of_array
from rag.index.storage.exact_metadata import decode
from rag.index.storage.layout import (
    CHUNKS,
    CHUNKS_FILE,
    DOCUMENTS_FILE,
    HEADINGS_FILE,
    MOMENTS_FILE,
    OF_DOCUMENT,
    ORIGINAL,
    VECTORS_FILE,
    Rows,
    Vectors,
    flat_header,
)
from rag.index.storage.manifest import SegmentEntry
from rag.index.storage.numbers import is_number
from rag.index.storage.rabitq import WORTHWHILE, Codes
from rag.index.storage.schema import recast
from rag.index.storage.threads import one_thread, spread, workers

Value = TypeVar("Value", bound=np.generic)

#: Matching rows x dimensions up to which all of them are compared exactly (about 2 ms on 2 cores).
EXACT = 1 << 24
#: A scan of the codes takes the same time under any filter. Where fewer than one row in SPARSE matches,
#: comparing the matching rows exactly is faster.
SPARSE = 12
_CACHED_DOCUMENTS = 4096  # documents whose metadata are kept as Python objects
_THREADED = 2048  # rows from which on a second thread is worth its start
_OF_HIT = tuple(name for name in CHUNKS.names if name not in ("doc", "heading"))


class Segment:
    """A segment as a version sees it.

    Attributes
    ----------
    rows : int
        Rows in the files, removed ones included.
    chunks, documents : Columns
    postings : Postings
    removed : ndarray of int64
        The rows that the version no longer holds, ascending.
    live : ndarray of bool, shape (rows,)
        All other rows.
    moments : ndarray of float64, shape (1 + dimensions, dimensions), or None
        Sum, then second moment, of all vectors; None where rows <= dimensions.
    """

    def __init__(
        self,
        folder: Path,
        rows: int,
        dimensions: int,
        removed: Rows,
        documents: Path | None = None,
    ) -> None:
        self.folder, self.rows, self.dimensions = folder, rows, dimensions
        self.chunks = Columns(folder / CHUNKS_FILE, CHUNKS)
        self.documents = Columns(documents or folder / DOCUMENTS_FILE)
        if len(self.chunks) != rows or not {"doc_id", "source"} <= set(self.documents.names):
            raise StoreCorruptError(
                f"{folder} holds {len(self.chunks)} chunks, the manifest says {rows}: {ADVICE}"
            )
        self.postings = bm25.Postings(folder, rows)
        with reading(folder / VECTORS_FILE):
            self._faiss = self._open_vectors(folder / VECTORS_FILE)
        headings = rows_of_array(folder / HEADINGS_FILE, np.float32, dimensions)
        self._headings = open_array(folder / HEADINGS_FILE, np.float32, (headings, dimensions))
        self.moments: npt.NDArray[np.float64] | None = None
        if rows > dimensions:
            self.moments = open_array(folder / MOMENTS_FILE, np.float64, (dimensions + 1, dimensions))
        self._codes = Codes(folder, rows, dimensions) if rows * dimensions >= WORTHWHILE else None
        names = self.documents.names
        self._document_columns = tuple(name for name in OF_DOCUMENT if name in names)
        self._metadata_columns = tuple(name for name in names if name not in OF_DOCUMENT)
        self._cached: dict[int, dict[str, Any]] = {}
        self.removed = removed
        self.live = np.ones(rows, dtype=bool)
        self.live[removed] = False

    def _open_vectors(self, path: Path) -> Any:
        expected = flat_header(self.dimensions, self.rows)
        with path.open("rb") as file:
            head = file.read(len(expected))
        if head != expected or path.stat().st_size != len(head) + 4 * self.rows * self.dimensions:
            raise ValueError(f"not {self.rows} vectors of {self.dimensions}")
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors, ``(rows, dimensions)`` float32, unit rows, memory-mapped."""
        flat = faiss.rev_swig_ptr(self._faiss.get_xb(), self.rows * self.dimensions)
        out: Vectors = flat.reshape(self.rows, self.dimensions)
        return out

    @cached_property
    def heading_vectors(self) -> Vectors:
        """The vectors of the heading paths, ``(headings, dimensions)`` float32."""
        needed = int(self._heading.max(initial=-1)) + 1
        if len(self._headings) < needed:
            raise StoreCorruptError(f"{self.folder} has {len(self._headings)} of {needed} headings: {ADVICE}")
        return self._headings

    @cached_property
    def document_of_row(self) -> npt.NDArray[np.int32]:
        """The document's number for each row: ascending, so that a document is one run of rows."""
        doc: npt.NDArray[np.int32] = self.chunks.numbers("doc")
        if len(doc) and (doc[0] < 0 or doc[-1] >= len(self.documents) or np.any(np.diff(doc) < 0)):
            raise StoreCorruptError(f"{self.folder / CHUNKS_FILE} is damaged (documents): {ADVICE}")
        return doc

    @cached_property
    def rows_of_document(self) -> tuple[Rows, Rows]:
        """For each document its first row, and the row after its last."""
        numbers = np.arange(len(self.documents))
        doc = self.document_of_row
        return np.searchsorted(doc, numbers), np.searchsorted(doc, numbers, side="right")

    @cached_property
    def _one_row_each(self) -> bool:
        """Whether row n is document n, so that no lookup is needed."""
        return len(self.documents) == self.rows and not np.any(np.diff(self.document_of_row) != 1)

    @cached_property
    def _heading(self) -> npt.NDArray[np.int32]:
        heading: npt.NDArray[np.int32] = self.chunks.numbers("heading")
        if len(heading) and heading.min() < -1:
            raise StoreCorruptError(f"{self.folder / CHUNKS_FILE} is damaged (headings): {ADVICE}")
        return heading

    def mask(self, where: Bound) -> Mask:
        """Return which rows are live and match, as bool of shape (rows,)."""
        with reading(self.folder):
            matching = evaluate(where.where, _Fields(self, where.schema), self.rows)
        return matching & self.live if len(self.removed) else matching

    def of_documents(self, values: npt.NDArray[Value]) -> npt.NDArray[Value]:
        """Return for each row its document's value (a score, or whether a filter matches)."""
        return values if self._one_row_each else values[self.document_of_row]

    def around(self, rows: Rows, reach: int) -> tuple[Rows, Rows]:
        """Return for each row the rows up to `reach` away in its document, as [first, end)."""
        document = self.document_of_row[rows]
        first, end = self.rows_of_document
        return np.maximum(rows - reach, first[document]), np.minimum(rows + reach + 1, end[document])

    def nearest(self, unit: Vectors, mask: Mask, k: int, matched: int) -> tuple[Rows, Vectors, int]:
        """Return the k rows of the mask with the highest cosines, and how many were compared exactly.

        Parameters
        ----------
        unit : ndarray of float32, shape (dimensions,)
        mask : ndarray of bool, shape (rows,)
        k : int
        matched : int
            How many rows the mask holds.
        """
        k = min(k, matched)
        if not k:
            return np.zeros(0, np.int64), np.zeros(0, np.float32), 0
        everything = matched == self.rows
        if self._codes is not None and matched > max(EXACT // self.dimensions, self.rows // SPARSE):
            nearest = self._codes.search(
                unit, k, None if everything else mask, lambda rows, count: self._among(unit, rows, count)
            )
            if nearest is not None:
                return nearest
        if 4 * matched < self.rows:
            return *self._among(unit, np.flatnonzero(mask), k), matched
        parameters = None
        if not everything:
            # Bits in FAISS's order (least significant first); kept alive while the search runs.
            bits = np.packbits(mask, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        with one_thread():
            rows = self._search(unit, k, matched, parameters)
        return rows, self.cosines(unit, rows), matched

    def _among(self, unit: Vectors, rows: Rows, k: int) -> tuple[Rows, Vectors]:
        """Return the k best of some rows (and those that may tie with the last), and their cosines."""

        def search_part(part: Rows) -> Rows:
            selector = faiss.IDSelectorArray(part)  # kept alive while the search runs
            return self._search(unit, k, len(part), faiss.SearchParameters(sel=selector))

        parts = np.array_split(rows, workers()) if len(rows) >= _THREADED else [rows]
        best = np.concatenate(spread(search_part, parts))
        return best, self.cosines(unit, best)

    def _search(self, unit: Vectors, k: int, among: int, parameters: Any) -> Rows:
        # One more than k shows whether other rows tie with the last.
        _, rows = self._faiss.search(unit[None], min(k + 1, among), params=parameters)
        best: Rows = rows[0][rows[0] >= 0]
        if len(best) < min(k + 1, among):  # FAISS skips vectors with NaN
            raise StoreCorruptError(f"{self.folder / VECTORS_FILE} is damaged (not finite): {ADVICE}")
        return best

    def cosines(self, unit: Vectors, rows: Rows) -> Vectors:
        """Return rows' inner products with a vector, to the bit the same for equal vectors.

        A product of matrices may round a row differently by its position in memory; then copies of a
        text would not tie, and their order would depend on the history of the index.
        """
        values: Vectors = np.vecdot(self.vectors[rows], unit)
        if not np.isfinite(values).all():
            raise StoreCorruptError(f"{self.folder / VECTORS_FILE} is damaged (not finite): {ADVICE}")
        return values

    def heading_cosines(self, unit: Vectors, rows: Rows) -> npt.NDArray[np.float64]:
        """Return for each row the inner product of its heading path's vector; 0 without one."""
        numbers, place = np.unique(self._heading[rows], return_inverse=True)
        if not len(self.heading_vectors):
            return np.zeros(len(rows))
        cosines = np.vecdot(self.heading_vectors[np.clip(numbers, 0, None)], unit)
        return np.where(numbers >= 0, cosines, 0.0).astype(np.float64)[place.reshape(-1)]

    def score_sums(self, vector: Vectors) -> tuple[float, float]:
        """Return the sum, and the sum of squares, of the live rows' inner products with a vector."""
        if self.moments is None:
            scores = np.vecdot(self.vectors[self.live], vector).astype(np.float64)
            return float(scores.sum()), float(np.vecdot(scores, scores))
        wide = vector.astype(np.float64)
        total = float(np.vecdot(self.moments[0], wide))
        square = float(np.vecdot(wide, np.vecdot(self.moments[1:], wide)))
        if len(self.removed):
            gone = np.vecdot(self.vectors[self.removed], vector).astype(np.float64)
            total, square = total - float(gone.sum()), square - float(np.vecdot(gone, gone))
        return total, square

    def take(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return chunks as plain values, their documents' under ``"metadata"``."""
        documents: dict[int, dict[str, Any]] = {}
        out = self.chunks.take(rows, _OF_HIT)
        for row, values in zip(rows, out, strict=True):
            number = int(self.document_of_row[row])
            if number not in documents:
                document = self._cached.get(number) or self._read_document(number)
                documents[number] = _copied(document)  # a caller may change the hit's metadata
            values.update(documents[number])
        return out

    def _read_document(self, number: int) -> dict[str, Any]:
        """Return a document's id, source and metadata, and remember them."""
        document = self.documents.take([number], self._document_columns)[0]
        original = document.pop(ORIGINAL, None)
        with reading(self.documents.path):
            if original is not None:
                document["metadata"] = decode(original)
            else:
                document["metadata"] = self.documents.held(number, self._metadata_columns)
        if len(self._cached) >= _CACHED_DOCUMENTS:
            self._cached = {}
        self._cached[number] = document
        return document

    def source_with(self, name: str) -> str | None:
        """Return the source of the first document that has a field; None if none has."""
        if name not in self._metadata_columns:
            return None
        for number in range(len(self.documents)):
            if self.documents.take([number], (name,))[0][name] is not None:
                return str(self.documents.take([number], ("source",))[0]["source"])
        return None

    def ids(self, rows: Sequence[int]) -> list[str]:
        """Return the chunk ids of rows."""
        return [str(values["chunk_id"]) for values in self.chunks.take(rows, ("chunk_id",))]

    def rows_of(self, sources: Set[str]) -> Rows:
        """Return the rows that belong to any of the sources."""
        if not sources:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.of_documents(_is_in(self.documents.chunks("source"), sources)))

    def rows_with(self, chunk_ids: Set[str]) -> Rows:
        """Return the rows that have any of the chunk ids."""
        if not chunk_ids:
            return np.zeros(0, np.int64)
        return np.flatnonzero(_is_in(self.chunks.chunks("chunk_id"), chunk_ids))


def _is_in(parts: Sequence[pa.Array], values: Set[str]) -> Mask:
    """Return which strings of a column are among some values."""
    wanted = array_of(sorted(values), pa.string())
    masks = [booleans(pc.is_in(part, value_set=wanted)) for part in parts]
    return np.concatenate([np.zeros(0, bool), *masks])


class _Fields:
    """A segment's columns as a filter sees them, in the types of the index's schema."""

    def __init__(self, segment: Segment, schema: Schema) -> None:
        self._segment, self._schema = segment, schema

    def _columns(self, name: str) -> Columns | None:
        """Return the file that holds a field's column; None if no row has the field."""
        of_chunk = name in _OF_HIT and name not in ("text", "gap")
        columns = self._segment.chunks if of_chunk else self._segment.documents
        return columns if of_chunk or name in columns.names else None

    def chunks(self, name: str) -> list[pa.Array] | None:
        columns = self._columns(name)
        if columns is None:
            return None
        return [recast(part, self._schema[name]) for part in columns.chunks(name)]

    def numeric(self, name: str) -> Sequence[Numbers] | None:
        columns = self._columns(name)
        if columns is None or self._schema[name] != "number":
            return None
        return columns.numeric(name) if is_number(columns.schema.field(name).type) else None

    def distinct(self, name: str) -> tuple[npt.NDArray[np.int32], pa.Array] | None:
        columns = self._columns(name)
        if columns is None or self._schema[name] != "string":
            return None
        return columns.distinct(name) if pa.types.is_string(columns.schema.field(name).type) else None

    def expand(self, name: str, mask: Mask) -> Mask:
        return mask if name in _OF_HIT else self._segment.of_documents(mask)


_PLAIN = frozenset({str, int, float, bool, NoneType})


def _copied(value: Any) -> Any:
    """Return a deep copy of a plain value (faster than `copy.deepcopy`, which handles any object)."""
    if isinstance(value, dict):
        return {name: inner if type(inner) in _PLAIN else _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def open_segment(folder: Path, entry: SegmentEntry, dimensions: int) -> Segment:
    """Open a segment as a version sees it.

    Raises
    ------
    StoreCorruptError
        One of its files is not what the manifest says.
    """
    removed = np.zeros(0, np.int64)
    if entry.removed is not None:
        path = folder / entry.removed.path
        removed = open_array(path, np.int64, (entry.gone,))
        ascending = 0 < entry.gone < entry.rows and not np.any(np.diff(removed) < 1)
        if not ascending or not 0 <= removed[0] <= removed[-1] < entry.rows:
            raise StoreCorruptError(f"{path} is damaged (not rows of its segment): {ADVICE}")
    elif entry.gone:
        raise StoreCorruptError(f"the manifest of {folder} counts removed rows without naming them: {ADVICE}")
    documents = folder / entry.documents.path if entry.documents else None
    return Segment(folder / "segments" / entry.id, entry.rows, dimensions, removed, documents)
