"""A file of log events that could not be sent: bounded, shared by processes, and sent by the next that can.

A line is a record as it is sent, so that `rag forget` erases texts from it as from any file of records.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


class Spool:
    """Lines in a file that only its owner reads.

    Parameters
    ----------
    path : Path
    max_bytes : int
        Above it the oldest lines are dropped.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self._max = path, max_bytes

    def add(self, lines: Sequence[bytes]) -> int:
        """Append lines; return how many old ones were dropped for them.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        data = b"".join(line + b"\n" for line in lines)
        with self._locked() as handle:
            size = os.fstat(handle).st_size
            if size + len(data) <= self._max:
                os.lseek(handle, 0, os.SEEK_END)
                _write(handle, data)
                return 0
            kept = [*os.pread(handle, size, 0).splitlines(keepends=True), *data.splitlines(keepends=True)]
            total, first = sum(map(len, kept)), 0
            while first < len(kept) and total > self._max:
                total -= len(kept[first])
                first += 1
            self._replace(handle, b"".join(kept[first:]))
            return first

    def head(self, most_bytes: int) -> list[bytes]:
        """Return the first whole lines, at least one, up to a number of bytes."""
        with contextlib.suppress(FileNotFoundError), self._locked(create=False) as handle:
            data = os.pread(handle, most_bytes, 0)
            end = data.rfind(b"\n") + 1
            if data and not end:  # a line that is longer: it is taken whole
                data = os.pread(handle, os.fstat(handle).st_size, 0)
                end = data.find(b"\n") + 1 or len(data)
            return data[:end].splitlines()
        return []

    def remove(self, lines: Sequence[bytes]) -> None:
        """Remove the first lines, which were sent; if an erasure has changed them meanwhile they stay."""
        data = b"".join(line + b"\n" for line in lines)
        with contextlib.suppress(FileNotFoundError), self._locked(create=False) as handle:
            size = os.fstat(handle).st_size
            there = os.pread(handle, size, 0)
            if there.startswith(data):
                self._replace(handle, there[len(data) :])

    @contextlib.contextmanager
    def draining(self) -> Iterator[bool]:
        """Tell whether this process may send the lines: one does so at a time."""
        try:
            handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield False
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _locked(self, *, create: bool = True) -> Iterator[int]:
        """Open the file and lock it, as an erasure does that replaces it."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        while True:
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, flags, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                if self._is_current(handle):
                    yield handle
                    return
            finally:
                os.close(handle)

    def _is_current(self, handle: int) -> bool:
        try:
            return os.fstat(handle).st_ino == self.path.stat().st_ino
        except FileNotFoundError:
            return False

    def _replace(self, handle: int, data: bytes) -> None:
        """Replace the file whole, so that a crash leaves the old one or the new one."""
        fresh = self.path.with_name(f"{self.path.name}.new")
        new = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write(new, data)
        finally:
            os.close(new)
        fresh.replace(self.path)
        os.ftruncate(handle, 0)  # no copy of what was sent or dropped stays behind


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
