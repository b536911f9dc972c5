"""Pull a version of an index from an object store into a folder.

What the folder has already is compared by SHA-256 and stays. The rest goes into ``INDEX/pulling/``, is
checked, moved to its place under the writer's lock, and made current last: killed at any moment, the folder
has the version that it had before, and the next pull goes on where this one stopped. Nothing on the object
store is trusted: paths, sizes and hashes are those of a manifest that was checked first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rag.core.errors import (
    NoRoomError,
    RemoteError,
    StoreConflictError,
    StoreCorruptError,
    UsageError,
    cannot_write,
)
from rag.core.format import bytes_text, counted
from rag.core.progress import Progress, Task
from rag.index.remote.history import becomes_current, drop, in_the_way
from rag.index.remote.known import remember
from rag.index.remote.objects import AbsentError, ObjectStore
from rag.index.remote.pointer import Pointer, Pushed, current_pointer, numbers_text, wanted
from rag.index.remote.transfer import Meter, Transfer, each
from rag.index.storage import forgotten
from rag.index.storage.locking import locked
from rag.index.storage.manifest import (
    LARGEST_MANIFEST,
    FileEntry,
    Manifest,
    files_of,
    fsync_folder,
    manifest_path,
    parse_manifest,
    pointer,
    sha256,
    write_durably,
)
from rag.index.storage.orphans import clear_orphans
from rag.index.storage.own_files import FOLDERS, check_folder, check_inside, is_unused, vacate
from rag.index.storage.sources import open_sources, read_sources

#: Where files wait in the index's folder until all have come.
PULLING = "pulling"
#: What to do about an index on an object store that is damaged.
ADVICE = "push it again, with --check, from a folder that has it"
#: A version can be pruned while it is being read; so often the pull begins again.
_RESTARTS = 5
#: Times that a file is read whose bytes turn out to be wrong.
_TRIES = 3


class _PrunedError(Exception):
    """The version was deleted from the object store while it was read."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A version on an object store, and its manifest as it is and as it reads."""

    store: ObjectStore
    pointer: Pointer
    pushed: Pushed
    text: bytes
    manifest: Manifest


def pull(
    store: ObjectStore,
    folder: str | Path,
    *,
    version: int | None = None,
    force: bool = False,
    check: bool = True,
    dry_run: bool = False,
    progress: Progress | None = None,
    timeout_s: float = 0.0,
) -> Transfer:
    """Make a folder hold a version of an index, moving only what it lacks.

    Parameters
    ----------
    store : ObjectStore
    folder : str or Path
        A new folder, or one that was pulled from there or pushed to there before.
    version : int, optional
        By default the current one. An older one than the folder's is added to its versions, and does not
        become current.
    force : bool
        Drop the folder's versions that the object store does not have, if they are in the way.
    check : bool
        Compare the SHA-256 of the files that are there already; without, only the sizes of segments.
    dry_run : bool
        Move nothing.
    progress : Progress, optional
    timeout_s : float
        How long to wait for another process that writes to the folder.

    Raises
    ------
    StoreMissingError
        There is no such index or version.
    StoreConflictError
        The folder's current version is not one of the object store's, and would be lost.
    StoreCorruptError
        What is on the object store is not what its manifest says.
    RemoteError
        The object store cannot be reached, or holds something else.
    NoRoomError
        The disk has no room for it.
    StoreLockedError
        Another process is writing to the folder.

    Examples
    --------
    >>> from rag.bedrock.storage.s3_objects import S3Objects
    >>> pull(S3Objects("s3://bucket/handbook"), "/tmp/handbook").files              # doctest: +SKIP
    17
    """
    started = time.monotonic()
    for _ in range(_RESTARTS):
        with contextlib.suppress(_PrunedError):
            source = _source(store, version)
            done = _pulled(source, Path(folder), version is None, force, check, dry_run, progress, timeout_s)
            return replace(done, seconds=time.monotonic() - started)
    raise RemoteError(f"{store.name} is pruned again and again while it is read: pull once that is done")


