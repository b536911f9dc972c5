"""Push a version of an index from its folder to an object store.

Files that the object store lacks go first, then the manifest, and last the pointer, by a conditional write:
if another machine pushed meanwhile, the write is refused, and the loser is told who won. If it is killed,
readers see the version before, and the next push sends only what is missing.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

from rag.core.arguments import whole
from rag.core.errors import (
    RemoteError,
    StoreCorruptError,
    StoreMissingError,
    UsageError,
    cannot_write,
)
from rag.core.progress import Progress, Task
from rag.index.remote.history import next_pointer
from rag.index.remote.known import remember
from rag.index.remote.objects import ChangedError, ObjectStore
from rag.index.remote.pointer import (
    KEY,
    Pointer,
    Pushed,
    Read,
    now,
    read_pointer,
    this_machine,
)
from rag.index.remote.prune import free_pointer, prune
from rag.index.remote.transfer import Meter, Transfer, each
from rag.index.storage.manifest import (
    LARGEST_MANIFEST,
    FileEntry,
    Manifest,
    current_version,
    files_of,
    held_versions,
    kept_versions,
    manifest_path,
    read_manifest,
    read_plain,
)

#: Others may write all the time; so often a push begins again.
_TRIES = 10


def push(
    folder: str | Path,
    store: ObjectStore,
    *,
    version: int | None = None,
    force: bool = False,
    check: bool = False,
    keep: int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Transfer:
    """Make an object store hold a version of an index, moving only what it lacks.

    Parameters
    ----------
    folder : str or Path
        The index.
    store : ObjectStore
    version : int, optional
        By default the current one. One that is older than the object store's current one is added to its
        versions, and does not become current.
    force : bool
        Replace what another writer pushed.
    check : bool
        Read what is there already, and send again what is damaged.
    keep : int, optional
        Delete all but so many of the newest versions there, and everything that belongs to no version.
    dry_run : bool
        Move and delete nothing.
    progress : Progress, optional

    Raises
    ------
    StoreMissingError
        There is no such index or version.
    StoreConflictError
        Another writer pushed a version that this folder does not have.
    StoreCorruptError
        A file of the index was altered.
    RemoteError
        The object store cannot be reached, or refuses.

    Examples
    --------
    >>> from rag.bedrock.storage.s3_objects import S3Objects
    >>> print(push("indexes/handbook", S3Objects("s3://bucket/handbook")))          # doctest: +SKIP
    s3://bucket/handbook/: version 3: 10 files, 4.8 MB moved; 0 files, 0 bytes there already (1.2 s)
    """
    started, path = time.monotonic(), Path(folder)
    if keep is not None:
        whole("keep", keep)
    manifest, text = _version(path, version)
    new = Pushed(manifest.version, hashlib.sha256(text).hexdigest(), len(text), now(), this_machine())
    done = _pushed(path, store, manifest, text, new, force, check, dry_run, progress)
    if keep is not None and not dry_run:
        pruned = prune(store, keep)
        done = replace(done, pruned=pruned.versions, deleted=pruned.objects, notes=() if pruned.gone else (
            f"{store.name} is in a bucket with versioning: what was deleted stays until a lifecycle rule "
            "or somebody deletes the objects' versions",
        ))  # fmt: skip
    return replace(done, seconds=time.monotonic() - started)


def _version(folder: Path, version: int | None) -> tuple[Manifest, bytes]:
    """Read a version's manifest, and its text."""
    current = current_version(folder)
    number = current if version is None else version
    if current is not None and number in held_versions(folder) and number not in kept_versions(folder):
        raise UsageError(f"version {number} of {folder} is held back: `rag promote` it first")
    manifest = read_manifest(folder, version)  # says it if there is no index
    try:
        text = read_plain(manifest_path(folder, manifest.version), LARGEST_MANIFEST)
    except (OSError, ValueError):
        raise StoreMissingError(f"version {manifest.version} of {folder} was pruned just now") from None
    return manifest, text


