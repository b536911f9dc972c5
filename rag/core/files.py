"""The files that a build sees."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

#: What the name of a file with metadata ends in, behind the whole name of the file it speaks of.
SIDECAR = ".metadata.json"
#: What a build with batch jobs keeps in the index's folder while it is under way.
BATCH_STATE = "batch.json"


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
