"""Bringing an index of an older format up to the format of today, in place.

Each step turns the columns of a segment of one format into those of the next; what none of them touches
(vectors, postings, moments) is linked into the new segment, not copied. What an older format lacks is
derived from what it holds: heading paths from titles and sections, the heads of tables from the texts of
chunks and the gaps between them. Rows keep their places, so removed rows, edited metadata and the table
of sources hold as they are.

Nothing of the old version is changed. The new one is current once its manifest is, so an upgrade that is
stopped half-way leaves the index as it was.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rag.core.errors import StoreCorruptError, StoreMismatchError, UsageError
from rag.core.progress import Progress, tracked
from rag.index.storage import compaction, rabitq
from rag.index.storage.columns import ADVICE, ArrayWriter, Columns, reading
from rag.index.storage.formats import FORMAT, RENAMED
from rag.index.storage.layout import CHUNKS, ORIGINAL, Vectors, flat_header
from rag.index.storage.manifest import FileEntry, Manifest, SegmentEntry, entry, fsync_folder, read_any_format
from rag.index.storage.segment import open_segment
from rag.index.storage.segment_writer import write_table
from rag.index.storage.writer import IndexWriter, open_writer

#: Texts to unit vectors, ``(n, dimensions)`` float32, by the embedder that the index was built with.
Embed = Callable[[Sequence[str]], Vectors]
#: A source, a part of its text, and offsets in that part, to the head of the table that has a row at each
#: offset, and the offset of that head; None where there is none.
TableHeads = Callable[[str, str, Sequence[int]], Sequence[tuple[str, int] | None]]

#: What an interruption leaves.
_UNTOUCHED = "the index is as it was: upgrade it again"
#: Files that no step changes; one that a segment is too small for is not there.
_KEPT = {"vectors.faiss", "moments.npy", "terms.arrow", "postings.npy", "frequencies.npy", "lengths.npy"}

_CHUNKS_2 = pa.schema([column for column in CHUNKS if not column.name.startswith("table_head")])
_CHUNKS_1_AT_FIRST = pa.schema([column for column in _CHUNKS_2 if column.name != "heading"])


@dataclass(frozen=True, slots=True)
class _Columns:
    """A segment's columns on their way from one format to the next.

    Attributes
    ----------
    chunks, documents : pa.Table
    headings : tuple of str, optional
        The heading paths by number, where there are no vectors of them yet.
    """

    chunks: pa.Table
    documents: pa.Table
    headings: tuple[str, ...] | None = None


def upgrade(
    folder: Path,
    *,
    version: int | None = None,
    embed: Embed | None = None,
    table_heads: TableHeads | None = None,
    progress: Progress | None = None,
) -> tuple[int, Manifest]:
    """Make a version of an older format current in the format of today.

    Parameters
    ----------
    folder : Path
        The index.
    version : int, optional
        By default the current one.
    embed : callable, optional
        See `Embed`; called only for heading paths, where the index has no vectors of them.
    table_heads : callable, optional
        See `TableHeads`; without it no chunk of an older format has a table's head.
    progress : Progress, optional
        Told how many segments are done.

    Returns
    -------
    int
        The format that the version had.
    Manifest
        The new version's; where the current one has the format of today already, its own.

    Raises
    ------
    StoreCorruptError
        A file of the old version is not what was written: nothing was changed.
    StoreMismatchError
        Vectors are missing and there is no `embed`, or a newer `rag` wrote the index.
    StoreLockedError
        Another process is writing.
    """
    found, old = read_any_format(folder, version)
    if found == FORMAT:
        if version is not None:
            raise UsageError(
                f"version {version} of {folder} has the format of today: "
                f"`rag rollback {folder} {version}` makes it current"
            )
        return found, old
    # What was there before cannot be read as a version of today: the writer leaves it alone.
    with open_writer(folder, old.embedder, rebuild=True) as writer:
        found, old = read_any_format(folder, version)
        if found == FORMAT:  # another process was quicker
            return found, old
        segments = tracked(progress, "upgrade", old.segments, "segment", kept=_UNTOUCHED)
        return found, writer.adopt(
            old, f"upgrade from format {found}",
            lambda: [_upgraded(writer, segment, found, embed, table_heads) for segment in segments],
        )  # fmt: skip


def _upgraded(
    writer: IndexWriter,
    old: SegmentEntry,
    found: int,
    embed: Embed | None,
    table_heads: TableHeads | None,
) -> SegmentEntry:
    """Write a segment anew, and return it as the new version sees it."""
    folder, dimensions = writer.folder, writer.embedder.dimensions
    compaction.check(folder, old)
    columns = _read(folder / "segments" / old.id)
    documents = columns.documents
    for step in range(found, FORMAT):
        columns = _from_1(columns) if step == 1 else _from_2(columns, table_heads)
    new = folder / "segments" / secrets.token_hex(8)
    new.mkdir()
    kept = set(_KEPT)
    with pa.ipc.new_file(str(new / "chunks.arrow"), CHUNKS) as sink:
        sink.write_table(columns.chunks.cast(CHUNKS))  # in batches as they were
    if columns.documents is documents:
        kept.add("documents.arrow")
    else:
        write_table(new / "documents.arrow", columns.documents)
    if columns.headings is None:
        kept.add("headings.npy")
    else:
        _write_headings(writer, new / "headings.npy", columns.headings, embed)
    if old.rows * dimensions >= rabitq.WORTHWHILE:  # they changed within format 2
        _write_codes(folder / "segments" / old.id / "vectors.faiss", new, old.rows, dimensions)
    files = [entry(folder, path) for path in new.iterdir()]
    files += [_linked(folder, file, old, new) for file in old.files if Path(file.path).name in kept]
    fsync_folder(new)
    made = replace(old, id=new.name, files=tuple(sorted(files, key=lambda file: file.path)))
    _ = open_segment(folder, made, dimensions).heading_vectors  # refuses what today cannot be read
    return made


def _read(folder: Path) -> _Columns:
    """Read the columns of a segment of format 1 or 2."""
    path = folder / "chunks.arrow"
    with_headings = "heading" in Columns(path).names
    chunks = Columns(path, _CHUNKS_2 if with_headings else _CHUNKS_1_AT_FIRST)
    return _Columns(chunks.table(), Columns(folder / "documents.arrow").table())


# ---------------------------------------------------------------------- from format 1


def _from_1(columns: _Columns) -> _Columns:
    """Give heading paths their numbers, where there are none, and free the name of a column."""
    chunks, documents, headings = columns.chunks, columns.documents, columns.headings
    if ORIGINAL in documents.column_names:  # of the user's, not yet the segment's own
        documents = documents.rename_columns(
            [RENAMED if name == ORIGINAL else name for name in documents.column_names]
        )
    if "heading" not in chunks.column_names:
        paths = [*_heading_paths(chunks, documents)]
        headings = tuple(dict.fromkeys(paths))
        numbers = {path: number for number, path in enumerate(headings)}
        place = _CHUNKS_2.get_field_index("heading")
        numbered = pa.array([numbers[path] for path in paths], pa.int32())
        chunks = chunks.add_column(place, _CHUNKS_2.field(place), numbered)
    return _Columns(chunks, documents, headings)


def _heading_paths(chunks: pa.Table, documents: pa.Table) -> Iterator[str]:
    """Yield each chunk's heading path as a build makes it: the document's title, and its section."""
    sources = documents["source"].to_pylist()
    titles = documents["title"].to_pylist() if "title" in documents.column_names else [None] * len(sources)
    for number, section in zip(chunks["doc"].to_pylist(), chunks["section"].to_pylist(), strict=True):
        if not 0 <= number < len(sources):
            raise StoreCorruptError(f"a chunk is of document {number}, there are {len(sources)}: {ADVICE}")
        title = str(titles[number] or Path(sources[number]).stem)
        yield " > ".join(dict.fromkeys([title, *(section or ())]))


def _write_headings(writer: IndexWriter, path: Path, headings: Sequence[str], embed: Embed | None) -> None:
    if embed is None:
        raise StoreMismatchError(
            f"{writer.folder} has no vectors of its headings, which "
            f"{writer.embedder.fingerprint} makes: name that embedder with --embedder, or build again with "
            "--rebuild"
        )
    out = ArrayWriter(path, np.float32, writer.embedder.dimensions)
    try:
        out.append(embed(headings))
    finally:
        out.close()


# ---------------------------------------------------------------------- from format 2


def _from_2(columns: _Columns, table_heads: TableHeads | None) -> _Columns:
    """Add the heads of tables; no section is a null."""
    chunks = columns.chunks
    place = chunks.column_names.index("section")
    section = chunks["section"]
    empty = pc.equal(pc.list_value_length(section), 0)
    section = pc.if_else(empty, pa.scalar(None, section.type), section)
    chunks = chunks.set_column(place, _CHUNKS_2.field("section"), section)
    heads: list[tuple[str, int] | None] = [None] * len(chunks)
    if table_heads is not None:
        _find_heads(heads, chunks, columns.documents, table_heads)
    for number, field in enumerate(CHUNKS.field(name) for name in ("table_head", "table_head_start")):
        values = pa.array([None if head is None else head[number] for head in heads], field.type)
        chunks = chunks.append_column(field, values)
    return _Columns(chunks, columns.documents, columns.headings)


def _find_heads(
    heads: list[tuple[str, int] | None], chunks: pa.Table, documents: pa.Table, find: TableHeads
) -> None:
    """Find the heads of the tables in documents that may hold any, and set those of their rows."""
    doc = chunks["doc"].to_numpy()
    if len(doc) and (doc[0] < 0 or doc[-1] >= len(documents) or np.any(np.diff(doc) < 0)):
        raise StoreCorruptError(f"the chunks of a segment are not in order of their documents: {ADVICE}")
    marked = np.unique(doc[pc.match_substring(chunks["text"], "|").to_numpy()])
    for number in marked.tolist():
        first, end = np.searchsorted(doc, [number, number + 1]).tolist()
        source = documents["source"][number].as_py()
        rows = chunks.slice(first, end - first).select(["start", "end", "text", "gap"]).to_pylist()
        for run in _runs(rows):
            base = rows[run.rows[0]]["start"]
            starts = [rows[row]["start"] - base for row in run.rows]
            for row, head in zip(run.rows, find(source, "".join(run.pieces), starts), strict=True):
                heads[first + row] = None if head is None else (head[0], head[1] + base)


@dataclass(slots=True)
class _Run:
    """Chunks without text of the document between them that is not known."""

    rows: list[int]
    pieces: list[str]
    end: int


def _runs(rows: Sequence[dict[str, object]]) -> Iterator[_Run]:
    """Put a document's text together again, as far as its chunks and the gaps between them go."""
    run: _Run | None = None
    for number, row in enumerate(rows):
        start, text, gap = int(str(row["start"])), str(row["text"]), row["gap"]
        if run is None or start > run.end or start + len(text) < run.end:
            if run is not None:
                yield run
            run = _Run([], [], start)
        run.rows.append(number)
        run.pieces += [text[run.end - start :], str(gap or "")]
        run.end = start + len(text) + len(str(gap or ""))
    if run is not None:
        yield run


# ---------------------------------------------------------------------- files


def _write_codes(vectors: Path, new: Path, rows: int, dimensions: int) -> None:
    head = len(flat_header(dimensions, rows))

    def part(first: int, end: int) -> Vectors:
        return np.memmap(vectors, "<f4", "r", head + 4 * first * dimensions, (end - first, dimensions))

    with reading(vectors):
        if vectors.stat().st_size != head + 4 * rows * dimensions:
            raise ValueError(f"not {rows} vectors of {dimensions}")
    rabitq.write(new, part, rows, dimensions)


def _linked(folder: Path, file: FileEntry, old: SegmentEntry, new: Path) -> FileEntry:
    """Give a file of the old segment a name in the new one, without copying it where that is possible."""
    name = Path(file.path).name
    if file.path != f"segments/{old.id}/{name}":
        raise StoreCorruptError(f"{folder / file.path} is no file of segment {old.id}: {ADVICE}")
    try:
        os.link(folder / file.path, new / name)
    except OSError:  # no links here
        shutil.copyfile(folder / file.path, new / name)
        return entry(folder, new / name)
    return replace(file, path=f"segments/{new.name}/{name}")
