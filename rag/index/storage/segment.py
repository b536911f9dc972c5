"""A segment: immutable files that hold some documents' chunks, metadata, vectors and postings.

==================  ========================================================================
chunks.arrow        one row per chunk: document, id, offsets, pages, section, text
documents.arrow     one row per document: id, source, and the user's metadata
headings.npy        one vector per distinct heading path, float32, unit rows
vectors.faiss       a FAISS ``IndexFlatIP`` of unit rows, float32, memory-mapped
moments.npy         sum and second moment of the vectors, float64 (where rows > dimensions)
codes-*.faiss, …    one-bit codes of the vectors of a large segment (`rag.index.storage.rabitq`)
terms.arrow, …      the postings (`rag.index.storage.bm25`)
==================  ========================================================================

Nothing in these files is believed: what they say of themselves is compared with the manifest when a
segment is opened, and columns are validated before they are read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
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
from rag.index.filters.mask import Mask, evaluate
from rag.index.filters.where import FieldType, Where
from rag.index.storage import bm25
from rag.index.storage.columns import ADVICE, Columns, array, rows_of_array, told
from rag.index.storage.exact_metadata import decode
from rag.index.storage.manifest import SegmentEntry
from rag.index.storage.rabitq import WORTHWHILE, Codes
from rag.index.storage.schema import recast
from rag.index.storage.segment_writer import CHUNKS, OF_DOCUMENT, ORIGINAL, flat_header
from rag.index.storage.threads import one_thread, spread, workers

Vectors = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Value = TypeVar("Value", bound=np.generic)

#: Up to so many numbers (rows x dimensions) under a filter are compared exactly: about 2 ms.
EXACT = 1 << 24
#: Codes are scanned whole whatever the filter; under one that lets through less than one row in so
#: many, comparing these exactly is faster.
SPARSE = 12
_REMEMBERED = 4096  # documents whose metadata are kept as Python objects
_SHARED = 2048  # rows whose comparison is worth a second thread
_OF_HIT = tuple(name for name in CHUNKS.names if name not in ("doc", "heading"))


class Segment:
    """A segment opened for reading; everything is memory-mapped."""

    def __init__(
        self,
        folder: Path,
        rows: int,
        dimensions: int,
        removed: Rows,
        documents: Path | None = None,
    ) -> None:
        self.folder, self.rows, self.dimensions = folder, rows, dimensions
        self.chunks = Columns(folder / "chunks.arrow", CHUNKS)
        self.documents = Columns(documents or folder / "documents.arrow")
        if len(self.chunks) != rows or not {"doc_id", "source"} <= set(self.documents.names):
            raise StoreCorruptError(
                f"{folder} holds {len(self.chunks)} chunks, the manifest says {rows}: {ADVICE}"
            )
        self.postings = bm25.Postings(folder, rows)
        with told(folder / "vectors.faiss"):
            self._faiss = self._open_vectors(folder / "vectors.faiss")
        headings = rows_of_array(folder / "headings.npy", np.float32, dimensions)
        self._headings = array(folder / "headings.npy", np.float32, (headings, dimensions))
        #: Sum, then second moment, of the vectors, ``(1 + dimensions, dimensions)``; None if few.
        self.moments: npt.NDArray[np.float64] | None = None
        if rows > dimensions:
            self.moments = array(folder / "moments.npy", np.float64, (dimensions + 1, dimensions))
        self._codes = Codes(folder, rows, dimensions) if rows * dimensions >= WORTHWHILE else None
        self._own = tuple(name for name in OF_DOCUMENT if name in self.documents.names)
        self._given = tuple(name for name in self.documents.names if name not in OF_DOCUMENT)
        self._remembered: dict[int, dict[str, Any]] = {}
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
    def _doc(self) -> npt.NDArray[np.int32]:
        """The document of each row: numbered in the order of the rows, each in one run."""
        doc: npt.NDArray[np.int32] = self.chunks.numbers("doc")
        if len(doc) and (doc[0] < 0 or doc[-1] >= len(self.documents) or np.any(np.diff(doc) < 0)):
            raise StoreCorruptError(f"{self.folder / 'chunks.arrow'} is damaged (documents): {ADVICE}")
        return doc

    @cached_property
    def _one_each(self) -> bool:
        """Whether row n is document n, so that nothing need be looked up."""
        return len(self.documents) == self.rows and not np.any(np.diff(self._doc) != 1)

    @cached_property
    def _heading(self) -> npt.NDArray[np.int32]:
        heading: npt.NDArray[np.int32] = self.chunks.numbers("heading")
        if len(heading) and heading.min() < -1:
            raise StoreCorruptError(f"{self.folder / 'chunks.arrow'} is damaged (headings): {ADVICE}")
        return heading

    def mask(self, where: Where | None, schema: Mapping[str, FieldType]) -> Mask:
        """Return which rows are live and match, as bool of shape (rows,)."""
        if where is None:
            return self.live
        with told(self.folder):
            found = evaluate(where, _Fields(self, schema), self.rows)
        return found & self.live if len(self.removed) else found

    def of_documents(self, values: npt.NDArray[Value]) -> npt.NDArray[Value]:
        """Return for each row its document's value (a score, or whether a filter matches)."""
        return values if self._one_each else values[self._doc]

    def runs(self, documents: npt.NDArray[Any]) -> tuple[Rows, Rows]:
        """Return the rows of each of some documents, as [first, end)."""
        first, end = self._runs
        return first[documents], end[documents]

    @cached_property
    def _runs(self) -> tuple[Rows, Rows]:
        """The first row of each document, and the one behind its last."""
        numbers = np.arange(len(self.documents))
        return np.searchsorted(self._doc, numbers), np.searchsorted(self._doc, numbers, side="right")

    def around(self, rows: Rows, reach: int) -> tuple[Rows, Rows]:
        """Return for each of some rows the rows up to `reach` away in its document, as [first, end)."""
        first, end = (side[self._doc[rows]] for side in self._runs)
        return np.maximum(rows - reach, first), np.minimum(rows + reach + 1, end)

    def document(self, rows: Rows) -> npt.NDArray[np.int32]:
        """Return the number of each of some rows' document."""
        numbers: npt.NDArray[np.int32] = self._doc[rows]
        return numbers

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
            found = self._codes.search(
                unit, k, None if everything else mask, lambda rows, count: self._among(unit, rows, count)
            )
            if found is not None:
                return found
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

        def one(part: Rows) -> Rows:
            selector = faiss.IDSelectorArray(part)  # kept alive while the search runs
            return self._search(unit, k, len(part), faiss.SearchParameters(sel=selector))

        parts = np.array_split(rows, workers()) if len(rows) >= _SHARED else [rows]
        found = np.concatenate(spread(one, parts))
        return found, self.cosines(unit, found)

    def _search(self, unit: Vectors, k: int, among: int, parameters: Any) -> Rows:
        # One more than asked for shows whether others tie with the last.
        _, rows = self._faiss.search(unit[None], min(k + 1, among), params=parameters)
        found: Rows = rows[0][rows[0] >= 0]
        if len(found) < min(k + 1, among):  # FAISS passes over what is no number
            raise StoreCorruptError(f"{self.folder / 'vectors.faiss'} is damaged (not finite): {ADVICE}")
        return found

    def cosines(self, unit: Vectors, rows: Rows) -> Vectors:
        """Return rows' inner products with a vector: the same of a row wherever it stands.

        A product of matrices may round a row by its neighbours in memory; then copies of a text
        would not tie, and their order would follow from the history of the index.
        """
        values: Vectors = np.vecdot(self.vectors[rows], unit)
        if not np.isfinite(values).all():
            raise StoreCorruptError(f"{self.folder / 'vectors.faiss'} is damaged (not finite): {ADVICE}")
        return values

    def heading_cosines(self, unit: Vectors, rows: Rows) -> npt.NDArray[np.float64]:
        """Return for each row the inner product of its heading path's vector; 0 without one."""
        numbers, place = np.unique(self._heading[rows], return_inverse=True)
        if not len(self.heading_vectors):
            return np.zeros(len(rows))
        found = np.vecdot(self.heading_vectors[np.clip(numbers, 0, None)], unit)
        return np.where(numbers >= 0, found, 0.0).astype(np.float64)[place.reshape(-1)]

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
            number = int(self._doc[row])
            if number not in documents:
                documents[number] = _copied(self._document(number))  # a caller may change them
            values.update(documents[number])
        return out

    def _document(self, number: int) -> dict[str, Any]:
        """Return a document's id, source, and metadata as it was given; the last ones are remembered."""
        if number not in self._remembered:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered = {}
            self._remembered[number] = self._read_document(number)
        return self._remembered[number]

    def _read_document(self, number: int) -> dict[str, Any]:
        own = self.documents.take([number], self._own)[0]
        original = own.pop(ORIGINAL, None)
        with told(self.documents.path):
            if original is not None:
                own["metadata"] = decode(original)
            else:
                values = self.documents.take([number], self._given)[0]
                own["metadata"] = {name: value for name, value in values.items() if value is not None}
        return own

    def source_with(self, name: str) -> str | None:
        """Return the source of the first document that has a field; None if none has."""
        if name not in self._given:
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
    wanted = pa.array(sorted(values), pa.string())
    found = [pc.is_in(part, value_set=wanted).to_numpy(zero_copy_only=False) for part in parts]
    return np.concatenate([np.zeros(0, bool), *found])


