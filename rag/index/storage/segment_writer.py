"""Writing a segment, in pieces: new rows, or the live rows of older segments."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rag.index.filters.where import Schema
from rag.index.storage import bm25, rabitq
from rag.index.storage.chunk import Chunk
from rag.index.storage.columns import ArrayWriter
from rag.index.storage.layout import (
    CHUNKS,
    CHUNKS_FILE,
    DOCUMENTS_FILE,
    HEADINGS_FILE,
    MOMENTS_FILE,
    OF_DOCUMENT,
    ORIGINAL,
    VECTORS_FILE,
    Vectors,
    flat_header,
)
from rag.index.storage.numbers import of_one_type, parts
from rag.index.storage.schema import column, recast
from rag.index.storage.segment import Segment

_DOCUMENTS = 4096  # documents collected as Python objects before they become columns
_COPIED = 8192  # rows copied in one piece


class SegmentWriter:
    """Writes a segment in pieces; holds neither its texts nor its vectors in memory."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.dimensions = dimensions
        self.rows = 0
        self._documents = _DocumentsWriter()
        self._chunks = pa.ipc.new_file(str(folder / CHUNKS_FILE), CHUNKS)
        self._vectors = (folder / VECTORS_FILE).open("wb")
        self._vectors.write(flat_header(dimensions, 0))
        self._lexical = bm25.LexicalWriter(folder)
        self._headings: dict[bytes, int] = {}  # by hash of the path, or of the vector if copied
        self._heading_vectors = ArrayWriter(folder / HEADINGS_FILE, np.float32, dimensions)
        self._sum = np.zeros(dimensions)
        self._second = np.zeros((dimensions, dimensions))

    def add_document(
        self, doc_id: str, source: str, metadata: Mapping[str, Any], original: str | None = None
    ) -> int:
        """Add a document; return its number in the segment, for `add_chunks`."""
        return self._documents.add(doc_id, source, metadata, original)

    def new_headings(self, items: Iterable[tuple[int, Chunk]]) -> list[str]:
        """Return the heading paths of chunks that have no vector in the segment yet, each once."""
        seen = dict.fromkeys(chunk.heading for _, chunk in items if chunk.heading)
        return [heading for heading in seen if _hash(heading) not in self._headings]

    def add_headings(self, headings: Sequence[str], vectors: Vectors) -> None:
        """Add heading paths and their vectors, ``(n, dimensions)`` float32 with unit rows."""
        for number, heading in enumerate(headings, self._heading_vectors.rows):
            self._headings[_hash(heading)] = number
        self._heading_vectors.append(vectors)

    def add_chunks(self, items: Sequence[tuple[int, Chunk]], vectors: Vectors) -> None:
        """Add chunks and their vectors, ``(n, dimensions)`` float32 with unit rows."""
        chunks = [chunk for _, chunk in items]
        columns = {name: [getattr(chunk, name) for chunk in chunks] for name in Chunk.__slots__}
        columns["doc"] = [number for number, _ in items]
        columns["heading"] = [self._headings.get(_hash(h), -1) for h in columns["heading"]]
        for name in ("page_breaks", "section"):
            columns[name] = [values or None for values in columns[name]]
        arrays = [pa.array(columns[field.name], field.type) for field in CHUNKS]
        self._lexical.add(
            " \n".join((chunk.text, *chunk.section, self._documents.name(number))) for number, chunk in items
        )
        self._append(pa.RecordBatch.from_arrays(arrays, schema=CHUNKS), vectors)

    def copy(self, segment: Segment, schema: Schema | None) -> None:
        """Add the live rows of another segment, as they are.

        Metadata get the schema's types; without a schema they keep theirs. Columns without a value go.
        """
        live = segment.live
        doc = segment.chunks.numbers("doc")
        kept = np.unique(doc[live])
        first = self._documents.copy(segment.documents.table(), kept, schema)
        number = np.full(len(segment.documents), -1, np.int32)
        number[kept] = np.arange(first, first + len(kept), dtype=np.int32)
        heading = self._copy_headings(segment)
        at = 0
        for batch in segment.chunks.table().to_batches(max_chunksize=_COPIED):
            here = live[at : at + len(batch)]
            columns = [array.filter(pa.array(here)) for array in batch.columns]
            for name, new in (("doc", number), ("heading", heading)):
                place = CHUNKS.get_field_index(name)
                columns[place] = pa.array(new[columns[place].to_numpy()], CHUNKS.field(name).type)
            vectors = segment.vectors[at : at + len(batch)][here]
            at += len(batch)
            if len(vectors):
                self._append(pa.RecordBatch.from_arrays(columns, schema=CHUNKS), vectors)
        self._lexical.copy(segment.postings, live)

    def _copy_headings(self, segment: Segment) -> npt.NDArray[np.int32]:
        """Add the headings of live rows; return the new number of each old one, and -1 as the last value.

        A row without a heading has number -1, which indexes that last value.
        """
        vectors = segment.heading_vectors
        heading = np.full(len(vectors) + 1, -1, np.int32)
        used = np.unique(segment.chunks.numbers("heading")[segment.live])
        for old in used[used >= 0]:
            key = _hash(vectors[old].tobytes())
            if key not in self._headings:
                self._headings[key] = self._heading_vectors.rows
                self._heading_vectors.append(vectors[old][None])
            heading[old] = self._headings[key]
        return heading

    def _append(self, batch: pa.RecordBatch, vectors: Vectors) -> None:
        assert vectors.shape == (len(batch), self.dimensions), (vectors.shape, len(batch))
        self._chunks.write_batch(batch)
        self._vectors.write(np.ascontiguousarray(vectors, np.dtype("<f4")).tobytes())
        self._sum += vectors.sum(0, dtype=np.float64)
        self._second += vectors.T @ vectors
        self.rows += len(batch)

    def finish(self, schema: Schema | None) -> list[Path]:
        """Write the documents, headings, postings and codes; return the segment's files.

        Without a schema the documents are those of one segment that was copied without one.
        """
        self._chunks.close()
        self._vectors.seek(0)
        self._vectors.write(flat_header(self.dimensions, self.rows))
        self._vectors.close()
        write_table(self.folder / DOCUMENTS_FILE, self._documents.table(schema))
        self._heading_vectors.close()
        if self.rows > self.dimensions:
            np.save(self.folder / MOMENTS_FILE, np.vstack([self._sum, self._second]))
        if self.rows * self.dimensions >= rabitq.WORTHWHILE:
            rabitq.write(self.folder, self._part, self.rows, self.dimensions)
        self._lexical.write()
        return sorted(self.folder.iterdir())

    def _part(self, first: int, end: int) -> Vectors:
        """Map some rows of the vectors' file."""
        offset = len(flat_header(self.dimensions, self.rows)) + 4 * first * self.dimensions
        return np.memmap(self._vectors.name, "<f4", "r", offset, (end - first, self.dimensions))

    def close(self) -> None:
        """Close the files without finishing; the next writer deletes the folder, which no version names."""
        self._vectors.close()
        self._heading_vectors.close()
        self._lexical.close()


