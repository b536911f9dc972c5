"""Versions of an index: one JSON manifest each, and one pointer that is swapped atomically.

::

    indexes/handbook/
        CURRENT               the number of the current version
        LOCK                  held by the writer
        manifests/000003.json the files of version 3, with the SHA-256 of each
        manifests/000004.held those of a version that is held back
        sources/000003.arrow  its table of sources: path, content hash, chunks, quarantine
        removed/000003-*.npy  rows of a segment that version 3 no longer holds
        documents/000003-*    metadata of a segment as edited in version 3
        segments/<id>/        immutable files
        cache.sqlite          the write-ahead embedding cache
        ledger.sqlite         the costs of calls for this index
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from rag.core.errors import StoreCorruptError, StoreMismatchError, StoreMissingError
from rag.index.filters.where import FieldType
from rag.index.storage.columns import ADVICE
from rag.index.storage.formats import FORMAT, manifest_of_today
from rag.index.storage.own_files import check_folder, vacate

#: Most bytes of a manifest.
LARGEST_MANIFEST = 64 << 20
#: In place of ``.json``, the end of the name of a manifest whose version is held back.
HELD = ".held"

Count = Annotated[int, Field(ge=0, lt=1 << 40)]
#: A path inside the index: two or three plain names, the first one of `FOLDERS`.
Inside = Annotated[
    str, Field(pattern=r"^(segments/[0-9a-f]{16}|sources|removed|documents)/[0-9a-z-]+\.[a-z]+$")
]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the index, relative to its folder."""

    path: Inside
    bytes: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment as a version sees it.

    Attributes
    ----------
    removed : FileEntry, optional
        The rows that were removed after the segment was written.
    gone : int
        The number of removed rows.
    documents : FileEntry, optional
        The documents' metadata, where they were edited after the segment was written.
    """

    id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    rows: Annotated[int, Field(ge=1, lt=1 << 31)]
    files: tuple[FileEntry, ...]
    removed: FileEntry | None = None
    gone: Count = 0
    documents: FileEntry | None = None

    @property
    def live(self) -> int:
        """Rows that were not removed."""
        return self.rows - self.gone

    @property
    def everything(self) -> list[FileEntry]:
        """Its files, and those written later for it."""
        return [*self.files, *(file for file in (self.removed, self.documents) if file)]


@dataclass(frozen=True, slots=True)
class EmbedderEntry:
    """The embedder of the vectors; `name` is that of one of `rag`'s embedders, or empty."""

    name: str
    fingerprint: str
    dimensions: Annotated[int, Field(ge=1, le=1 << 16)]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One version of an index.

    Attributes
    ----------
    why : str
        What created this version: ``"build"``, ``"compact"``, ``"rollback to 3"``, …
    """

    version: Annotated[int, Field(ge=1, lt=10**9)]
    created: str
    embedder: EmbedderEntry
    chunker: str
    root: str
    schema: Mapping[str, FieldType]
    segments: tuple[SegmentEntry, ...]
    sources: FileEntry
    files: Count
    chunks: Count
    notes: tuple[str, ...] = ()
    why: str = "build"
    format: Literal[3] = FORMAT

    def to_json(self) -> str:
        """Return the manifest as JSON, as it is stored."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry(folder: Path, path: Path) -> FileEntry:
    """Make a new file durable, and return its entry."""
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


def write_durably(path: Path, text: str, *, private: bool = False) -> None:
    """Replace a file atomically: a reader sees the old text or the new, also after a crash.

    A private one can be read by this user alone.
    """
    temporary = vacate(path.with_name(path.name + ".new"))
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    fsync_folder(path.parent)


