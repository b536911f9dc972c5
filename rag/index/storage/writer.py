"""Writing an index: a new segment for new rows, lists of removed rows, and one pointer that is swapped."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rag.core.errors import StoreMismatchError, StoreMissingError
from rag.index.filters.bind import Bound
from rag.index.filters.where import FieldType
from rag.index.storage import compaction, held
from rag.index.storage.chunk import Chunk
from rag.index.storage.edits import edited
from rag.index.storage.layout import ORIGINAL, Vectors
from rag.index.storage.locking import locked, writing
from rag.index.storage.manifest import (
    EmbedderEntry,
    FileEntry,
    Manifest,
    SegmentEntry,
    current_version,
    entry,
    fsync_folder,
    is_current,
    manifest_path,
    next_version,
    read_manifest,
    write_durably,
)
from rag.index.storage.orphans import clear_orphans
from rag.index.storage.own_files import FOLDERS, vacate
from rag.index.storage.schema import widen
from rag.index.storage.segment import open_segment
from rag.index.storage.segment_writer import SegmentWriter, write_table
from rag.index.storage.sources import SourceRecord, write_sources

#: The filter of an edit, and its new values.
Edit = tuple[Bound, Mapping[str, Any]]


@dataclass
class IndexWriter:
    """Adds and removes documents; readers see nothing of it before `commit`.

    `open_writer` returns one, and holds the lock.
    """

    folder: Path
    embedder: EmbedderEntry
    previous: Manifest | None
    schema: dict[str, FieldType]
    notes: list[str] = field(default_factory=list)
    _examples: dict[str, str] = field(default_factory=dict)
    _open: list[SegmentWriter] = field(default_factory=list)

    @property
    def version(self) -> int:
        """The number of the new version."""
        return next_version(self.folder)

    @property
    def segment(self) -> SegmentWriter:
        """The new segment, created with the first document."""
        if not self._open:
            with writing(self.folder):
                return self._new_segment()
        return self._open[0]

    def add_document(
        self, doc_id: str, source: str, metadata: Mapping[str, Any], original: str | None = None
    ) -> int:
        """Add a document; return its number, for `add_chunks`.

        `original` is the exact metadata as JSON (`rag.index.storage.exact_metadata`), if they must come back
        unchanged.
        """
        if ORIGINAL in metadata:  # the name of the column for `original`
            metadata = {f"{name}_" if name == ORIGINAL else name: v for name, v in metadata.items()}
        self.schema = widen(self.schema, self._examples, metadata, source, self.notes, self._example)
        return self.segment.add_document(doc_id, source, metadata, original)

    def new_headings(self, items: Sequence[tuple[int, Chunk]]) -> list[str]:
        """Return the heading paths of chunks that have no vector yet, for `add_headings`."""
        return self.segment.new_headings(items)

    def add_headings(self, headings: Sequence[str], vectors: Vectors) -> None:
        """Add heading paths and their vectors (unit rows)."""
        self.segment.add_headings(headings, vectors)

    def add_chunks(self, items: Sequence[tuple[int, Chunk]], vectors: Vectors) -> None:
        """Add chunks of documents, and their vectors (unit rows)."""
        with writing(self.folder):
            self.segment.add_chunks(items, vectors)

    def commit(
        self,
        *,
        removed: Set[str] = frozenset(),
        removed_ids: Set[str] = frozenset(),
        edit: Edit | None = None,
        sources: Sequence[SourceRecord] | None = None,
        root: str | None = None,
        chunker: str | None = None,
        why: str = "build",
        compact: bool = False,
        hold: bool = False,
    ) -> Manifest:
        """Write the new version: durable first, then current.

        Parameters
        ----------
        removed, removed_ids : set of str
            Sources, and chunk ids, whose rows are removed from earlier segments.
        edit : (Bound, mapping), optional
            The documents of earlier segments to edit, and their new values by field.
        sources : sequence of SourceRecord, optional
            All files of the build; by default those of the version before, and so `root` and `chunker`.
        why : str
            What creates this version, for `Version.why`.
        compact : bool
            Merge all segments into one; by default only as `rag.index.storage.compaction` chooses.
        hold : bool
            Do not make it current: hold it back (`rag.index.storage.held`).

        Raises
        ------
        StoreError
            The disk is full, or writing is not permitted; the index is unchanged.
        """
        with writing(self.folder):
            segments = self._segments(removed, removed_ids, edit)
            groups = compaction.choose(segments, everything=compact)
            for group in groups:
                merged = self._merge(group)
                segments = [segment for segment in segments if segment not in group]
                segments += [merged] if merged else []
            manifest = self._manifest(segments, sources, root, chunker, why)
            (held.hold if hold else publish)(self.folder, manifest)
            if groups:  # the segments that were written only to be merged
                clear_orphans(self.folder, manifest, *([self.previous] if self.previous else []))
        return manifest

    def _segments(self, removed: Set[str], removed_ids: Set[str], edit: Edit | None) -> list[SegmentEntry]:
        """Return the previous version's segments without the removed rows, edited, and the new segment."""
        old = self.previous
        segments = [
            remaining for before in (old.segments if old else ())
            if (remaining := self._without(before, removed, removed_ids)) is not None
        ]  # fmt: skip
        if edit is not None:
            segments = [self._edit(segment, *edit) for segment in segments]
        if self._open and self.segment.rows:
            segments.append(self._finish(self.segment))
        return segments

    def _manifest(
        self,
        segments: Sequence[SegmentEntry],
        sources: Sequence[SourceRecord] | None,
        root: str | None,
        chunker: str | None,
        why: str,
    ) -> Manifest:
        old = self.previous
        table = old.sources if old and sources is None else self._write_sources(sources or ())
        return Manifest(
            version=self.version,
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            embedder=self.embedder,
            chunker=(old.chunker if old else "") if chunker is None else chunker,
            root=(old.root if old else "") if root is None else root,
            schema=self.schema,
            segments=tuple(segments),
            sources=table,
            files=old.files if old and sources is None else sum(not r.reason for r in sources or ()),
            chunks=sum(segment.live for segment in segments),
            notes=tuple(self.notes),
            why=why,
        )

    def adopt(
        self, old: Manifest, why: str, segments: Callable[[], Sequence[SegmentEntry]] | None = None
    ) -> Manifest:
        """Make the content of an older version current, with its segments rewritten if need be."""
        with writing(self.folder):
            manifest = replace(
                old, version=next_version(self.folder), why=why,
                created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                segments=old.segments if segments is None else tuple(segments()),
            )  # fmt: skip
            publish(self.folder, manifest)
        return manifest

    def _example(self, name: str) -> str:
        """Return a file of the previous version that has a field."""
        for old in self.previous.segments if self.previous else ():
            source = open_segment(self.folder, old, self.embedder.dimensions).source_with(name)
            if source is not None:
                return source
        return "the index"

    def _new_segment(self) -> SegmentWriter:
        path = self.folder / "segments" / secrets.token_hex(8)
        self._open.append(SegmentWriter(path, self.embedder.dimensions))
        return self._open[-1]

    def _finish(self, segment: SegmentWriter) -> SegmentEntry:
        files = [entry(self.folder, path) for path in segment.finish(self.schema)]
        fsync_folder(segment.folder)
        return SegmentEntry(segment.folder.name, segment.rows, tuple(files))

    def _write_sources(self, sources: Sequence[SourceRecord]) -> FileEntry:
        path = vacate(self.folder / "sources" / f"{self.version:06d}.arrow")
        write_sources(path, sources)
        return entry(self.folder, path)

    def _without(self, old: SegmentEntry, removed: Set[str], removed_ids: Set[str]) -> SegmentEntry | None:
        """Return a segment without the rows of some sources and ids; None if no row remains."""
        if not removed and not removed_ids:
            return old
        segment = open_segment(self.folder, old, self.embedder.dimensions)
        more = np.union1d(segment.rows_of(removed), segment.rows_with(removed_ids))
        rows = np.union1d(segment.removed, more).astype(np.int64)
        if len(rows) == old.gone:
            return old
        if len(rows) == old.rows:
            return None
        path = vacate(self.folder / "removed" / f"{self.version:06d}-{old.id}.npy")
        np.save(path, rows)
        return replace(old, removed=entry(self.folder, path), gone=len(rows))

    def _edit(self, old: SegmentEntry, where: Bound, changes: Mapping[str, Any]) -> SegmentEntry:
        segment = open_segment(self.folder, old, self.embedder.dimensions)
        table: pa.Table | None = edited(segment, where, changes, self.schema)
        if table is None:
            return old
        path = vacate(self.folder / "documents" / f"{self.version:06d}-{old.id}.arrow")
        write_table(path, table)
        return replace(old, documents=entry(self.folder, path))

    def _merge(self, group: Sequence[SegmentEntry]) -> SegmentEntry | None:
        if not any(old.live for old in group):
            return None
        merged = self._new_segment()
        for old in group:
            compaction.check(self.folder, old)
            merged.copy(open_segment(self.folder, old, self.embedder.dimensions), self.schema)
        return self._finish(merged)

    def close(self) -> None:
        """Close the files of unfinished segments."""
        for segment in self._open:
            segment.close()