def _hash(data: str | bytes) -> bytes:
    data = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return hashlib.blake2b(data, digest_size=16).digest()


class _DocumentsWriter:
    """Collects documents as columns; `table` casts them to the schema's types once all are known."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._waiting: list[tuple[str, str, str | None, Mapping[str, Any]]] = []
        self._tables: list[pa.Table] = []

    def add(self, doc_id: str, source: str, metadata: Mapping[str, Any], original: str | None) -> int:
        self._names.append(Path(source).stem)
        self._waiting.append((doc_id, source, original, metadata))
        if len(self._waiting) == _DOCUMENTS:
            self._flush()
        return len(self._names) - 1

    def name(self, number: int) -> str:
        return self._names[number]

    def copy(self, table: pa.Table, kept: npt.NDArray[np.integer[Any]], schema: Schema | None) -> int:
        self._flush()
        first = len(self._names)
        self._names += [""] * len(kept)  # only new rows index the name; copied rows have their postings
        table = some_documents(table, kept)
        for name in table.column_names if schema is not None else ():
            if name not in OF_DOCUMENT:
                assert schema is not None
                now = recast(_whole(table[name]), schema[name])
                table = table.set_column(table.column_names.index(name), name, now)
        self._tables.append(table)
        return first

    def _flush(self) -> None:
        if not self._waiting:
            return
        doc_ids, sources, originals, metadata = zip(*self._waiting, strict=True)
        columns = {"doc_id": pa.array(doc_ids, pa.string()), "source": pa.array(sources, pa.string())}
        if any(original is not None for original in originals):
            columns[ORIGINAL] = pa.array(originals, pa.string())
        for name in sorted({name for fields in metadata for name in fields}):
            columns[name] = column([fields.get(name) for fields in metadata])
        self._tables.append(pa.table(columns))
        self._waiting = []

    def table(self, schema: Schema | None) -> pa.Table:
        self._flush()
        if schema is None:
            (table,) = self._tables
            return table
        if not self._tables:
            return pa.table({"doc_id": pa.array([], pa.string()), "source": pa.array([], pa.string())})
        cast: list[dict[str, pa.Array]] = []
        for table in self._tables:
            cast.append({
                name: values if name in OF_DOCUMENT else recast(_whole(values), schema[name])
                for name, values in zip(table.column_names, table.columns, strict=True)
            })  # fmt: skip
        for name in {name for columns in cast for name in columns if name not in OF_DOCUMENT}:
            having = [columns for columns in cast if name in columns]
            for columns, values in zip(having, of_one_type([part[name] for part in having]), strict=True):
                columns[name] = values
        return pa.concat_tables([pa.table(columns) for columns in cast], promote_options="default")


def _whole(values: pa.ChunkedArray) -> pa.Array:
    array = values.combine_chunks()
    return array.chunk(0) if isinstance(array, pa.ChunkedArray) else array


def some_documents(table: pa.Table, kept: npt.NDArray[np.integer[Any]]) -> pa.Table:
    """Return some of a segment's documents, without the fields that none of them has."""
    table = table.take(pa.array(kept))
    names = table.column_names
    return table.select([name for name in names if name in ("doc_id", "source") or _any(table[name])])


def fields_of(table: pa.Table) -> set[str]:
    """Return the metadata fields that any document has."""
    return {name for name in table.column_names if name not in OF_DOCUMENT and _any(table[name])}


def _any(values: pa.ChunkedArray) -> bool:
    """Whether a column has a value."""
    return any(part.null_count < len(part) for part in parts(_whole(values)))


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow file of batches that are neither tiny nor beyond Arrow's 2 GB of text."""
    with pa.ipc.new_file(str(path), table.schema) as sink:
        sink.write_table(table.combine_chunks() if table.nbytes < 1 << 30 else table, max_chunksize=1 << 16)