def current_version(folder: Path) -> int | None:
    """Return the number that the pointer names, or None where there is no index."""
    try:
        text = read_plain(folder / "CURRENT", 100).decode("ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StoreCorruptError(f"cannot read {folder / 'CURRENT'} ({error}): {ADVICE}") from None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise StoreCorruptError(f"{folder / 'CURRENT'} does not hold a version's number: {ADVICE}")
    return int(text)


def is_current(folder: Path, manifest: Manifest) -> bool:
    """Whether a manifest that was read before is that of the current version still.

    Its text is compared: an index that was deleted and built anew has the same numbers.
    """
    if current_version(folder) != manifest.version:
        return False
    try:
        text = read_plain(manifest_path(folder, manifest.version), LARGEST_MANIFEST)
    except (OSError, ValueError):
        return False
    return text == manifest.to_json().encode()


def pointer(folder: Path) -> int | None:
    """Return the version that the pointer names, or None where it is lost or damaged."""
    try:
        return current_version(folder)
    except StoreCorruptError:
        return None


def newest_version(folder: Path) -> int:
    """Return the current version's number; if the pointer is lost, that of the newest manifest; else 0."""
    current = pointer(folder)
    return current if current is not None else max(_manifests(folder), default=0)


def kept_versions(folder: Path) -> list[int]:
    """Return the numbers of all versions with a manifest, up to the current one."""
    newest = newest_version(folder)
    return sorted(number for number in _manifests(folder) if number <= newest)


def held_versions(folder: Path) -> list[int]:
    """Return the numbers of the versions that are held back (`rag.index.storage.held`), oldest first."""
    return sorted(_manifests(folder, HELD))


def next_version(folder: Path) -> int:
    """Return a number that no version has; one that is held back keeps its own."""
    return max(newest_version(folder), *held_versions(folder), 0) + 1


def manifest_path(folder: Path, version: int, suffix: str = ".json") -> Path:
    """Return where the manifest of a version stands."""
    return folder / "manifests" / f"{version:06d}{suffix}"


def _manifests(folder: Path, suffix: str = ".json") -> list[int]:
    names = [path.name.removesuffix(suffix) for path in (folder / "manifests").glob(f"*{suffix}")]
    return [int(name) for name in names if name.isascii() and name.isdecimal()]


def read_manifest(folder: Path, version: int | None = None) -> Manifest:
    """Read a version's manifest, and check that every file it names is there and has its size.

    By its number a version that is held back is read, too.

    Raises
    ------
    StoreMissingError
        There is no index in the folder, or it does not keep the version.
    StoreCorruptError
        The manifest, or a file that it names, is missing, short, or outside the folder.
    StoreMismatchError
        It has an older format, to be upgraded, or a newer one.
    """
    found, manifest = read_any_format(folder, version)
    if found == FORMAT:
        return manifest
    if version is None or version == newest_version(folder):
        raise StoreMismatchError(
            f"{folder} has format {found}: run `rag upgrade {folder}` (keeps everything, takes seconds)"
        )
    raise StoreMismatchError(
        f"version {version} of {folder} has format {found}: run `rag upgrade {folder} --version {version}` "
        "to make it the current one in the format of today"
    )


def read_any_format(folder: Path, version: int | None = None) -> tuple[int, Manifest]:
    """Read a manifest as `read_manifest` does, of this format or an older one; return its format, too.

    The manifest reads as one of today; the files of an older one are for `rag.index.storage.upgrade` alone.
    """
    wanted = current_version(folder) if version is None else version
    if wanted is None:
        raise StoreMissingError(f"there is no index in {folder}: build it with `rag build SRC {folder}`")
    path = manifest_path(folder, wanted)
    check_folder(path.parent)
    if version is not None and not path.exists() and version in held_versions(folder):
        path = manifest_path(folder, wanted, HELD)
    try:
        text = read_plain(path, LARGEST_MANIFEST)
    except FileNotFoundError:
        if version is not None and version != newest_version(folder):
            there = ", ".join(map(str, kept_versions(folder))) or "none"
            raise StoreMissingError(f"{folder} has no version {version}: there is {there}") from None
        raise StoreCorruptError(f"{path} is missing: {ADVICE}") from None
    except (OSError, ValueError) as error:
        raise StoreCorruptError(f"{path} is damaged ({error}): {ADVICE}") from None
    found, manifest = parse_manifest(text, wanted, folder, path)
    files = files_of(manifest)
    for parent in {parent for file in files for parent in Path(file.path).parents if parent.name}:
        check_folder(folder / parent)
    for file in files:
        check_size(folder, file)
    return found, manifest


def parse_manifest(
    text: bytes, version: int, index: object, place: object, advice: str = ADVICE
) -> tuple[int, Manifest]:
    """Read a manifest's text, of the format of today or an older one; return its format, too.

    Parameters
    ----------
    text : bytes
        Not trusted.
    version : int
        The number that it must have.
    index, place : object
        The index and the manifest's own place, for messages.
    advice : str
        What to do about one that is damaged.

    Raises
    ------
    StoreCorruptError
        It is no manifest of this version, or names a file outside the index.
    StoreMismatchError
        It has a newer format.
    """
    try:
        raw = json.loads(text)
        found = raw.get("format")
        if type(found) is not int or found < 1:
            raise ValueError(f"its format is {found!r}")
        if found > FORMAT:
            raise StoreMismatchError(
                f"{index} has format {found}, this rag reads up to {FORMAT}: it was written by a newer "
                "rag, upgrade the library"
            )
        if found < FORMAT:
            text = json.dumps(manifest_of_today(raw, found)).encode()
        manifest = _MANIFEST.validate_json(text, strict=True)
        if manifest.version != version:
            raise ValueError(f"it says that it is version {manifest.version}")
    except ValidationError as error:
        first = error.errors()[0]
        said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise StoreCorruptError(f"{place} is damaged ({said}): {advice}") from None
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise StoreCorruptError(f"{place} is damaged ({error}): {advice}") from None
    return found, manifest


def read_plain(path: Path, most: int) -> bytes:
    """Read a small plain file.

    Raises
    ------
    OSError
    ValueError
        It is a link, a pipe, which might never end, or too large for the memory.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise ValueError("it is a link") from None
        raise
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise ValueError(f"not a file of at most {most} bytes")
        return file.read(most)


def files_of(manifest: Manifest) -> list[FileEntry]:
    """List every file of a version."""
    return [manifest.sources, *(file for segment in manifest.segments for file in segment.everything)]


def altered(folder: Path, files: Iterable[FileEntry]) -> Iterator[FileEntry]:
    """Read files, and yield those whose SHA-256 differs from the manifest's."""
    return (file for file in files if sha256(folder / file.path) != file.sha256)


_MANIFEST = TypeAdapter(Manifest)


def check_size(folder: Path, file: FileEntry) -> None:
    """Refuse a file that is missing, not a plain file, or not as long as the manifest says."""
    path = folder / file.path
    try:
        status = path.lstat()
    except OSError:
        raise StoreCorruptError(f"{path} is missing: {ADVICE}") from None
    if not stat.S_ISREG(status.st_mode):
        raise StoreCorruptError(f"{path} is not a plain file: {ADVICE}")
    if status.st_size != file.bytes:
        raise StoreCorruptError(
            f"{path} has {status.st_size} bytes, the manifest says {file.bytes}: {ADVICE}"
        )
