"""Rewriting every version of an index without some documents, so that no file holds anything of them.

A segment with rows of them is written anew, once, and every version that has it gets the new one: with its
removed rows renumbered, and its edited metadata without those documents. So a rollback still works. First
all new files are written, then the new current version, then the manifests of the older ones are replaced one
by one, then the old files go. Killed in between, every version can be read, and the same erasure can be run
again.
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rag.core.errors import RagError, StoreError
from rag.index.storage import compaction
from rag.index.storage.columns import Columns, open_array
from rag.index.storage.layout import DOCUMENTS_FILE
from rag.index.storage.manifest import (
    HELD,
    FileEntry,
    Manifest,
    SegmentEntry,
    entry,
    fsync_folder,
    manifest_path,
    next_version,
    write_durably,
)
from rag.index.storage.orphans import clear_orphans, find_orphans
from rag.index.storage.own_files import FOLDERS
from rag.index.storage.segment import open_segment
from rag.index.storage.segment_writer import SegmentWriter, fields_of, some_documents, write_table
from rag.index.storage.selection import Selection, Versions, whole
from rag.index.storage.sources import open_sources, read_sources, write_sources
from rag.index.storage.writer import publish


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did to an index's files.

    Attributes
    ----------
    version : int
        The new current version; the one before where nothing had to change.
    rewritten : tuple of int
        Older versions whose manifests were replaced.
    segments, rows : int
        Segments that were written anew, and rows that went with it.
    """

    version: int
    rewritten: tuple[int, ...]
    segments: int
    rows: int


@dataclass(frozen=True, slots=True)
class _New:
    """A segment written anew: None where nothing of it is left, and which rows and documents are."""

    entry: SegmentEntry | None
    rows: npt.NDArray[np.bool_]
    documents: npt.NDArray[np.int64]


def check(folder: Path, versions: Versions, selection: Selection) -> Versions:
    """Refuse to copy damage: versions with a segment that is damaged, and must be rewritten, are unreadable.

    Raises
    ------
    StoreCorruptError
        The current version is one.
    """
    damaged: dict[str, str] = {}
    sound: set[str] = set()
    unreadable = dict(versions.unreadable)
    readable = []
    for manifest in versions.readable:
        problem = ""
        for each in manifest.segments:
            if each.id not in sound and each.id not in damaged:
                try:
                    segment = open_segment(folder, whole(each), manifest.embedder.dimensions)
                    if selection.of(segment).any():
                        compaction.check(folder, each)
                    sound.add(each.id)
                except RagError as error:
                    if manifest.version == versions.current.version:
                        raise
                    damaged[each.id] = str(error)
            problem = problem or damaged.get(each.id, "")
        if problem:
            unreadable[manifest.version] = problem
        else:
            readable.append(manifest)
    return Versions(versions.current, tuple(readable), unreadable)


def erase(folder: Path, versions: Versions, selection: Selection) -> Erased:
    """Rewrite all versions without the selected documents; drop those that cannot be read.

    The caller holds the writer's lock.

    Raises
    ------
    StoreError
        The disk is full, or files of no version are left that cannot be told from those of one.
    """
    for number in versions.unreadable:
        for suffix in (".json", HELD):
            manifest_path(folder, number, suffix).unlink(missing_ok=True)
    fsync_folder(folder / "manifests")
    rewriting = _Rewriting(folder, selection)
    new = {manifest.version: rewriting.version(manifest) for manifest in versions.readable}
    for name in FOLDERS:
        fsync_folder(folder / name)
    changed = [manifest for manifest in versions.readable if new[manifest.version] != manifest]
    number = versions.current.version
    if versions.current in changed:
        number = next_version(folder)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        publish(folder, replace(new[versions.current.version], version=number, why="forget", created=now))
    for manifest in changed:
        for suffix in (".json", HELD):
            path = manifest_path(folder, manifest.version, suffix)
            if path.exists():
                write_durably(path, new[manifest.version].to_json())
    clear_orphans(folder)
    if left := find_orphans(folder):
        raise StoreError(f"cannot delete {left[0]}: give yourself the right to, and run the same again")
    return Erased(
        number, tuple(sorted(manifest.version for manifest in changed)), rewriting.segments, rewriting.rows
    )


