"""The copy of an index on Amazon S3 that a container serves, on its disk or on a file system that it shares.

`rag.index.remote.pull` moves only what the copy lacks, compares every file with the manifest's SHA-256, and
makes a version current last: neither a part of a download nor a damaged one is ever opened, a container that
is used again finds what it has, and containers that share a file system wait for each other.
"""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

from rag.core.errors import UsageError
from rag.core.format import bytes_text
from rag.index.maintenance import Store
from rag.index.remote.history import local_manifest
from rag.index.remote.objects import ObjectStore
from rag.index.remote.pointer import current_pointer
from rag.index.remote.pull import pull
from rag.index.storage.manifest import pointer

_LOG = logging.getLogger("rag.deployment")
#: Versions of a copy: a container that shares it may still read the one before.
_KEPT = 2
#: So long a container waits for another one that fetches the same index, seconds: as long as Lambda lets one.
_WAIT_S = 900.0


class IndexCopy:
    """A copy of an index on Amazon S3.

    Parameters
    ----------
    store : ObjectStore
        Where the index is.
    folder : str or Path
        The copy's folder.

    Examples
    --------
    >>> IndexCopy(object_store("s3://bucket/handbook"), "/tmp/rag/handbook").update()      # doctest: +SKIP
    True
    """

    def __init__(self, store: ObjectStore, folder: str | Path) -> None:
        self.store, self.folder = store, Path(folder)
        self._lock = threading.Lock()

    def update(self) -> bool:
        """Make the copy the current version; tell whether it was another one.

        Raises
        ------
        StoreMissingError
            There is no index.
        UsageError
            The disk has no room for it.
        RagError
            It cannot be read, or is damaged; the copy stays as it is.
        """
        with self._lock:
            there = current_pointer(self.store).newest
            here = pointer(self.folder)
            if here == there.version and local_manifest(self.folder, here) == there.manifest:
                return False
            self._check_room()
            done = pull(self.store, self.folder, force=True, check=False, timeout_s=_WAIT_S)
            _LOG.info("%s", done)
            if here is not None:
                Store(self.folder, timeout_s=_WAIT_S).prune(keep=_KEPT)
        return True

    def _check_room(self) -> None:
        """Refuse a version that the disk has no room for; first the versions before the current one go."""
        needed = pull(self.store, self.folder, force=True, check=False, dry_run=True).bytes
        if needed <= self._free() or (pointer(self.folder) is not None and self._pruned(needed)):
            return
        room = f"needs {bytes_text(needed)} in {self.folder}, which has {bytes_text(self._free())} left"
        raise UsageError(
            f"{self.store.name} {room}: give the function more ephemeral storage, or set folder in [deploy] "
            "to one of an Amazon EFS file system"
        )

    def _pruned(self, needed: int) -> bool:
        Store(self.folder, timeout_s=_WAIT_S).prune(keep=1)
        return needed <= self._free()

    def _free(self) -> int:
        folder = next(each for each in (self.folder, *self.folder.parents) if each.exists())
        return shutil.disk_usage(folder).free