class _Fields:
    """A segment's columns as a filter sees them, in the types of the index's schema."""

    def __init__(self, segment: Segment, schema: Mapping[str, FieldType]) -> None:
        self._segment, self._schema = segment, schema

    def _home(self, name: str) -> Columns | None:
        own = name in _OF_HIT and name not in ("text", "gap")
        home = self._segment.chunks if own else self._segment.documents
        return home if own or name in home.names else None

    def chunks(self, name: str) -> list[pa.Array] | None:
        home = self._home(name)
        if home is None or name not in self._schema:
            return None if home is None else home.chunks(name)
        return [recast(part, self._schema[name]) for part in home.chunks(name)]

    def numeric(self, name: str) -> tuple[npt.NDArray[Any], Mask | None] | None:
        home = self._home(name)
        if home is None or self._schema.get(name, "number") != "number":
            return None
        kind = home.schema.field(name).type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        return home.numeric(name) if number else None

    def distinct(self, name: str) -> tuple[npt.NDArray[np.int32], pa.Array] | None:
        home = self._home(name)
        if home is None or self._schema.get(name, "string") != "string":
            return None
        return home.distinct(name) if pa.types.is_string(home.schema.field(name).type) else None

    def expand(self, name: str, mask: Mask) -> Mask:
        return mask if name in _OF_HIT else self._segment.of_documents(mask)


_PLAIN = frozenset({str, int, float, bool, NoneType})


def _copied(value: Any) -> Any:
    """Return a value with containers of its own, so that a change of one is not a change of the other."""
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
        removed = array(path, np.int64, (entry.gone,))
        fits = 0 < entry.gone < entry.rows and not np.any(np.diff(removed) < 1)
        if not fits or not 0 <= removed[0] <= removed[-1] < entry.rows:
            raise StoreCorruptError(f"{path} is damaged (not rows of its segment): {ADVICE}")
    elif entry.gone:
        raise StoreCorruptError(f"the manifest of {folder} counts removed rows without naming them: {ADVICE}")
    documents = folder / entry.documents.path if entry.documents else None
    return Segment(folder / "segments" / entry.id, entry.rows, dimensions, removed, documents)