def read_version(store: ObjectStore, pushed: Pushed) -> tuple[bytes, Manifest]:
    """Read a version's manifest, and check it.

    Raises
    ------
    AbsentError
        It is gone.
    StoreCorruptError
        It is not what the pointer says, or names what no index may have.
    """
    place = f"{store.name}{pushed.key}"
    if pushed.bytes > LARGEST_MANIFEST:
        raise StoreCorruptError(
            f"{place} has {bytes_text(pushed.bytes)}, more than any manifest may have: check the prefix"
        )
    for _ in range(_TRIES):
        blob = store.read(pushed.key, pushed.bytes)
        if blob is None:
            raise AbsentError(pushed.key)
        text = blob.data
        if len(text) == pushed.bytes and hashlib.sha256(text).hexdigest() == pushed.manifest:
            break
    else:
        raise StoreCorruptError(f"{place} is damaged (its SHA-256 is not that of its name): {ADVICE}")
    _, manifest = parse_manifest(text, pushed.version, store.name.rstrip("/"), place, ADVICE)
    by_path: dict[str, FileEntry] = {}
    for file in files_of(manifest):
        if by_path.setdefault(file.path, file) != file:
            raise StoreCorruptError(f"{place} is damaged ({file.path} is named twice): {ADVICE}")
    return text, manifest


def _source(store: ObjectStore, version: int | None) -> _Source:
    found = current_pointer(store)
    pushed = wanted(store, found, version)
    with _pruned(store, pushed):
        text, manifest = read_version(store, pushed)
    return _Source(store, found, pushed, text, manifest)


def _pulled(
    source: _Source, folder: Path, newest: bool, force: bool, check: bool, dry_run: bool,
    progress: Progress | None, timeout_s: float,
) -> Transfer:  # fmt: skip
    if dry_run:
        dropped = _in_the_way(source, folder, newest, force)
        lacking = _lacking(folder, source.manifest, check)
        return _report(source, folder, lacking, sum(file.bytes for file in lacking), dropped, dry_run=True)
    if folder.is_dir() and not (folder / "LOCK").exists() and not is_unused(folder):
        raise UsageError(f"{folder} holds other files than an index's: name a new folder")
    with locked(folder, timeout_s=timeout_s):
        dropped = _in_the_way(source, folder, newest, force)
        lacking = _lacking(folder, source.manifest, check)
        moved = _fetch(source, folder, lacking, progress)
        _check_forgotten(source, folder)
        try:
            drop(folder, dropped)
            _place(folder, lacking)
            _publish(source, folder)
            remember(folder, source.store.name, source.pushed.version, source.pushed.manifest)
        except OSError as error:
            raise cannot_write(folder, error) from error
        shutil.rmtree(folder / PULLING, ignore_errors=True)
        if dropped:
            clear_orphans(folder)
    return _report(source, folder, lacking, moved, dropped)


def _report(
    source: _Source, folder: Path, lacking: Sequence[FileEntry], moved: int, dropped: Sequence[int], *,
    dry_run: bool = False,
) -> Transfer:  # fmt: skip
    files = _distinct(source.manifest)
    there = pointer(folder)
    current = (
        source.pushed.version
        if dry_run and becomes_current(folder, source.pushed.version, dropped)
        else there
    )
    names = {file.path for file in lacking}
    kept = [file for file in files if file.path not in names]
    notes = (f"{numbers_text(dropped)} of the folder {'goes' if dry_run else 'went'}",) if dropped else ()
    return Transfer(
        "pull", source.store.name, str(folder), source.pushed.version, current or source.pushed.version,
        len(lacking), moved, len(kept), sum(file.bytes for file in kept), dry_run=dry_run, notes=notes,
    )  # fmt: skip


def _distinct(manifest: Manifest) -> list[FileEntry]:
    return list({file.path: file for file in files_of(manifest)}.values())


def _in_the_way(source: _Source, folder: Path, newest: bool, force: bool) -> list[int]:
    name = source.store.name
    return in_the_way(folder, name, source.pointer, source.pushed, newest=newest, force=force)


def _lacking(folder: Path, manifest: Manifest, check: bool) -> list[FileEntry]:
    """Return the files that a folder does not have, or that differ from the manifest."""
    return [file for file in _distinct(manifest) if not _there(folder / file.path, file, check)]


def _there(path: Path, file: FileEntry, check: bool) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    if not stat.S_ISREG(status.st_mode) or status.st_size != file.bytes:
        return False
    # The name of a segment is its own; other files have that of a version, which histories may share.
    return (not check and file.path.startswith("segments/")) or sha256(path) == file.sha256


