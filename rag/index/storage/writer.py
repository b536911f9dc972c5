"""Writing an index: new rows into a new segment, old rows removed, one pointer swapped."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from rag.core.errors import RagError, cannot_write
from rag.index.filters.where import FieldType, Where
from rag.index.storage import compaction
from rag.index.storage.edits import edited
from rag.index.storage.manifest import (
    FOLDERS,
    EmbedderEntry,
    Manifest,
    SegmentEntry,
    current_version,
    entry,
    files_of,
    fsync_folder,
    kept_versions,
    newest_version,
    read_manifest,
    write_durably,
    writer_lock,
)
from rag.index.storage.schema import widen
from rag.index.storage.segment import open_segment
from rag.index.storage.segment_writer import ORIGINAL, Chunk, SegmentWriter, Vectors, write_table
from rag.index.storage.sources import SourceRecord, write_sources


@dataclass
class IndexWriter:
    """Adds and removes documents; nothing is seen by readers before `commit`.

    Made by `open_writer`, which holds the lock.
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
        """The number that the new version will have."""
        return newest_version(self.folder) + 1

    @property
    def segment(self) -> SegmentWriter:
        """The new segment, made when the first document comes."""
        if not self._open:
            with _writing(self.folder):
                return self._new_segment()
        return self._open[0]

    def add_document(
        self, doc_id: str, source: str, metadata: Mapping[str, Any], original: str | None = None
    ) -> int:
        """Add a document; return its number, for `add_chunks`.

        `original` is the metadata as JSON (`exact_metadata`), where it must come back exactly.
        """
        if ORIGINAL in metadata:  # a column of the segment's own
            metadata = {f"{name}_" if name == ORIGINAL else name: v for name, v in metadata.items()}
        self.schema = widen(self.schema, self._examples, metadata, source, self.notes, self._example)
        return self.segment.add_document(doc_id, source, metadata, original)

    def new_headings(self, items: Sequence[tuple[int, Chunk]]) -> list[str]:
        """Return the heading paths of chunks that need a vector first, for `add_headings`."""
        return self.segment.new_headings(items)

    def add_headings(self, headings: Sequence[str], vectors: Vectors) -> None:
        """Add heading paths and their vectors (unit rows)."""
        self.segment.add_headings(headings, vectors)

    def add_chunks(self, items: Sequence[tuple[int, Chunk]], vectors: Vectors) -> None:
        """Add chunks of documents, and their vectors (unit rows)."""
        with _writing(self.folder):
            self.segment.add_chunks(items, vectors)

    def commit(
        self,
        *,
        removed: Set[str] = frozenset(),
        removed_ids: Set[str] = frozenset(),
        edit: tuple[Where, Mapping[str, Any]] | None = None,
        sources: Sequence[SourceRecord] | None = None,
        root: str | None = None,
        chunker: str | None = None,
        why: str = "build",
        compact: bool = False,
    ) -> Manifest:
        """Make the new version: durable first, then current.

        Parameters
        ----------
        removed, removed_ids : set of str
            Sources, and chunk ids, whose rows in earlier segments go.
        edit : (Where, mapping), optional
            Metadata to change in earlier segments, and of which documents.
        sources : sequence of SourceRecord, optional
            All files as they are now; by default as they were, and so `root` and `chunker`.
        why : str
            What made this version.
        compact : bool
            Merge all segments into one; else only what has piled up (`rag.index.storage.compaction`).

        Raises
        ------
        StoreError
            There is no room, or no right to write: the index is as it was.
        """
        with _writing(self.folder):
            segments = self._segments(removed, removed_ids, edit)
            groups = compaction.choose(segments, everything=compact)
            for group in groups:
                merged = self._merge(group)
                segments = [segment for segment in segments if segment not in group]
                segments += [merged] if merged else []
            manifest = self._manifest(segments, sources, root, chunker, why)
            self.publish(manifest)
            if groups:  # what was written only to be merged
                clear_orphans(self.folder)
        return manifest

    def _segments(
        self, removed: Set[str], removed_ids: Set[str], edit: tuple[Where, Mapping[str, Any]] | None
    ) -> list[SegmentEntry]:
        """Return the segments of before as they are now, and the new one."""
        old = self.previous
        segments = [
            kept for before in (old.segments if old else ())
            if (kept := self._keep(before, removed, removed_ids)) is not None
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

    def publish(self, manifest: Manifest) -> None:
        """Make a manifest whose files are all written the current version."""
        for name in FOLDERS:
            fsync_folder(self.folder / name)
        path = self.folder / "manifests" / f"{manifest.version:06d}.json"
        write_durably(path, manifest.to_json())
        write_durably(self.folder / "CURRENT", f"{manifest.version}\n")

    def _example(self, name: str) -> str:
        """Return a file of the version before that has a field."""
        for old in self.previous.segments if self.previous else ():
            found = open_segment(self.folder, old, self.embedder.dimensions).source_with(name)
            if found is not None:
                return found
        return "the index"

    def _new_segment(self) -> SegmentWriter:
        path = self.folder / "segments" / secrets.token_hex(8)
        self._open.append(SegmentWriter(path, self.embedder.dimensions))
        return self._open[-1]

    def _finish(self, segment: SegmentWriter) -> SegmentEntry:
        files = [entry(self.folder, path) for path in segment.finish(self.schema)]
        fsync_folder(segment.folder)
        return SegmentEntry(segment.folder.name, segment.rows, tuple(files))

    def _write_sources(self, sources: Sequence[SourceRecord]) -> Any:
        path = self.folder / "sources" / f"{self.version:06d}.arrow"
        write_sources(path, sources)
        return entry(self.folder, path)

    def _keep(self, old: SegmentEntry, removed: Set[str], removed_ids: Set[str]) -> SegmentEntry | None:
        if not removed and not removed_ids:
            return old
        segment = open_segment(self.folder, old, self.embedder.dimensions)
        more = np.union1d(segment.rows_of(removed), segment.rows_with(removed_ids))
        rows = np.union1d(segment.removed, more).astype(np.int64)
        if len(rows) == old.gone:
            return old
        if len(rows) == old.rows:
            return None
        path = self.folder / "removed" / f"{self.version:06d}-{old.id}.npy"
        np.save(path, rows)
        return replace(old, removed=entry(self.folder, path), gone=len(rows))

    def _edit(self, old: SegmentEntry, where: Where, changes: Mapping[str, Any]) -> SegmentEntry:
        assert self.previous is not None
        segment = open_segment(self.folder, old, self.embedder.dimensions)
        table: pa.Table | None = edited(segment, where, changes, self.previous.schema, self.schema)
        if table is None:
            return old
        path = self.folder / "documents" / f"{self.version:06d}-{old.id}.arrow"
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
        """Close the files of segments that were begun."""
        for segment in self._open:
            segment.close()


@contextmanager
def open_writer(
    folder: Path, embedder: EmbedderEntry | None = None, *, rebuild: bool = False
) -> Iterator[IndexWriter]:
    """Lock an index (or a folder that is to be one) for writing.

    Parameters
    ----------
    embedder : EmbedderEntry, optional
        What makes the vectors; by default what made those of the index that is there.
    rebuild : bool
        Start the new version empty, whatever was there; the old version stays until `commit`.

    Raises
    ------
    StoreLockedError
        Another process is writing.
    StoreError
        There is no room, or no right to write: the index is as it was.
    """
    if embedder is None:
        embedder = read_manifest(folder).embedder
    with _writing(folder):
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
    with writer_lock(folder), _tidied(folder):
        previous = None
        if not rebuild and current_version(folder) is not None:
            previous = read_manifest(folder)
        writer = IndexWriter(folder, embedder, previous, dict(previous.schema) if previous else {})
        try:
            yield writer
        finally:
            with contextlib.suppress(OSError):
                writer.close()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Tell want of room, or of the right to write, in one line."""
    try:
        yield
    except OSError as error:  # Arrow's and numpy's errors of writing are of this kind, too
        raise cannot_write(folder, error) from error


@contextmanager
def _tidied(folder: Path) -> Iterator[None]:
    """Clear what a killed writer left, before; and what a failed one leaves, after.

    ``LOCK`` says "writing" as long as a writer is at work, and still does when it was killed.
    """
    lock = folder / "LOCK"
    with _writing(folder):
        if lock.stat().st_size:
            clear_orphans(folder)
        lock.write_text("writing\n")
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            clear_orphans(folder)
            os.truncate(lock, 0)
        raise
    os.truncate(lock, 0)


def clear_orphans(folder: Path) -> None:
    """Delete the files that no version names: what a killed writer left, or a pruned version."""
    try:
        orphans = find_orphans(folder)
    except RagError:  # a damaged version: leave everything as it is
        return
    for path in orphans:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def find_orphans(folder: Path) -> list[Path]:
    """Return the files and segments that no version names.

    Raises
    ------
    RagError
        A version cannot be read, so that its files are not known.
    """
    versions = kept_versions(folder)
    used = {folder / "manifests" / f"{version:06d}.json" for version in versions}
    for version in versions:
        manifest = read_manifest(folder, version)
        used |= {folder / file.path for file in files_of(manifest)}
        used |= {folder / "segments" / segment.id for segment in manifest.segments}
    return sorted(
        path for name in FOLDERS if (folder / name).is_dir()
        for path in (folder / name).iterdir() if path not in used
    )  # fmt: skip
