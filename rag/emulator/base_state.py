"""The knowledge bases that an emulator holds: their settings, what is ingested, and the jobs."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rag.emulator.vector_buckets import VectorBuckets
from rag.emulator.wire import Reply, Request

if TYPE_CHECKING:
    from rag.index.storage.chunk import Chunk

#: Final statuses of a job.
ENDED = ("COMPLETE", "FAILED", "STOPPED")


@dataclass(frozen=True, slots=True)
class Ingested:
    """A document that is ingested: what tells whether it has changed, its attributes and its chunks."""

    content: str
    sidecar: str | None
    attributes: Mapping[str, Any]
    chunks: list[Chunk]


@dataclass(eq=False)
class Job:
    """An ingestion job."""

    id: str
    status: str = "STARTING"
    started: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    statistics: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in ENDED


@dataclass(eq=False)
class Source:
    """A data source, what of it is ingested, and its jobs."""

    id: str
    params: Mapping[str, Any]
    created: float = field(default_factory=time.time)
    ingested: dict[str, Ingested] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)


@dataclass(eq=False)
class Base:
    """A knowledge base."""

    id: str
    params: Mapping[str, Any]
    region: str
    created: float = field(default_factory=time.time)
    sources: dict[str, Source] = field(default_factory=dict)


@dataclass(eq=False)
class KnowledgeBases:
    """The knowledge bases that were created here, and how their ingestion fails.

    Attributes
    ----------
    fail : str
        Message with which ingestion jobs fail; empty for no failure.
    """

    fail: str = ""
    known: dict[str, Base] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _number: int = 0
    _replies: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _folder: Path | None = None

    def new_id(self, letters: str) -> str:
        """Return an id of ten characters."""
        with self.lock:
            self._number += 1
            return f"{letters}{self._number:0{10 - len(letters)}d}"

    def once(self, request: Request, make: Callable[[], Mapping[str, Any]]) -> Reply:
        """Answer a request; one with the clientToken of an earlier one is answered alike."""
        token = request.params.get("clientToken")
        with self.lock:
            key = f"{request.operation} {token}"
            if token is None or key not in self._replies:
                self._replies[key] = make()
            return Reply(self._replies[key])

    def folder(self, base: str) -> Path:
        """Return the folder of a knowledge base's index."""
        with self.lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="rag-emulator-"))
            return self._folder / base

    def close(self) -> None:
        """Delete the indexes."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class Agents(Protocol):
    """The state of an emulator that these operations use."""

    knowledge_bases: dict[str, str | Path]

    @property
    def s3_endpoint(self) -> str | None:
        """Where documents are read."""

    @property
    def buckets(self) -> Mapping[str, Path]:
        """Folders that stand for buckets."""

    @property
    def bases(self) -> KnowledgeBases:
        """The knowledge bases that were created here."""

    @property
    def vector_buckets(self) -> VectorBuckets:
        """Those of S3 Vectors."""

    @property
    def job_s(self) -> float:
        """Seconds that a job is in progress, and that a knowledge base takes to become active."""
