"""A file of records that only grows; a killed process loses at most the record that it was writing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rag.core.errors import StoreCorruptError, cannot_write


class Journal:
    r"""Records by key, each a line ``KEY\tJSON``, which only this user may read.

    Parameters
    ----------
    path : Path
        Created if it is missing.

    Raises
    ------
    StoreError
        The file cannot be written.
    StoreCorruptError
        It is a link, or a line of it is no record.

    Examples
    --------
    >>> with Journal(Path("indexes/handbook/answers/replies")) as replies:     # doctest: +SKIP
    ...     replies.append("Q0000000001", {"text": "28 days"})
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = os.fdopen(os.open(path, flags, 0o600), "r+b")
            self._scan()
        except OSError as error:
            raise cannot_write(path.parent, error) from None

    def _scan(self) -> None:
        place = 0
        for line in self._file:
            if not line.endswith(b"\n"):  # its process was killed while it wrote
                break
            key, tab, _ = line.partition(b"\t")
            if not tab:
                raise self._damaged()
            self._places[key.decode("ascii", "replace")] = place
            place += len(line)
        self._file.truncate(place)
        self._file.seek(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        """Yield the keys, in the order in which they were added."""
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return a record.

        Raises
        ------
        KeyError
            There is none.
        StoreCorruptError
            It is damaged.
        """
        self._file.seek(self._places[key])
        line = self._file.readline()
        try:
            value = json.loads(line.partition(b"\t")[2])
        except ValueError:
            raise self._damaged() from None
        if not isinstance(value, dict):
            raise self._damaged()
        return value

    def append(self, key: str, value: dict[str, Any]) -> None:
        """Add a record; a killed process does not lose it, a power failure may before `sync`."""
        line = f"{key}\t{json.dumps(value, default=str)}\n".encode()
        try:
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise cannot_write(self.path.parent, error) from None
        self._places[key] = place

    def sync(self) -> None:
        """Wait until all records are on the disk."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self.path.parent, error) from None

    def _damaged(self) -> StoreCorruptError:
        return StoreCorruptError(
            f"{self.path} is damaged: stop the batch's jobs in the Bedrock console, delete "
            f"{self.path.parent}, and ask again"
        )
