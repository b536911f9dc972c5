"""What a push or a pull moved, how far it is, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from rag.core.displayable import Displayable
from rag.core.drawn import drawn
from rag.core.format import bytes_text, counted, seconds_text
from rag.core.progress import Task
from rag.index.storage.manifest import FileEntry

#: Files that are moved at the same time.
PARALLEL = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class Transfer(Displayable):
    """What a push or a pull moved.

    Attributes
    ----------
    action : {"push", "pull"}
    place : str
        The URL on the object store.
    folder : str
    version : int
        The version that was asked for.
    current : int
        The version that is current where it was moved to.
    files, bytes : int
        Files that were moved, and bytes that crossed the network: of resumed ones the rest alone.
    skipped_files, skipped_bytes : int
        What was there already.
    seconds : float
    dry_run : bool
        Nothing was moved: `files` and `bytes` would be.
    pruned : tuple of int
        Versions that were deleted from the object store.
    deleted : int
        Objects that were deleted there.
    notes : tuple of str
    """

    action: str
    place: str
    folder: str
    version: int
    current: int
    files: int
    bytes: int
    skipped_files: int
    skipped_bytes: int
    seconds: float = 0.0
    dry_run: bool = False
    pruned: tuple[int, ...] = ()
    deleted: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def __str__(self) -> str:
        to = self.place if self.action == "push" else self.folder
        moved = "would be moved" if self.dry_run else "moved"
        line = (
            f"{to}: version {self.version}: {counted(self.files, 'file')}, {bytes_text(self.bytes)} {moved}; "
            f"{counted(self.skipped_files, 'file')}, {bytes_text(self.skipped_bytes)} there already"
        )
        if self.current != self.version:
            line += f"; version {self.current} is current"
        if self.pruned or self.deleted:
            line += (
                f"; {counted(len(self.pruned), 'old version')} and {counted(self.deleted, 'object')} deleted"
            )
        return drawn(line if self.dry_run else f"{line} ({seconds_text(self.seconds)})")


class Stopped(BaseException):
    """Raised in a thread of a transfer that was stopped; it is no failure."""


class Meter:
    """Adds up what the threads of a transfer move, and stops them."""

    def __init__(self, files: Sequence[FileEntry], task: Task | None = None) -> None:
        self.of, self.of_files = sum(file.bytes for file in files), len(files)
        self.bytes = self.files = self.network = 0
        self._task = task
        self._lock = threading.Lock()
        self._stopped = False

    def moved(self, count: int) -> None:
        """Count bytes that crossed the network."""
        self._add(count, count, 0)

    def kept(self, count: int) -> None:
        """Count bytes that an earlier, interrupted transfer had moved; negative if they must go again."""
        self._add(count, 0, 0)

    def file_done(self) -> None:
        """Count a file."""
        self._add(0, 0, 1)

    def stop(self) -> None:
        """Let every thread stop at its next piece."""
        self._stopped = True

    def _add(self, count: int, network: int, files: int) -> None:
        if self._stopped:
            raise Stopped
        with self._lock:
            self.bytes += count
            self.network += network
            self.files += files
            if self._task is not None:
                self._task.show(max(0, self.bytes), self.of, files=self.files)


def each(
    items: Iterable[T], work: Callable[[T], None], stop: Callable[[], None], parallel: int = PARALLEL
) -> None:
    """Call a function for each item, several at a time; the first failure, or Ctrl-C, stops them all.

    Parameters
    ----------
    items : iterable
    work : callable
    stop : callable
        Makes the calls that are under way end soon.
    parallel : int
    """
    pool = ThreadPoolExecutor(parallel, thread_name_prefix="rag-transfer")
    futures: list[Future[None]] = [pool.submit(work, item) for item in items]
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
        if not all(future.done() for future in futures):
            stop()
        pool.shutdown(cancel_futures=True)
    except BaseException:  # Ctrl-C: a thread that waits for the network stops by itself, later
        stop()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    failures = [error for future in futures if not future.cancelled() and (error := future.exception())]
    for failure in sorted(failures, key=lambda error: isinstance(error, Stopped)):
        raise failure