def _pushed(
    folder: Path, store: ObjectStore, manifest: Manifest, text: bytes, new: Pushed, force: bool,
    check: bool, dry_run: bool, progress: Progress | None,
) -> Transfer:  # fmt: skip
    if not dry_run:
        store.check_conditions()
    files = list({file.sha256: file for file in files_of(manifest)}.values())
    moved_files, moved_bytes, checked = 0, 0, set[str]()
    for _ in range(_TRIES):
        read = read_pointer(store) if dry_run else free_pointer(store)
        pointer = next_pointer(folder, store.name, read.pointer, new, force)
        lacking = _lacking(store, files, check, checked)
        if dry_run:
            return _report(store, folder, new, pointer, files, len(lacking), _size(lacking), dry_run=True)
        moved_bytes += _send(folder, store, manifest, lacking, progress)
        moved_files += len(lacking)
        if pointer != read.pointer:
            store.put(new.key, text, new.manifest)
            if not _swapped(store, pointer, read):
                continue
        try:
            remember(folder, store.name, new.version, new.manifest)
        except OSError as error:
            raise cannot_write(folder, error) from error
        return _report(store, folder, new, pointer, files, moved_files, moved_bytes)
    raise RemoteError(f"others write to {store.name} all the time: push again")


def _lacking(store: ObjectStore, files: list[FileEntry], check: bool, checked: set[str]) -> list[FileEntry]:
    """Return the files that the object store does not have; with `check`, also those that are damaged."""
    there = store.sizes("files/")
    lacking = [file for file in files if there.get(f"files/{file.sha256}") != file.bytes]
    if check:
        missing = {file.sha256 for file in lacking}
        unread = [file for file in files if file.sha256 not in missing | checked]
        wrong: list[FileEntry] = []

        def compare(file: FileEntry) -> None:
            if not store.holds(f"files/{file.sha256}", file.bytes, file.sha256):
                wrong.append(file)
            checked.add(file.sha256)

        each(unread, compare, lambda: None)
        lacking += wrong
    return lacking


def _send(
    folder: Path, store: ObjectStore, manifest: Manifest, lacking: list[FileEntry], progress: Progress | None
) -> int:
    def send(file: FileEntry) -> None:
        try:
            store.upload(f"files/{file.sha256}", folder / file.path, file.bytes, file.sha256, meter)
        except FileNotFoundError:
            if manifest.version not in kept_versions(folder):
                raise StoreMissingError(
                    f"version {manifest.version} of {folder} was pruned while it was pushed: push again"
                ) from None
            raise StoreCorruptError(f"{folder / file.path} is missing: see `rag verify {folder}`") from None
        meter.file_done()

    kept = "what was moved is kept: push again, it goes on where it stopped"
    with Task(progress, "push", unit="byte", kept=kept) as task:
        meter = Meter(lacking, task)
        each(lacking, send, meter.stop)
    return meter.network


def _swapped(store: ObjectStore, pointer: Pointer, read: Read) -> bool:
    """Write the pointer; False if it is no longer the one that was read."""
    try:
        store.write(KEY, pointer.to_json(), read.etag)
    except ChangedError:
        # The write may have succeeded, and its reply alone been lost.
        return read_pointer(store).pointer == pointer
    return True


def _report(
    store: ObjectStore, folder: Path, new: Pushed, pointer: Pointer, files: list[FileEntry], moved: int,
    size: int, *, dry_run: bool = False,
) -> Transfer:  # fmt: skip
    skipped = max(0, len(files) - moved)
    return Transfer(
        "push", store.name, str(folder), new.version, pointer.current, moved, size, skipped,
        max(0, _size(files) - size), dry_run=dry_run,
    )  # fmt: skip


def _size(files: list[FileEntry]) -> int:
    return sum(file.bytes for file in files)
