"""Which versions a folder and an object store have in common: either goes forward only, but by force.

A folder may follow an object store if its current version is one of those there, or the one that both last
had in common (`rag.index.remote.known`); and the other way round. Else each has versions that the other
lacks, and to go on would lose them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from rag.core.errors import RemoteError, StoreConflictError
from rag.index.remote.known import remotes
from rag.index.remote.pointer import MOST_VERSIONS, Pointer, Pushed, of_versions
from rag.index.storage.manifest import (
    LARGEST_MANIFEST,
    fsync_folder,
    kept_versions,
    manifest_path,
    pointer,
    read_plain,
    write_durably,
)


def local_manifest(folder: Path, version: int) -> str:
    """Return the SHA-256 of the manifest of a folder's version; empty if it cannot be read."""
    try:
        text = read_plain(manifest_path(folder, version), LARGEST_MANIFEST)
    except (OSError, ValueError):
        return ""
    return hashlib.sha256(text).hexdigest()


def next_pointer(folder: Path, name: str, before: Pointer | None, new: Pushed, force: bool) -> Pointer:
    """Return the pointer with a version of the folder; the one before, if it has the version already.

    Parameters
    ----------
    folder : Path
    name : str
        The object store's URL.
    before : Pointer or None
        What is there.
    new : Pushed
    force : bool
        Drop what is in the way.

    Raises
    ------
    StoreConflictError
        The version that is current there is another writer's.
    RemoteError
        There are too many versions.
    """
    if before is None:
        return of_versions([new])
    there = before.find(new.version)
    if there is not None and there.manifest == new.manifest:
        return of_versions(before.versions)
    texts = {local_manifest(folder, version) for version in kept_versions(folder)}
    seen, newest = remotes(folder).get(name), before.newest
    forward = newest.manifest in texts or (seen is not None and seen.manifest == newest.manifest)
    if not forward and not force:
        raise StoreConflictError(
            f"{name} is at {newest}, which {folder} does not have: pull it into another folder and "
            "build there, or give --force to replace it"
        )
    if len(before.versions) >= MOST_VERSIONS:
        raise RemoteError(f"{name} holds {MOST_VERSIONS} versions: add --prune")
    if forward:
        return before.adding(new)
    return of_versions([*(each for each in before.versions if each.version < new.version), new])


def in_the_way(
    folder: Path, name: str, there: Pointer, pushed: Pushed, *, newest: bool, force: bool
) -> list[int]:
    """Return the folder's versions that must go for a version of the object store.

    Parameters
    ----------
    folder : Path
    name : str
        The object store's URL.
    there : Pointer
    pushed : Pushed
        The version that is pulled.
    newest : bool
        Whether it is to be current.
    force : bool
        Drop what nobody else may have.

    Raises
    ------
    StoreConflictError
        The folder has a version of its own that would be lost.
    """
    current = pointer(folder)
    if current is None:
        return []
    texts = {version: local_manifest(folder, version) for version in kept_versions(folder)}
    seen, last, number = remotes(folder).get(name), texts.get(current, ""), pushed.version
    forward = there.holds(last) or (seen is not None and seen.manifest == last)
    clash = texts.get(number, pushed.manifest) != pushed.manifest
    if not force and (clash or not forward):
        raise StoreConflictError(
            f"{folder} has a version {number if clash else current} of its own, which {name} does not have: "
            "push it, pull into another folder, or give --force to lose it"
        )
    if not forward:
        return [version for version, text in texts.items() if not there.holds(text)]
    # The object store went back to an older one: what came after it was pushed, and dropped there.
    later = [version for version in texts if newest and version > number]
    return sorted({*later, *([number] if clash else [])})


def drop(folder: Path, versions: Sequence[int]) -> None:
    """Delete versions; the newest of the others, if there is one, is current from then on."""
    if not versions:
        return
    remaining = [version for version in kept_versions(folder) if version not in versions]
    if not remaining:
        (folder / "CURRENT").unlink(missing_ok=True)
    elif pointer(folder) in versions:
        write_durably(folder / "CURRENT", f"{max(remaining)}\n")
    for version in versions:
        manifest_path(folder, version).unlink(missing_ok=True)
    fsync_folder(folder / "manifests")


def becomes_current(folder: Path, version: int, dropped: Sequence[int] = ()) -> bool:
    """Whether a version that is pulled becomes the current one: it is the newest."""
    current = pointer(folder)
    return current is None or current in dropped or version > current
