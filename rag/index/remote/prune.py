"""Delete old versions of an index on an object store, and the objects that no version names.

An object store has no locks. The pointer keeps a push from relying on an object that is being deleted:

1. The prune writes the pointer without the old versions, and with its own name as `Pointer.pruning`. From
   here on no reader begins to read them, and a push that read the pointer before fails its conditional write.
2. It deletes what no version in the pointer names.
3. It writes the pointer without its name.

A push that finds a name there waits. A prune that was killed leaves its name: after `LEASE_S` by the object
store's clock the next push or prune goes on, and a prune deletes nothing after `WORK_S`, unless it renews.
A reader that is under way when its version goes begins again with the current one (`rag.index.remote.pull`).
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rag.core.errors import RemoteError, StoreMissingError
from rag.index.remote.objects import ChangedError, ObjectStore
from rag.index.remote.pointer import KEY, Pointer, Read, of_versions, read_pointer, this_machine
from rag.index.remote.pull import read_version
from rag.index.storage.manifest import files_of

#: After so long a prune that did not end was killed, seconds.
LEASE_S = 120.0
#: So long a prune deletes before it renews its lease: well below `LEASE_S`, as a request may take a while.
WORK_S = 30.0
#: Keys of one deletion.
_BATCH = 500
_TRIES = 10
_OURS = re.compile(r"manifests/[0-9a-f]{64}\.json|files/[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune deleted.

    Attributes
    ----------
    versions : tuple of int
    objects : int
    gone : bool
        False if the bucket keeps earlier versions of objects, and so the content.
    """

    versions: tuple[int, ...]
    objects: int
    gone: bool = True


def prune(store: ObjectStore, keep: int = 1) -> Pruned:
    """Delete all but the newest versions, and all objects that belong to no version.

    Raises
    ------
    StoreMissingError
        There is no index.
    StoreCorruptError
        A version that is kept cannot be read; then nothing is deleted.
    RemoteError
        The object store refuses.
    """
    lease = _begin(store, keep)
    try:
        gone, objects = True, 0
        for batch in _unnamed(store, lease.pointer):
            lease.renew()
            gone = store.delete(batch) and gone
            objects += len(batch)
        store.abandon("files/")
        return Pruned(lease.dropped, objects, gone)
    finally:
        lease.end()


def free_pointer(store: ObjectStore) -> Read:
    """Read the pointer when nobody prunes.

    Raises
    ------
    RemoteError
        A prune takes too long.
    """
    until = time.monotonic() + LEASE_S + 10
    while True:
        read = read_pointer(store)
        if read.pointer is None or read.blob is None or not read.pointer.pruning:
            return read
        if read.blob.age_s > LEASE_S:
            return read
        if time.monotonic() > until:
            raise RemoteError(
                f"{store.name} is being pruned by {read.pointer.pruning.rpartition('-')[0]}: run the same "
                "again when that is done"
            )
        time.sleep(min(1.0, LEASE_S / 10))


class _Lease:
    """The right to delete, as the pointer has it."""

    def __init__(self, store: ObjectStore, pointer: Pointer, dropped: tuple[int, ...]) -> None:
        self._store, self.pointer, self.dropped = store, pointer, dropped
        self._since = time.monotonic()

    def renew(self) -> None:
        """Write the pointer again, if it is time to.

        Raises
        ------
        RemoteError
            Another process took over.
        """
        if time.monotonic() - self._since < WORK_S:
            return
        read = read_pointer(self._store)
        if read.pointer is None or read.pointer.pruning != self.pointer.pruning:
            raise RemoteError(
                f"the prune of {self._store.name} took too long, and another went on: run it again"
            )
        before = time.monotonic()
        renewed = replace(self.pointer, pruning=_name())
        try:
            self._store.write(KEY, renewed.to_json(), read.etag)
        except ChangedError:
            self.renew()
            return
        self.pointer, self._since = renewed, before

    def end(self) -> None:
        """Write the pointer without the name; if another process took over, leave it."""
        for _ in range(_TRIES):
            read = read_pointer(self._store)
            if read.pointer is None or read.pointer.pruning != self.pointer.pruning:
                return
            try:
                self._store.write(KEY, replace(read.pointer, pruning="").to_json(), read.etag)
            except ChangedError:
                continue
            return


def _begin(store: ObjectStore, keep: int) -> _Lease:
    for _ in range(_TRIES):
        read = free_pointer(store)
        if read.pointer is None:
            raise StoreMissingError(f"there is no index at {store.name}: there is nothing to prune")
        versions = read.pointer.versions
        dropped = tuple(each.version for each in versions[:-keep])
        marked = of_versions(versions[-keep:], pruning=_name())
        for _ in _named(store, marked):  # all of them can be read, before anything is decided
            pass
        try:
            store.write(KEY, marked.to_json(), read.etag)
        except ChangedError:
            if read_pointer(store).pointer != marked:  # else the reply alone was lost
                continue
        return _Lease(store, marked, dropped)
    raise RemoteError(f"others write to {store.name} all the time: prune it again")


def _name() -> str:
    return f"{this_machine()}-{secrets.token_hex(4)}"


def _named(store: ObjectStore, pointer: Pointer) -> Iterator[str]:
    """Yield the keys of the objects that the pointer's versions name."""
    for pushed in pointer.versions:
        _, manifest = read_version(store, pushed)
        yield pushed.key
        yield from (f"files/{file.sha256}" for file in files_of(manifest))


def _unnamed(store: ObjectStore, pointer: Pointer) -> Iterator[list[str]]:
    """Yield the keys of the other objects of this layout, in batches; what others put there stays."""
    named = set(_named(store, pointer))
    keys = [key for prefix in ("manifests/", "files/") for key in store.sizes(prefix)]
    doomed = [key for key in keys if key not in named and _OURS.fullmatch(key)]
    for at in range(0, len(doomed), _BATCH):
        yield doomed[at : at + _BATCH]
