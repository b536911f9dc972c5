"""A reader's hold on a version of a local copy: the system frees it if the process dies.

Each version of a copy has a file ``leases/000003``. A reader holds a shared lock on it; what deletes versions
takes an exclusive one first, and leaves alone what it does not get. The file's time is when the version was
last opened.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LEASES = "leases"


class Lease:
    """A hold on a version, until `close` or the end of the object.

    Attributes
    ----------
    folder : Path
        The local copy, which is an index's folder.
    version : int
    """

    def __init__(self, folder: Path, version: int) -> None:
        self.folder, self.version = folder, version
        self._handle: int | None = _open(folder, version)
        fcntl.flock(self._handle, fcntl.LOCK_SH)
        os.utime(self._handle)

    def close(self) -> None:
        """Give up the hold."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def __del__(self) -> None:
        if self.__dict__.get("_handle") is not None:
            self.close()


@contextmanager
def unleased(folder: Path, version: int) -> Iterator[bool]:
    """Tell whether nobody reads a version; nobody begins to while the block runs."""
    handle = _open(folder, version)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def last_used(folder: Path, version: int) -> float:
    """Return when a version was last opened, in seconds since the epoch; 0 if it never was."""
    try:
        return (folder / LEASES / f"{version:06d}").stat().st_mtime
    except OSError:
        return 0.0


def _open(folder: Path, version: int) -> int:
    (folder / LEASES).mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(folder / LEASES / f"{version:06d}", flags, 0o666)
