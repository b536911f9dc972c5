"""Versions of an index: one JSON manifest each, and one pointer that is swapped atomically.

::

    indexes/handbook/
        CURRENT               the number of the current version
        LOCK                  held by whoever writes
        manifests/000003.json what version 3 is made of, with the SHA-256 of every file
        sources/000003.arrow  its table of sources: path, content hash, chunks, quarantine
        removed/000003-*.npy  rows of a segment that version 3 no longer holds
        segments/<id>/        immutable files
        cache.sqlite          the write-ahead embedding cache
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.errors import StoreCorruptError, StoreLockedError, StoreMissingError
from rag.index.where import FieldType

FORMAT = 1


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the index, relative to its folder."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment as a version sees it: its files, and the rows that were removed since."""

    id: str
    rows: int
    files: tuple[FileEntry, ...]
    removed: FileEntry | None = None


@dataclass(frozen=True, slots=True)
class EmbedderEntry:
    """Which embedder made the vectors; `name` is a known one's, or empty."""

    name: str
    fingerprint: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of an index."""

    version: int
    created: str
    embedder: EmbedderEntry
    chunker: str
    root: str
    schema: Mapping[str, FieldType]
    segments: tuple[SegmentEntry, ...]
    sources: FileEntry
    files: int
    chunks: int
    notes: tuple[str, ...] = ()
    format: int = FORMAT

    def to_json(self) -> str:
        """Return the manifest as it stands on disk."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry(folder: Path, path: Path) -> FileEntry:
    """Describe a file that was just written, after making it durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return FileEntry(path.relative_to(folder).as_posix(), path.stat().st_size, sha256(path))


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, text: str) -> None:
    """Replace a file atomically: whoever reads sees the old text or the new, also after a crash."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    fsync_folder(path.parent)


def current_version(folder: Path) -> int | None:
    """Return the number that the pointer names, or None where there is no index."""
    try:
        text = (folder / "CURRENT").read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreCorruptError(f"cannot read {folder / 'CURRENT'}: {error}") from None
    if not text.isdigit() or len(text) > 9:
        raise StoreCorruptError(
            f"{folder / 'CURRENT'} does not hold a version's number: rebuild with --rebuild"
        )
    return int(text)


def read_manifest(folder: Path, version: int | None = None) -> Manifest:
    """Read a version's manifest, and check that every file it names is there and has its size.

    Raises
    ------
    StoreMissingError
        There is no index in the folder.
    StoreCorruptError
        The manifest, or a file that it names, is missing, short, or outside the folder.
    """
    if version is None:
        version = current_version(folder)
    if version is None:
        raise StoreMissingError(f"there is no index in {folder}: build it with `rag build SRC {folder}`")
    path = folder / "manifests" / f"{version:06d}.json"
    try:
        manifest = _manifest(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StoreCorruptError(f"{path} is missing: rebuild with --rebuild") from None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreCorruptError(f"{path} is damaged ({error}): rebuild with --rebuild") from None
    for file in files_of(manifest):
        _check(folder, file)
    return manifest


def files_of(manifest: Manifest) -> list[FileEntry]:
    """List every file that a version is made of."""
    removed = [segment.removed for segment in manifest.segments if segment.removed]
    own = [file for segment in manifest.segments for file in segment.files]
    return [manifest.sources, *own, *removed]


def _manifest(raw: dict[str, Any]) -> Manifest:
    if raw.get("format") != FORMAT:
        raise ValueError(f"format {raw.get('format')!r}, this version of rag reads {FORMAT}")
    segments = tuple(
        SegmentEntry(
            str(item["id"]), int(item["rows"]), tuple(FileEntry(**file) for file in item["files"]),
            FileEntry(**item["removed"]) if item["removed"] else None,
        )
        for item in raw["segments"]
    )  # fmt: skip
    return Manifest(**{
        **raw, "segments": segments, "embedder": EmbedderEntry(**raw["embedder"]),
        "sources": FileEntry(**raw["sources"]), "notes": tuple(raw["notes"]),
    })  # fmt: skip


def _check(folder: Path, file: FileEntry) -> None:
    parts = Path(file.path).parts
    if Path(file.path).is_absolute() or ".." in parts:
        raise StoreCorruptError(f"the manifest names a file outside the index: {file.path!r}")
    path = folder / file.path
    try:
        size = path.stat().st_size
    except OSError:
        raise StoreCorruptError(f"{path} is missing: rebuild with --rebuild") from None
    if size != file.bytes:
        raise StoreCorruptError(
            f"{path} has {size} bytes, the manifest says {file.bytes}: rebuild with --rebuild"
        )


@contextlib.contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold the writer's lock; the system frees it if the process dies.

    Raises
    ------
    StoreLockedError
        Another process holds it.
    """
    with (folder / "LOCK").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreLockedError(f"another process is writing to {folder}: wait until it is done") from None
        yield
