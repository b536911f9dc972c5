"""The state of a build by batch jobs: ``INDEX/batch.json``, written before each step."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rag.bedrock.storage.batch_parts import Part
from rag.bedrock.storage.batch_settings import BatchSettings
from rag.bedrock.storage.batch_state import StateFile
from rag.core.errors import UsageError
from rag.core.files import BATCH_STATE


@dataclass(frozen=True, slots=True)
class Batch:
    """A build that waits for its jobs: all that another process needs to resume it.

    Attributes
    ----------
    id, created : str
        The beginning of its jobs' names, and the time at which it was started.
    place : str
        The working directory, to which paths are relative.
    source, arguments
        What `rag.build` is called with at the end.
    settings : BatchSettings
    model : str
        The embedder's.
    texts : int
        How many had no vector at the start.
    ledger, prices : optional
        ``[ledger]`` and ``[prices]``, as in rag.toml.
    warnings : tuple of str
        What the user should know about its cost.
    """

    id: str
    created: str
    place: str
    source: str
    arguments: dict[str, Any]
    settings: BatchSettings
    model: str
    texts: int
    parts: tuple[Part, ...]
    ledger: Any = None
    prices: Any = None
    warnings: tuple[str, ...] = ()
    format: Literal[1] = 1

    @property
    def done(self) -> bool:
        """Whether all results have been read."""
        return all(part.step == "done" for part in self.parts)

    @property
    def notes(self) -> list[str]:
        """What the user should know about the results."""
        if not self.texts:
            return []
        if not self.parts:
            few = f"{self.texts} texts, and a job takes at least {self.settings.min_records}"
            return [*self.warnings, f"batch: no job ({few}): all were embedded on demand"]
        good, sent = sum(part.good for part in self.parts), sum(part.records for part in self.parts)
        bad = sum((Counter(part.bad) for part in self.parts), Counter[str]())
        why = ", ".join(f"{count} {reason}" for reason, count in bad.most_common())
        rest = f"; embedded on demand: {why}" if bad else ""
        return [*self.warnings, f"batch: {good} of {sent} records were embedded at half price{rest}"]


_FILE = StateFile(Batch, BATCH_STATE, "batch", "build")


def read(folder: Path) -> Batch | None:
    """Return the batch under way for an index, or None; see `StateFile.read`."""
    return _FILE.read(folder)


def drop(folder: Path) -> None:
    """Delete the state and files of an index's batch; the files on S3 stay."""
    _FILE.drop(folder)


def save(folder: Path, batch: Batch) -> None:
    """Write the state of a batch durably, before its next step."""
    _FILE.save(folder, batch)


def locked(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Lock the batch of an index against other processes; see `StateFile.locked`."""
    return _FILE.locked(folder)


def current(folder: Path) -> Batch:
    """Return the batch under way for an index.

    Raises
    ------
    UsageError
        There is none.
    """
    batch = read(folder)
    if batch is None:
        raise UsageError(f"no batch is under way for {folder}: `rag build SRC {folder} --batch` starts one")
    return batch


def relocated(batch: Batch) -> Batch:
    """Return the batch with its paths relative to this process's working directory."""
    place = Path(batch.place)
    if place == Path.cwd():
        return batch
    arguments = {**batch.arguments}
    for name in ("metadata", "cache"):
        arguments[name] = _moved(place, arguments.get(name))
    arguments = {name: value for name, value in arguments.items() if value is not None}
    return replace(
        batch, source=_moved(place, batch.source), arguments=arguments, ledger=_moved(place, batch.ledger)
    )


def _moved(place: Path, value: Any) -> Any:
    """Put a folder before a path, or before the one in a mapping of settings; leave other values alone."""
    if isinstance(value, dict) and value.get("path"):
        return {**value, "path": str(place / value["path"])}
    # A URL, or the name of a function, is no path.
    return str(place / value) if isinstance(value, str) and ":" not in value else value