@contextmanager
def open_writer(
    folder: Path,
    embedder: EmbedderEntry | None = None,
    *,
    rebuild: bool = False,
    previous: Manifest | None = None,
    timeout_s: float = 0.0,
) -> Iterator[IndexWriter]:
    """Lock an index (or a folder for a new one) for writing.

    Parameters
    ----------
    folder : Path
    embedder : EmbedderEntry, optional
        The embedder of the vectors; by default that of the existing index.
    rebuild : bool
        Start the new version empty; the old version stays until `commit`.
    previous : Manifest, optional
        The current manifest if the caller has read it; read again only if another process has
        written since.
    timeout_s : float
        How long to wait for another writer.

    Raises
    ------
    StoreMissingError
        Without `embedder`: there is no index in the folder.
    StoreMismatchError
        The current version has vectors of another embedder, and this is no `rebuild`.
    StoreLockedError
        Another process is writing.
    StoreError
        The disk is full, or writing is not permitted; the index is unchanged.
    """
    if embedder is None and current_version(folder) is None:
        raise StoreMissingError(f"there is no index in {folder}: build it with `rag build SRC {folder}`")
    with locked(folder, timeout_s=timeout_s):
        current = None if rebuild else current_version(folder)
        if current is None:
            previous = None
        elif previous is None or not is_current(folder, previous):
            previous = read_manifest(folder)
        if embedder is None:
            embedder = (previous or read_manifest(folder)).embedder
        elif previous is not None:
            _check_embedder(folder, previous.embedder, embedder)
        writer = IndexWriter(folder, embedder, previous, dict(previous.schema) if previous else {})
        try:
            yield writer
        finally:
            with contextlib.suppress(OSError):
                writer.close()


def _check_embedder(folder: Path, before: EmbedderEntry, now: EmbedderEntry) -> None:
    """Refuse vectors of another embedder than the current version's, whatever the caller saw before."""
    if (before.fingerprint, before.dimensions) != (now.fingerprint, now.dimensions):
        raise StoreMismatchError(
            f"{folder} was built with {before.fingerprint} ({before.dimensions} dimensions), not with "
            f"{now.fingerprint} ({now.dimensions} dimensions): use that embedder"
        )


def publish(folder: Path, manifest: Manifest) -> None:
    """Make a manifest whose files are all written the current version."""
    for name in FOLDERS:
        fsync_folder(folder / name)
    write_durably(manifest_path(folder, manifest.version), manifest.to_json())
    write_durably(folder / "CURRENT", f"{manifest.version}\n")
