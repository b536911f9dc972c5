"""A segment: immutable files that hold some documents' chunks, metadata, vectors and postings.

================  ==========================================================================
chunks.arrow      one row per chunk: document, id, offsets, pages, section, text
documents.arrow   one row per document: id, source, and the user's metadata
headings.npy      one vector per distinct heading path, float32, unit rows
vectors.faiss     a FAISS ``IndexFlatIP`` of unit rows, float32, memory-mapped
moments.npy       sum and second moment of the vectors, float64 (where rows > dimensions)
terms.arrow, …    the postings (`rag.index.lexical`)
================  ==========================================================================
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rag.errors import StoreCorruptError
from rag.index import lexical
from rag.index.mask import Mask, evaluate
from rag.index.schema import column, recast
from rag.index.where import FieldType, Where

Vectors = npt.NDArray[np.float32]

CHUNKS = pa.schema([
    ("doc", pa.int32()), ("chunk_id", pa.string()), ("start", pa.int64()), ("end", pa.int64()),
    ("gap", pa.string()),
    ("page_start", pa.int32()), ("page_end", pa.int32()), ("page_breaks", pa.list_(pa.int64())),
    ("section", pa.list_(pa.string())), ("heading", pa.int32()), ("text", pa.string()),
])  # fmt: skip
_OF_DOCUMENT = ("doc_id", "source")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A row to be: ``loaded_text[start:end] == text``; `heading` is the path it stands under."""

    chunk_id: str
    start: int
    end: int
    text: str
    gap: str | None = None
    page_start: int | None = None
    page_end: int | None = None
    page_breaks: Sequence[int] = ()
    section: Sequence[str] = ()
    heading: str = ""


def flat_header(dimensions: int, rows: int) -> bytes:
    """Return the head of FAISS's file of an ``IndexFlatIP``; the vectors follow, float32.

    Written and compared by ourselves, so that vectors can be appended in pieces, and FAISS's
    reader is never given a file that says anything else. The layout is that of ``write_index`` in
    FAISS 1.12 to 1.15 (a test compares it with the installed one's).
    """
    return b"IxFI" + struct.pack(
        "<iqqqBiQ", dimensions, rows, 1 << 20, 1 << 20, 1, faiss.METRIC_INNER_PRODUCT,
        rows * dimensions,
    )  # fmt: skip


