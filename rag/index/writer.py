"""Writing an index: new rows into one new segment, old rows removed, one pointer swapped."""

from __future__ import annotations

import datetime as dt
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rag.errors import StoreMissingError
from rag.index.index import Index
from rag.index.manifest import (
    EmbedderEntry,
    Manifest,
    SegmentEntry,
    current_version,
    entry,
    fsync_folder,
    read_manifest,
    write_durably,
    writer_lock,
)
from rag.index.schema import widen
from rag.index.segment import Chunk, SegmentWriter, Vectors
from rag.index.sources import SourceRecord, write_sources
from rag.index.where import FieldType


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
    _segment: SegmentWriter | None = None
    _id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def segment(self) -> SegmentWriter:
        """The new segment, made when the first document comes."""
        if self._segment is None:
            path = self.folder / "segments" / self._id
            self._segment = SegmentWriter(path, self.embedder.dimensions)
        return self._segment

    def add_document(self, doc_id: str, source: str, metadata: Mapping[str, Any]) -> int:
        """Add a document; return its number, for `add_chunks`."""
        self.schema = widen(self.schema, self._examples, metadata, source, self.notes)
        return self.segment.add_document(doc_id, source, metadata)

    def new_headings(self, items: Sequence[tuple[int, Chunk]]) -> list[str]:
        """Return the heading paths of chunks that need a vector first, for `add_headings`."""
        return self.segment.new_headings(items)

    def add_headings(self, headings: Sequence[str], vectors: Vectors) -> None:
        """Add heading paths and their vectors (unit rows)."""
        self.segment.add_headings(headings, vectors)

    def add_chunks(self, items: Sequence[tuple[int, Chunk]], vectors: Vectors) -> None:
        """Add chunks of documents, and their vectors (unit rows)."""
        self.segment.add_chunks(items, vectors)

    def commit(
        self, *, removed: set[str], sources: Sequence[SourceRecord], root: str, chunker: str
    ) -> Manifest:
        """Make the new version: durable first, then current.

        Parameters
        ----------
        removed : set of str
            Sources whose rows in earlier segments go.
        sources : sequence of SourceRecord
            All files as they are now.
        """
        folder = self.folder
        version = (current_version(folder) or 0) + 1
        segments = [
            kept for old in (self.previous.segments if self.previous else ())
            if (kept := self._keep(old, removed, version)) is not None
        ]  # fmt: skip
        if self._segment is not None and self._segment.rows:
            files = [entry(folder, path) for path in self._segment.finish(self.schema)]
            fsync_folder(self._segment.folder)
            fsync_folder(folder / "segments")
            segments.append(SegmentEntry(self._id, self._segment.rows, tuple(files)))
        path = folder / "sources" / f"{version:06d}.arrow"
        write_sources(path, sources)
        live_rows = sum(s.rows - _removed_rows(folder, s) for s in segments)
        manifest = Manifest(
            version=version,
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            embedder=self.embedder,
            chunker=chunker,
            root=root,
            schema=self.schema,
            segments=tuple(segments),
            sources=entry(folder, path),
            files=sum(not record.reason for record in sources),
            chunks=live_rows,
            notes=tuple(self.notes),
        )
        for name in ("sources", "removed"):
            fsync_folder(folder / name)
        write_durably(folder / "manifests" / f"{version:06d}.json", manifest.to_json())
        write_durably(folder / "CURRENT", f"{version}\n")
        return manifest

    def _keep(self, old: SegmentEntry, removed: set[str], version: int) -> SegmentEntry | None:
        if not removed:
            return old
        assert self.previous is not None
        index = Index(self.folder, replace(self.previous, segments=(old,)), None)
        segment = index._segments[0]
        rows = np.union1d(segment.removed, segment.rows_of(removed)).astype(np.int64)
        if len(rows) == len(segment.removed):
            return old
        if len(rows) == old.rows:
            return None
        path = self.folder / "removed" / f"{version:06d}-{old.id}.npy"
        np.save(path, rows)
        return replace(old, removed=entry(self.folder, path))


def _removed_rows(folder: Path, segment: SegmentEntry) -> int:
    return len(np.load(folder / segment.removed.path)) if segment.removed else 0


@contextmanager
def open_writer(folder: Path, embedder: EmbedderEntry, *, rebuild: bool) -> Iterator[IndexWriter]:
    """Lock an index (or a folder that is to be one) for writing.

    Parameters
    ----------
    rebuild : bool
        Start the new version empty, whatever was there; the old version stays until `commit`.

    Raises
    ------
    StoreLockedError
        Another process is writing.
    """
    for name in ("segments", "manifests", "sources", "removed"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with writer_lock(folder):
        _clear_orphans(folder)
        previous = None
        if not rebuild and current_version(folder) is not None:
            previous = read_manifest(folder)
        schema = dict(previous.schema) if previous else {}
        writer = IndexWriter(folder, embedder, previous, schema)
        try:
            yield writer
        finally:
            if writer._segment is not None:
                writer._segment.close()


def _clear_orphans(folder: Path) -> None:
    """Delete the segments that no version names: what a killed build left."""
    used = set()
    for path in (folder / "manifests").glob("*.json"):
        try:
            used |= {segment.id for segment in read_manifest(folder, int(path.stem)).segments}
        except (ValueError, StoreMissingError):
            return
        except Exception:  # a damaged version: leave everything as it is, for repair
            return
    for path in (folder / "segments").iterdir():
        if path.name not in used:
            shutil.rmtree(path, ignore_errors=True)
