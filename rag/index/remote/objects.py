"""What the index asks of an object store; `rag.bedrock.storage.s3_objects` is the one on Amazon S3.

An index lies below a prefix of a bucket::

    CURRENT.json             the versions, and which of them is current (`rag.index.remote.pointer`)
    manifests/<sha256>.json  the manifest of a version, byte for byte as in the folder
    files/<sha256>           the files that manifests name

Names of objects are hashes of their content, so an object never changes, two writers of one object write the
same bytes, and a file that is there already is not sent again. `CURRENT.json` alone is replaced, and only by
a conditional write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Tally(Protocol):
    """Counts what a transfer moves; it raises to stop the transfer."""

    def moved(self, count: int) -> None:
        """Count bytes that crossed the network."""

    def kept(self, count: int) -> None:
        """Count bytes that an earlier transfer had moved; negative for those that must be moved again."""


class AbsentError(Exception):
    """There is no object of that name (any more)."""


class ChangedError(Exception):
    """A conditional write was refused: the object is no longer the one that the writer read."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A small object as it was read.

    Attributes
    ----------
    data : bytes
    etag : str
        Names this version of the object.
    age_s : float
        Seconds since it was written, by the store's own clock.
    """

    data: bytes
    etag: str
    age_s: float = 0.0


class ObjectStore(Protocol):
    """The objects below a prefix; keys are relative to it.

    Every method raises `RemoteError`, in one line, if the store cannot be reached or refuses.
    """

    @property
    def name(self) -> str:
        """The URL, ending in ``/``, for messages."""

    @property
    def identity(self) -> str:
        """What tells this place from every other: the URL, and the address of the service."""

    def read(self, key: str, most: int) -> Blob | None:
        """Read an object of at most `most` bytes; None if there is none.

        Raises
        ------
        RemoteError
            It is longer.
        """

    def write(self, key: str, data: bytes, replaces: str | None) -> None:
        """Write an object only if it still has the ETag `replaces`, or, for None, if there is none.

        Raises
        ------
        ChangedError
            The condition does not hold; so also where an earlier attempt of this call had succeeded, but
            its reply was lost.
        """

    def check_conditions(self) -> None:
        """Make sure that the store honours the conditions of `write`.

        Raises
        ------
        RemoteError
            It ignores them, so that one writer could overwrite another's version unnoticed.
        """

    def put(self, key: str, data: bytes, sha256: str) -> None:
        """Write a small object whose SHA-256 is known; the store's copy is checked."""

    def upload(self, key: str, path: Path, size: int, sha256: str, tally: Tally) -> None:
        """Write a file as an object and check the store's copy; resumes what a killed upload began.

        Raises
        ------
        StoreCorruptError
            The file does not have this size and SHA-256.
        """

    def download(self, key: str, path: Path, size: int, tally: Tally) -> None:
        """Read an object into a file; resumes what the file holds if the object is still the same.

        The caller compares the SHA-256.

        Raises
        ------
        AbsentError
            There is no such object.
        RemoteError
            It has another size.
        """

    def holds(self, key: str, size: int, sha256: str) -> bool:
        """Read an object, and tell whether it has this size and SHA-256."""

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the size of each object whose key begins with `prefix`."""

    def delete(self, keys: Iterable[str]) -> bool:
        """Delete objects; False if the store keeps earlier versions of them all the same."""

    def abandon(self, prefix: str) -> None:
        """Give up the uploads that others began below a prefix and did not complete."""