class _Rewriting:
    """Writes each segment, list of removed rows and table of edited metadata anew once."""

    def __init__(self, folder: Path, selection: Selection) -> None:
        self._folder, self._selection = folder, selection
        self._segments: dict[str, _New | None] = {}
        self._files: dict[str, FileEntry | None] = {}
        self.segments = self.rows = 0

    def version(self, old: Manifest) -> Manifest:
        """Return a version's manifest without the documents; the same where it has none of them."""
        segments = [
            new for each in old.segments
            if (new := self._seen(each, old.embedder.dimensions)) is not None
        ]  # fmt: skip
        sources, files = self._sources(old)
        if tuple(segments) == old.segments and sources == old.sources:
            return old
        fields = {name for each in segments for name in self._fields(each)}
        return replace(
            old, segments=tuple(segments), sources=sources, files=files,
            chunks=sum(each.live for each in segments),
            schema={name: kind for name, kind in old.schema.items() if name in fields},
            notes=tuple(note for note in old.notes if not self._names_one(note)),
        )  # fmt: skip

    def _names_one(self, note: str) -> bool:
        return any(source in note for source in self._selection.sources)

    def _seen(self, old: SegmentEntry, dimensions: int) -> SegmentEntry | None:
        """Return a segment as a version sees it, without the documents; None if no row remains."""
        new = self._segment(old, dimensions)
        if new is None:
            return old
        if new.entry is None:
            return None
        removed, gone = self._removed(old, new)
        if gone == new.entry.rows:
            return None
        return replace(new.entry, removed=removed, gone=gone, documents=self._documents(old, new))

    def _segment(self, old: SegmentEntry, dimensions: int) -> _New | None:
        """Write a segment anew; None if it has none of the documents."""
        if old.id not in self._segments:
            self._segments[old.id] = self._write(old, dimensions)
        return self._segments[old.id]

    def _write(self, old: SegmentEntry, dimensions: int) -> _New | None:
        segment = open_segment(self._folder, whole(old), dimensions)
        documents = self._selection.of(segment)
        if not documents.any():
            return None
        gone = documents[segment.document_of_row]
        self.segments, self.rows = self.segments + 1, self.rows + int(gone.sum())
        kept = np.unique(segment.document_of_row[~gone]).astype(np.int64)
        if gone.all():
            return _New(None, ~gone, kept)
        segment.live[gone] = False
        writer = SegmentWriter(self._folder / "segments" / secrets.token_hex(8), dimensions)
        try:
            writer.copy(segment, None)
            files = [entry(self._folder, path) for path in writer.finish(None)]
        finally:
            writer.close()
        fsync_folder(writer.folder)
        return _New(SegmentEntry(writer.folder.name, writer.rows, tuple(files)), ~gone, kept)

    def _removed(self, old: SegmentEntry, new: _New) -> tuple[FileEntry | None, int]:
        """Write a version's list of removed rows with their new numbers; return it and its length."""
        if old.removed is None or new.entry is None:
            return None, 0
        rows = open_array(self._folder / old.removed.path, np.int64, (old.gone,))
        rows = (np.cumsum(new.rows) - 1)[rows[new.rows[rows]]]
        if 0 < len(rows) < new.entry.rows and old.removed.path not in self._files:
            path = self._like(old.removed, new.entry.id)
            np.save(path, rows.astype(np.int64))
            self._files[old.removed.path] = entry(self._folder, path)
        return self._files.get(old.removed.path), len(rows)

    def _documents(self, old: SegmentEntry, new: _New) -> FileEntry | None:
        """Write a version's edited metadata without the documents."""
        if old.documents is None or new.entry is None:
            return None
        if old.documents.path not in self._files:
            path = self._like(old.documents, new.entry.id)
            table: pa.Table = Columns(self._folder / old.documents.path).table()
            write_table(path, some_documents(table, new.documents))
            self._files[old.documents.path] = entry(self._folder, path)
        return self._files[old.documents.path]

    def _like(self, old: FileEntry, id: str) -> Path:
        """Return the path of a file in place of an old one, with the id of the new segment."""
        path = self._folder / old.path
        return path.with_name(f"{path.stem.partition('-')[0]}-{id}{path.suffix}")

    def _sources(self, old: Manifest) -> tuple[FileEntry, int]:
        """Write a table of sources without the documents' ones; return it and how many files it counts."""
        records = read_sources(open_sources(self._folder / old.sources.path))
        kept = [record for record in records if record.source not in self._selection.sources]
        if len(kept) == len(records):
            return old.sources, old.files
        if old.sources.path not in self._files:
            path = self._like(old.sources, secrets.token_hex(8))
            write_sources(path, kept)
            self._files[old.sources.path] = entry(self._folder, path)
        made = self._files[old.sources.path]
        assert made is not None
        return made, sum(not record.reason for record in kept)

    def _fields(self, segment: SegmentEntry) -> set[str]:
        edited = segment.documents.path if segment.documents else f"segments/{segment.id}/{DOCUMENTS_FILE}"
        return fields_of(Columns(self._folder / edited).table())
