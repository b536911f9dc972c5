"""The state of a batch in an index's folder: a JSON file, written before each step, and a work folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from rag.core.errors import ConfigError, StoreCorruptError, cannot_write
from rag.index.storage.manifest import fsync_folder, read_plain, write_durably
from rag.index.storage.own_files import check_inside, open_lock, writer_lock

T = TypeVar("T")
_LARGEST_STATE = 64 << 20


class StateFile(Generic[T]):
    """The state of one kind of batch.

    Parameters
    ----------
    kind : type
        A dataclass.
    name : str
        Of the file, in the index's folder.
    work : str
        Of the folder for the batch's files, there, too.
    again : str
        What begins such a batch anew, for the error about a damaged file.
    private : bool
        Whether only this user may read the file and the folder.
    """

    def __init__(self, kind: type[T], name: str, work: str, again: str, *, private: bool = False) -> None:
        self._adapter = TypeAdapter(kind)
        self.name, self.work = name, work
        self._again, self._private = again, private

    def read(self, folder: Path) -> T | None:
        """Return the batch under way for an index, or None.

        Raises
        ------
        StoreCorruptError
            Its file cannot be read.
        """
        path = folder / self.name
        try:
            return self._adapter.validate_json(read_plain(path, _LARGEST_STATE))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise StoreCorruptError(
                f"{path} cannot be read ({type(error).__name__}): stop its jobs in the Bedrock console, "
                f"delete the file, and {self._again} again"
            ) from None

    def save(self, folder: Path, batch: T) -> None:
        """Write the state of a batch durably, before its next step."""
        text = self._adapter.dump_json(batch, indent=1).decode()
        write_durably(folder / self.name, text, private=self._private)

    def drop(self, folder: Path) -> None:
        """Delete the state and files of an index's batch; the files on S3 stay."""
        (folder / self.name).unlink(missing_ok=True)
        shutil.rmtree(folder / self.work, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        """Lock the batch of an index against other processes.

        Raises
        ------
        StoreLockedError
            Another process holds the lock.
        """
        work = folder / self.work
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.close(open_lock(folder / "LOCK"))  # marks the folder as an index's before there is a version
            check_inside(work)
            work.mkdir(exist_ok=True)
            if self._private:
                work.chmod(0o700)
            fsync_folder(folder)
        except OSError as error:
            raise cannot_write(folder, error) from None
        with writer_lock(work):
            yield


def plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as they come back from JSON.

    Raises
    ------
    ConfigError
        One is an object that JSON cannot hold.
    """

    def as_text(value: Any) -> str:
        if isinstance(value, Path):
            return str(value)
        raise ConfigError(
            "batch settings must be serialisable, so that another process can resume: pass names or "
            f"mappings, not a {type(value).__name__}"
        )

    values: dict[str, Any] = json.loads(json.dumps(arguments, default=as_text))
    return values