class SegmentWriter:
    """Writes a segment in pieces; holds neither its texts nor its vectors in memory."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.dimensions = dimensions
        self.rows = 0
        self._documents: list[tuple[str, str, Mapping[str, Any]]] = []
        self._chunks = pa.ipc.new_file(str(folder / "chunks.arrow"), CHUNKS)
        self._vectors = (folder / "vectors.faiss").open("wb")
        self._vectors.write(flat_header(dimensions, 0))
        self._lexical = lexical.LexicalWriter()
        self._headings: dict[str, int] = {}
        self._heading_vectors: list[Vectors] = []
        self._sum = np.zeros(dimensions)
        self._second = np.zeros((dimensions, dimensions))

    def add_document(self, doc_id: str, source: str, metadata: Mapping[str, Any]) -> int:
        """Add a document; return its number in the segment, for `add_chunks`."""
        self._documents.append((doc_id, source, metadata))
        return len(self._documents) - 1

    def new_headings(self, items: Iterable[tuple[int, Chunk]]) -> list[str]:
        """Return the heading paths of chunks that have no vector in the segment yet, each once."""
        seen = dict.fromkeys(chunk.heading for _, chunk in items if chunk.heading)
        return [heading for heading in seen if heading not in self._headings]

    def add_headings(self, headings: Sequence[str], vectors: Vectors) -> None:
        """Add heading paths and their vectors, ``(n, dimensions)`` float32 with unit rows."""
        for heading, vector in zip(headings, vectors, strict=True):
            self._headings[heading] = len(self._heading_vectors)
            self._heading_vectors.append(vector)

    def add_chunks(self, items: Iterable[tuple[int, Chunk]], vectors: Vectors) -> None:
        """Add chunks and their vectors, ``(n, dimensions)`` float32 with unit rows."""
        rows = []
        for number, chunk in items:
            rows.append({
                "doc": number, "chunk_id": chunk.chunk_id, "start": chunk.start, "end": chunk.end,
                "gap": chunk.gap, "page_start": chunk.page_start, "page_end": chunk.page_end,
                "page_breaks": list(chunk.page_breaks) or None, "section": list(chunk.section),
                "heading": self._headings.get(chunk.heading, -1),
                "text": chunk.text,
            })  # fmt: skip
            name = Path(self._documents[number][1]).stem
            self._lexical.add(" \n".join((chunk.text, *chunk.section, name)))
        assert vectors.shape == (len(rows), self.dimensions), (vectors.shape, len(rows))
        self._chunks.write_batch(pa.RecordBatch.from_pylist(rows, CHUNKS))
        self._vectors.write(np.ascontiguousarray(vectors, np.dtype("<f4")).tobytes())
        self._sum += vectors.sum(0, dtype=np.float64)
        self._second += vectors.T @ vectors
        self.rows += len(rows)

    def finish(self, schema: Mapping[str, FieldType]) -> list[Path]:
        """Write what is still in memory; return the segment's files."""
        self._chunks.close()
        self._vectors.seek(0)
        self._vectors.write(flat_header(self.dimensions, self.rows))
        self._vectors.close()
        columns = {
            "doc_id": pa.array([doc_id for doc_id, _, _ in self._documents], pa.string()),
            "source": pa.array([source for _, source, _ in self._documents], pa.string()),
        }
        names = sorted({name for _, _, metadata in self._documents for name in metadata})
        for name in names:
            values = [metadata.get(name) for _, _, metadata in self._documents]
            columns[name] = column(values, schema[name])
        table = pa.table(columns)
        with pa.ipc.new_file(str(self.folder / "documents.arrow"), table.schema) as sink:
            sink.write_table(table)
        empty = np.zeros((0, self.dimensions), np.float32)
        np.save(self.folder / "headings.npy", np.vstack([empty, *self._heading_vectors]))
        if self.rows > self.dimensions:
            np.save(self.folder / "moments.npy", np.vstack([self._sum, self._second]))
        self._lexical.write(self.folder)
        return sorted(self.folder.iterdir())

    def close(self) -> None:
        """Give up: close the files (the folder is an orphan until the next build clears it)."""
        self._vectors.close()


