"""The records of a build: the files it sees, its plan, its report."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a build would do, found out without embedding anything.

    Attributes
    ----------
    added, changed, removed, renamed, unchanged : int
        Files, compared by content with what the index holds.
    chunks, texts, tokens : int
        To be embedded: chunks in added and changed files, less what the embedding cache holds;
        texts are these chunks and their heading paths. `tokens`, of all texts, is counted by the
        embedder where it can count, else estimated.
    cost_usd : float
        By the embedder's dated price; 0.0 for local models.
    minutes : float
        Expected, from the embedder's measured or usual speed.
    """

    source: str
    index: str
    embedder: str
    added: int
    changed: int
    removed: int
    renamed: int
    unchanged: int
    chunks: int
    texts: int
    tokens: int
    cost_usd: float
    minutes: float
    quarantined: tuple[Quarantined, ...] = ()
    rebuild: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did.

    Attributes
    ----------
    version : int
        The index's version after the build; unchanged when nothing had changed.
    files, chunks : int
        In the index now.
    embedded : int
        Texts (chunks and heading paths) that went to the embedder; the rest came from the cache.
    seconds : mapping of str to float
        By stage: ``"load"``, ``"chunk"``, ``"embed"``, ``"write"``, and ``"total"``.
    notes : tuple of str
        What the user should know, e.g. a metadata field with values of two types.
    """

    index: str
    version: int
    files: int
    chunks: int
    added: int
    changed: int
    removed: int
    renamed: int
    unchanged: int
    embedded: int
    seconds: Mapping[str, float]
    quarantined: tuple[Quarantined, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "seconds": dict(self.seconds)}
