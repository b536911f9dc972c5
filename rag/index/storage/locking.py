"""Writing under the lock: a folder is made, and tidied of what a killed writer left."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rag.core.errors import cannot_write
from rag.index.storage.orphans import clear_orphans
from rag.index.storage.own_files import FOLDERS, check_folder, writer_lock


@contextmanager
def locked(folder: Path, *, timeout_s: float = 0.0, makes_room: bool = False) -> Iterator[None]:
    """Hold the writer's lock, in a folder that is made if need be and has no orphans.

    Parameters
    ----------
    folder : Path
    timeout_s : float
        How long to wait for another writer.
    makes_room : bool
        The work only deletes, and must be possible on a full disk.

    Raises
    ------
    StoreLockedError
        Another process is writing.
    StoreError
        Writing is not permitted, or a link stands in place of one of the index's files.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # The lock first: from then on the folder is known as an index's, should this process be killed.
    with writer_lock(folder, timeout_s) as handle:
        with writing(folder):
            for name in FOLDERS:
                check_folder(folder / name)
                if not makes_room:
                    (folder / name).mkdir(exist_ok=True)
        with _tidied(folder, handle, makes_room):
            yield


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a full disk, or a lack of permission, into a `StoreError` of one line."""
    try:
        yield
    except OSError as error:  # Arrow and NumPy raise it too
        raise cannot_write(folder, error) from error


@contextmanager
def _tidied(folder: Path, lock: int, makes_room: bool) -> Iterator[None]:
    """Delete a killed writer's files before the work, and a failed one's after it.

    ``LOCK`` holds "writing" while a writer works; a killed writer leaves it there.
    """
    with writing(folder):
        if os.fstat(lock).st_size:
            clear_orphans(folder)
        try:
            os.pwrite(lock, b"writing\n", 0)
        except OSError:
            if not makes_room:
                raise
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            clear_orphans(folder)
            os.truncate(lock, 0)
        raise
    os.truncate(lock, 0)