class Segment:
    """A segment opened for reading; everything is memory-mapped."""

    def __init__(self, folder: Path, rows: int, dimensions: int, removed: npt.NDArray[np.int64]) -> None:
        self.folder, self.rows, self.dimensions = folder, rows, dimensions
        try:
            self._chunks = _table(folder / "chunks.arrow")
            self._documents = _table(folder / "documents.arrow").combine_chunks()
            self.postings = lexical.Postings(folder)
            self._faiss = self._open_vectors(folder / "vectors.faiss")
            self._heading_vectors = np.load(folder / "headings.npy", mmap_mode="r", allow_pickle=False)
            moments = folder / "moments.npy"
            self._moments = np.load(moments, mmap_mode="r", allow_pickle=False) if moments.exists() else None
        except Exception as error:  # whatever a damaged file makes the readers raise
            raise StoreCorruptError(f"{folder} cannot be read ({error}): rebuild with --rebuild") from None
        if self._chunks.num_rows != rows or len(self.postings.lengths) != rows:
            raise StoreCorruptError(
                f"{folder} holds {self._chunks.num_rows} chunks, the manifest says {rows}: "
                "rebuild with --rebuild"
            )
        self.removed = removed
        self._around: dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}
        self.live = np.ones(rows, dtype=bool)
        self.live[removed] = False

    def _open_vectors(self, path: Path) -> Any:
        expected = flat_header(self.dimensions, self.rows)
        with path.open("rb") as file:
            head = file.read(len(expected))
        if head != expected or path.stat().st_size != len(head) + 4 * self.rows * self.dimensions:
            raise ValueError(f"{path.name} is not {self.rows} vectors of {self.dimensions}")
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors, ``(rows, dimensions)`` float32, unit rows, memory-mapped."""
        if not self.rows:
            return np.zeros((0, self.dimensions), np.float32)
        flat = faiss.rev_swig_ptr(self._faiss.get_xb(), self.rows * self.dimensions)
        out: Vectors = flat.reshape(self.rows, self.dimensions)
        return out

    @cached_property
    def _doc(self) -> npt.NDArray[np.int32]:
        out: npt.NDArray[np.int32] = self._chunks["doc"].to_numpy()
        return out

    def mask(self, where: Where | None, schema: Mapping[str, FieldType]) -> Mask:
        """Return which rows are live and match, as bool of shape (rows,)."""
        if where is None:
            return self.live

        def values(name: str) -> pa.Array | None:
            if name in CHUNKS.names and name not in ("doc", "text", "gap", "heading"):
                return self._chunks[name].combine_chunks()
            if name not in self._documents.column_names:
                return None
            array = self._documents[name].combine_chunks()
            return array if name in _OF_DOCUMENT else recast(array, schema[name])

        def expand(name: str, mask: Mask) -> Mask:
            return mask if name in CHUNKS.names else mask[self._doc]

        return evaluate(where, values, expand, self.rows) & self.live

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """The first row of each run of rows of one document, ascending."""
        change = np.flatnonzero(np.diff(self._doc)) + 1
        return np.concatenate([[0], change]).astype(np.int64) if self.rows else change

    @cached_property
    def _run(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        sizes = np.diff(np.append(self.starts, self.rows))
        return np.repeat(self.starts, sizes), np.repeat(self.starts + sizes, sizes)

    def around(self, reach: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return for each row the rows up to `reach` away in its document, as [first, end)."""
        if reach not in self._around:
            first, end = self._run
            rows = np.arange(self.rows)
            spans = np.maximum(rows - reach, first), np.minimum(rows + reach + 1, end)
            self._around[reach] = spans
        return self._around[reach]

    def nearest(self, vector: Vectors, mask: Mask, k: int) -> tuple[npt.NDArray[np.int64], Vectors]:
        """Return the k rows of the mask with the highest inner product, best first, exactly."""
        matched = int(mask.sum())
        k = min(k, matched)
        if not k:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        parameters = None
        if matched < self.rows:
            # Bits in FAISS's order (least significant first); kept alive while the search runs.
            bits = np.packbits(mask, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        scores, rows = self._faiss.search(vector[None], k, params=parameters)
        found = rows[0] >= 0  # FAISS pads with -1 when fewer than k match
        return rows[0][found], scores[0][found]

    @cached_property
    def _heading(self) -> npt.NDArray[np.int32]:
        out: npt.NDArray[np.int32] = self._chunks["heading"].to_numpy()
        return out

    def heading_cosines(self, vector: Vectors, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return for each row the inner product of its heading path's vector; 0 without one."""
        numbers, place = np.unique(self._heading[rows], return_inverse=True)
        known = np.clip(numbers, 0, None)
        found = (
            self._heading_vectors[known] @ vector if len(self._heading_vectors) else np.zeros(len(numbers))
        )
        return np.where(numbers >= 0, found, 0.0).astype(np.float64)[place.reshape(-1)]

    def score_sums(self, vector: Vectors) -> tuple[float, float]:
        """Return the sum, and the sum of squares, of the live rows' inner products with a vector."""
        if self._moments is None:
            scores = (self.vectors @ vector)[self.live].astype(np.float64)
            return float(scores.sum()), float(scores @ scores)
        wide = vector.astype(np.float64)
        total = float(self._moments[0] @ wide)
        square = float(wide @ (self._moments[1:] @ wide))
        if len(self.removed):
            gone = (self.vectors[self.removed] @ vector).astype(np.float64)
            total, square = total - float(gone.sum()), square - float(gone @ gone)
        return total, square

    def take(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return chunks as plain values, their documents' under ``"metadata"``."""
        chunks = self._chunks.take(pa.array(rows, pa.int64())).to_pylist()
        numbers = sorted({chunk["doc"] for chunk in chunks})
        fields = self._documents.take(pa.array(numbers, pa.int64())).to_pylist()
        documents = dict(zip(numbers, fields, strict=True))
        out = []
        for chunk in chunks:
            document = dict(documents[chunk.pop("doc")])
            del chunk["heading"]
            own = {name: document.pop(name) for name in _OF_DOCUMENT}
            metadata = {name: value for name, value in document.items() if value is not None}
            out.append({**chunk, **own, "metadata": metadata})
        return out

    def rows_of(self, sources: set[str]) -> npt.NDArray[np.int64]:
        """Return the rows that belong to any of the sources."""
        wanted = np.array([name in sources for name in self._documents["source"].to_pylist()], bool)
        return np.flatnonzero(wanted[self._doc]) if len(wanted) else np.zeros(0, np.int64)


def _table(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
