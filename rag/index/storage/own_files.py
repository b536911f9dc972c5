"""What stands inside an index's folder is the index's own: no links, pipes or devices, and nothing foreign.

An index may come from elsewhere, as an archive that somebody unpacked. Through a link in place of one of its
folders or files, a write or a deletion would reach files outside it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rag.core.errors import StoreCorruptError, StoreError, StoreLockedError, cannot_write

#: Folders of an index's files, each with a file or folder per version or segment.
FOLDERS = ("segments", "manifests", "sources", "removed", "documents")
#: What writers put into them; anything else there is somebody else's, and is left alone.
_NAMES = {
    "segments": re.compile(r"[0-9a-f]{16}"),
    "manifests": re.compile(r"\d{6,9}\.(json|held)(\.new)?"),
    "sources": re.compile(r"\d{6,9}(-[0-9a-f]{16})?\.arrow"),
    "removed": re.compile(r"\d{6,9}-[0-9a-f]{16}\.npy"),
    "documents": re.compile(r"\d{6,9}-[0-9a-f]{16}\.arrow"),
}
#: The embedding cache and the ledger, which stand beside them.
_STORES = re.compile(r"(cache|ledger)\.sqlite(-wal|-shm|-journal)?")
_EVERY_S = 0.02


def check_folder(path: Path) -> None:
    """Refuse a link, or anything else that is no folder, in place of one; a missing folder passes.

    Raises
    ------
    StoreCorruptError
    """
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISDIR(mode):
        what = "is a link" if stat.S_ISLNK(mode) else "is no folder"
        raise StoreCorruptError(
            f"{path} {what}: an index's folders stand inside it; put the folder itself there"
        )


def check_inside(path: Path) -> None:
    """Refuse a folder, to be written to, that holds links, special files, or files with a second name.

    Raises
    ------
    StoreCorruptError
    """
    check_folder(path)
    for inner in path.rglob("*"):
        state = inner.lstat()
        foreign = state.st_nlink > 1 if stat.S_ISREG(state.st_mode) else not stat.S_ISDIR(state.st_mode)
        if foreign:
            raise StoreCorruptError(f"{inner} is a link or no plain file: delete it, and run the same again")


def written_names(folder: Path) -> Iterator[Path]:
    """Yield what writers have put into an index's folders, by its name.

    Raises
    ------
    StoreCorruptError
        One of the folders is a link.
    """
    for name in FOLDERS:
        check_folder(folder / name)
        for path in (folder / name).iterdir() if (folder / name).is_dir() else ():
            if _NAMES[name].fullmatch(path.name):
                yield path


def is_unused(folder: Path) -> bool:
    """Whether a folder holds no more than a build that was killed before it had the lock."""
    return all(
        _STORES.fullmatch(path.name)
        or (path.name in FOLDERS and path.is_dir() and not path.is_symlink() and not any(path.iterdir()))
        for path in folder.iterdir()
    )


def vacate(path: Path) -> Path:
    """Delete what stands where a file is about to be created, so that nothing is written through a link."""
    path.unlink(missing_ok=True)
    return path


def open_lock(path: Path) -> int:
    """Open a lock's file, created if it is missing; return its descriptor.

    Raises
    ------
    StoreError
        It cannot be opened, is a link or no plain file, or has a second name (a hard link).
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise StoreError(f"{path} is a link: delete it, and run the same again") from None
        raise cannot_write(path.parent, error) from None
    state = os.fstat(handle)
    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        os.close(handle)
        what = "has a second name (a hard link)" if stat.S_ISREG(state.st_mode) else "is no plain file"
        raise StoreError(f"{path} {what}: delete it while nobody writes, and run the same again")
    return handle


@contextmanager
def writer_lock(folder: Path, timeout_s: float = 0.0) -> Iterator[int]:
    """Hold the writer's lock, and give its file's descriptor; the system frees it if the process dies.

    Parameters
    ----------
    folder : Path
    timeout_s : float
        How long to wait for another process.

    Raises
    ------
    StoreLockedError
        Another process holds it.
    StoreError
        The file cannot be used as a lock.
    """
    handle = open_lock(folder / "LOCK")
    try:
        _wait(handle, folder, timeout_s)
        yield handle
    finally:
        os.close(handle)


def _wait(handle: int, folder: Path, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                waited = f" for more than {timeout_s:g} s" if timeout_s else ""
                raise StoreLockedError(
                    f"another process is writing to {folder}{waited}: wait until it is done"
                ) from None
        except OSError as error:
            raise cannot_write(folder, error) from None
        time.sleep(_EVERY_S)


def writer_of(folder: Path) -> int | None:
    """Return the process that writes to an index, 0 where only that there is one is known, or None.

    Takes no lock that a writer would wait for, and makes no file.
    """
    try:
        handle = os.open(folder / "LOCK", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _locking(os.fstat(handle).st_ino)
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(handle)


def _locking(inode: int) -> int:
    """Return the process that Linux lists as holding a lock on a file; 0 where it lists none."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return 0
    held = (line.split() for line in lines if "FLOCK" in line)
    return next((int(row[4]) for row in held if row[5].rsplit(":", 1)[-1] == str(inode)), 0)
