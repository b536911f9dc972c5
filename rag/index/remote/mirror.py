"""Local copies of indexes on object stores, which `Index.open` opens; several processes share them.

The cache holds a folder for each place, which is an index's folder with the versions that were opened. A new
version moves only the files that the copy lacks. What takes more than the cache may hold, or than its disk
has room for, is deleted, the versions first that were not opened for longest, but none that a reader holds
(`rag.index.remote.lease`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rag.core.errors import RagError, StoreCorruptError, StoreError, StoreLockedError, cannot_write
from rag.core.progress import Progress
from rag.index.remote.history import drop, local_manifest
from rag.index.remote.lease import LEASES, Lease, last_used, unleased
from rag.index.remote.objects import ObjectStore
from rag.index.remote.pointer import Pointer, Pushed, current_pointer, wanted
from rag.index.remote.pull import PULLING, pull
from rag.index.storage.manifest import kept_versions, read_manifest
from rag.index.storage.orphans import clear_orphans
from rag.index.storage.own_files import FOLDERS, open_lock, writer_lock

#: So long an opener waits for another process that fetches the same index, seconds.
_WAIT_S = 900.0
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Cache:
    """The folder of local copies, and the most bytes of them all."""

    folder: Path
    most_bytes: int

    def copies(self) -> list[Path]:
        """Return the folders of the copies."""
        try:
            return sorted(path for path in self.folder.iterdir() if (path / LEASES).is_dir())
        except OSError:
            return []

    def bytes(self) -> int:
        """Return the size of all copies, but for caches and ledgers that stand beside them."""
        return sum(_bytes(copy) for copy in self.copies())

    def make_room(self, needed: int = 0) -> None:
        """Delete what was not opened for longest until so many bytes fit in, but nothing that is read.

        They fit in if the copies then take no more than they may, and the disk has room for them.
        """
        over = max(self.bytes() + needed - self.most_bytes, needed - self._free())
        for _, copy, version in sorted(self._versions()) if over > 0 else ():
            before = _bytes(copy)
            _evict(copy, version)
            over += _bytes(copy) - before
            if over <= 0:
                return

    def _free(self) -> int:
        folder = next(each for each in (self.folder, *self.folder.parents) if each.exists())
        return shutil.disk_usage(folder).free

    def _versions(self) -> Iterator[tuple[float, Path, int]]:
        """Yield each version with the time of its last use; 0 stands for what a killed pull left."""
        for copy in self.copies():
            yield 0.0, copy, 0
            for version in kept_versions(copy):
                yield last_used(copy, version), copy, version


class Mirror:
    """The local copy of one place.

    Parameters
    ----------
    store : ObjectStore
    cache : Cache
    """

    def __init__(self, store: ObjectStore, cache: Cache) -> None:
        self.store, self.cache = store, cache
        words = re.sub(r"[^A-Za-z0-9]+", "-", store.name.split("://")[-1]).strip("-")[-60:]
        self.folder = cache.folder / f"{words}-{hashlib.sha256(store.identity.encode()).hexdigest()[:16]}"

    def current(self) -> int:
        """Return the number of the object store's current version.

        Raises
        ------
        StoreMissingError
            There is no index.
        RemoteError
            The object store cannot be read.
        """
        return current_pointer(self.store).current

    def hold(self, version: int | None = None, progress: Progress | None = None) -> Lease:
        """Return a hold on a version, by default the current one; fetches it unless it is there.

        Raises
        ------
        StoreMissingError
            There is no such index or version.
        StoreError
            It cannot be fetched, is damaged, or the cache cannot be written.
        """
        try:
            for _ in range(_TRIES):
                there = current_pointer(self.store)
                pushed = wanted(self.store, there, version)
                lease = Lease(self.folder, pushed.version)
                if not self._has(pushed):
                    self._fetch(version, progress)
                self._follow(there)
                if self._has(pushed):
                    return lease
                lease.close()  # pruned on the object store meanwhile
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        raise StoreError(f"{self.store.name} changes all the time: open it again")

    def _has(self, pushed: Pushed) -> bool:
        """Whether the copy has all files of a version; their hashes were compared when they came."""
        if local_manifest(self.folder, pushed.version) != pushed.manifest:
            return False
        try:
            read_manifest(self.folder, pushed.version)
        except StoreCorruptError:
            return False
        return True

    def _fetch(self, version: int | None, progress: Progress | None) -> None:
        os.close(open_lock(self.folder / "LOCK"))  # by which a folder is known as an index's
        planned = pull(self.store, self.folder, version=version, force=True, check=False, dry_run=True)
        self.cache.make_room(planned.bytes)
        pull(
            self.store, self.folder, version=version, force=True, check=False, progress=progress,
            timeout_s=_WAIT_S,
        )  # fmt: skip

    def _follow(self, there: Pointer) -> None:
        """Delete versions that the object store no longer has, unless readers hold them."""
        gone = [
            number for number in kept_versions(self.folder)
            if not there.holds(local_manifest(self.folder, number))
        ]  # fmt: skip
        for number in gone:
            _evict(self.folder, number)


def _evict(copy: Path, version: int) -> None:
    """Delete a version of a copy, with the files that only it used, unless somebody reads or writes it."""
    try:
        with writer_lock(copy), unleased(copy, version) as free:
            if free:
                _delete(copy, version)
    except (StoreLockedError, OSError):
        return
    except RagError:  # a link, or the like: nothing of ours
        return


def _delete(copy: Path, version: int) -> None:
    if not version:
        shutil.rmtree(copy / PULLING, ignore_errors=True)
        return
    drop(copy, [version])
    clear_orphans(copy)


def _bytes(copy: Path) -> int:
    """Return the size of a copy's files, and of what is on its way."""
    total = 0
    for name in (*FOLDERS, PULLING):
        for path in (copy / name).rglob("*"):
            try:
                state = path.lstat()
            except OSError:
                continue
            total += state.st_size
    return total
