"""The files that a build sees."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path

from rag.core.errors import UsageError

#: What the name of a file with metadata ends in, behind the whole name of the file it speaks of.
SIDECAR = ".metadata.json"
#: What a build with batch jobs keeps in the index's folder while it is under way.
BATCH_STATE = "batch.json"

# `Path("s3://bucket/x")` reads "s3:/bucket/x".
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/(/)?[^/]", re.IGNORECASE)


def is_url(index: str | Path) -> bool:
    """Whether an index is named by a URL, and not by the path of a folder.

    Raises
    ------
    UsageError
        It is a URL in a `Path`, which takes a slash away.

    Examples
    --------
    >>> is_url("s3://bucket/handbook"), is_url("indexes/handbook")
    (True, False)
    """
    found = _URL.match(str(index))
    if found is not None and (isinstance(index, Path) or found[1] is None) and not Path(index).exists():
        raise UsageError(f"{str(index)!r} is no path: give a URL as a string, s3://bucket/prefix")
    return found is not None and found[1] is not None


def local_folder(index: str | Path) -> Path:
    """Return the folder of an index that is to be written, or maintained.

    Raises
    ------
    UsageError
        It is a URL: what is there is read and replaced, but not changed in place.
    """
    if is_url(index):
        raise UsageError(
            f"{index} can be read, but not changed in place: pull it into a folder (rag pull {index} INDEX), "
            "change it there, and push it"
        )
    return Path(index)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a build sees.

    Attributes
    ----------
    source : str
        Path relative to the root, with ``/``.
    bytes : int
        Its size.
    path : Path or None
        Where it is on this machine, if it is.
    modified : datetime or None
        When it was last changed.
    etag : str
        What a store names this version of the file by; empty on this machine.
    sha256, metadata_sha256 : str
        Of the file's bytes (or its ETag), and of the metadata that stands beside it.
    problem : tuple of str
        Reason and advice, if it is known already that it cannot be read.
    """

    source: str
    bytes: int
    path: Path | None = None
    modified: dt.datetime | None = None
    etag: str = ""
    sha256: str = ""
    metadata_sha256: str = ""
    problem: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A file that could not be indexed, why, and what to do."""

    source: str
    reason: str
    advice: str