def _fetch(source: _Source, folder: Path, lacking: Sequence[FileEntry], progress: Progress | None) -> int:
    """Read what is lacking into `PULLING`; return the bytes that crossed the network."""
    waiting = folder / PULLING
    once = list({file.sha256: file for file in lacking}.values())
    try:
        check_inside(waiting)
        waiting.mkdir(exist_ok=True)
        needed = {file.sha256 for file in once}
        for path in waiting.iterdir():  # of a version that was pulled before, and given up
            if path.name.partition(".")[0] not in needed:
                path.unlink() if path.is_file() else shutil.rmtree(path)
        _check_room(waiting, once)
    except OSError as error:
        raise cannot_write(folder, error) from error

    def fetch(file: FileEntry) -> None:
        _fetch_file(source, waiting / file.sha256, file, meter)
        meter.file_done()

    kept = "what was moved is kept: pull again, it goes on where it stopped"
    with _pruned(source.store, source.pushed), Task(progress, "pull", unit="byte", kept=kept) as task:
        meter = Meter(once, task)
        each(once, fetch, meter.stop)
    return meter.network


def _check_room(waiting: Path, files: Sequence[FileEntry]) -> None:
    there = sum(path.lstat().st_size for path in waiting.iterdir())
    needed, free = sum(file.bytes for file in files) - there, shutil.disk_usage(waiting).free
    if needed > free:
        room = f"needs {bytes_text(needed)}, and its disk has {bytes_text(free)} left"
        raise NoRoomError(f"{waiting.parent} {room}: make room")


def _fetch_file(source: _Source, path: Path, file: FileEntry, meter: Meter) -> None:
    """Read a file; if its bytes are wrong, from its beginning again."""
    key = f"files/{file.sha256}"
    for _ in range(_TRIES):
        source.store.download(key, path, file.bytes, meter)
        if path.stat().st_size == file.bytes and sha256(path) == file.sha256:
            with path.open("rb") as whole:
                os.fsync(whole.fileno())
            return
        meter.kept(-path.stat().st_size)
        path.unlink()
    raise StoreCorruptError(
        f"{source.store.name}{key} does not have the SHA-256 of {file.path} in version "
        f"{source.pushed.version}: {ADVICE}"
    )


def _check_forgotten(source: _Source, folder: Path) -> None:
    """Refuse a version that would bring back what was erased from the folder."""
    known = forgotten.read(folder)
    if not len(known):
        return
    table = source.manifest.sources
    waiting = folder / PULLING / table.sha256
    records = read_sources(open_sources(waiting if waiting.exists() else folder / table.path))
    if count := sum(known.has(record.source) for record in records):
        shutil.rmtree(folder / PULLING, ignore_errors=True)
        raise StoreConflictError(
            f"version {source.pushed.version} of {source.store.name} holds {counted(count, 'document')} that "
            f"{'was' if count == 1 else 'were'} forgotten in {folder}: push the folder with --prune, which "
            "deletes them there, or pull into another folder"
        )


def _place(folder: Path, lacking: Sequence[FileEntry]) -> None:
    """Move files from `PULLING` to their places, durably."""
    uses: dict[str, list[FileEntry]] = {}
    for file in lacking:
        uses.setdefault(file.sha256, []).append(file)
    for name, files in uses.items():
        waiting = folder / PULLING / name
        for number, file in enumerate(files):
            target = folder / file.path
            check_folder(target.parent)
            target.parent.mkdir(exist_ok=True)
            if number + 1 < len(files):
                shutil.copyfile(waiting, vacate(target), follow_symlinks=False)
                with target.open("rb") as copied:
                    os.fsync(copied.fileno())
            else:
                waiting.replace(target)
    for parent in {(folder / file.path).parent for file in lacking}:
        fsync_folder(parent)
    for name in FOLDERS:
        fsync_folder(folder / name)


def _publish(source: _Source, folder: Path) -> None:
    """Write the manifest as it is on the object store, and make it current if it is the newest."""
    newest = becomes_current(folder, source.pushed.version)
    write_durably(manifest_path(folder, source.pushed.version), source.text.decode())
    if newest:
        write_durably(folder / "CURRENT", f"{source.pushed.version}\n")


@contextlib.contextmanager
def _pruned(store: ObjectStore, pushed: Pushed) -> Iterator[None]:
    """Turn a missing object into `_PrunedError` if its version is no longer kept, else into damage."""
    try:
        yield
    except AbsentError as error:
        if not current_pointer(store).holds(pushed.manifest):
            raise _PrunedError from None
        raise StoreCorruptError(f"{store.name}{error} is missing: {ADVICE}") from None
