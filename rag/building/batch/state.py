"""The state of a build by batch jobs: ``INDEX/batch.json``, written before each step."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from rag.bedrock.storage.batch_settings import BatchSettings
from rag.core.errors import ConfigError, StoreCorruptError, UsageError, cannot_write
from rag.core.files import BATCH_STATE
from rag.index.storage.manifest import fsync_folder, read_plain, write_durably
from rag.index.storage.own_files import check_inside, open_lock, writer_lock


@dataclass(frozen=True, slots=True)
class Part:
    """One job: its file of records, and its progress.

    Attributes
    ----------
    stem : str
        The file's name, without ``.jsonl``.
    step : {"written", "uploaded", "starting", "running", "done"}
        The last step that was done; "starting" is saved before the call that starts the job.
    attempt : int
        From 1; a job that failed is started again under another name.
    failure : str
        How the previous attempt failed.
    good, tokens : int
        Results that hold a vector, and the tokens they cost.
    bad : dict of str to int
        The number of other results, by what is wrong with them.
    """

    stem: str
    records: int
    sha256: str
    step: Literal["written", "uploaded", "starting", "running", "done"] = "written"
    attempt: int = 1
    arn: str = ""
    failure: str = ""
    good: int = 0
    tokens: int = 0
    bad: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The job's name."""
        return f"{self.stem}-{self.attempt}"

    @property
    def token(self) -> str:
        """The client token, which makes AWS start the job only once: its name and its file's hash."""
        return f"{self.name}-{self.sha256[:32]}"


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


_ADAPTER = TypeAdapter(Batch)
_LARGEST_STATE = 64 << 20


def read(folder: Path) -> Batch | None:
    """Return the batch under way for an index, or None.

    Raises
    ------
    StoreCorruptError
        Its file cannot be read.
    """
    path = folder / BATCH_STATE
    try:
        return _ADAPTER.validate_json(read_plain(path, _LARGEST_STATE))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreCorruptError(
            f"{path} cannot be read ({type(error).__name__}): stop its jobs in the Bedrock console, delete "
            "the file, and build again"
        ) from None


def drop(folder: Path) -> None:
    """Delete the state and files of an index's batch; the files on S3 stay."""
    (folder / BATCH_STATE).unlink(missing_ok=True)
    shutil.rmtree(folder / "batch", ignore_errors=True)


def save(folder: Path, batch: Batch) -> None:
    """Write the state of a batch durably, before its next step."""
    write_durably(folder / BATCH_STATE, _ADAPTER.dump_json(batch, indent=1).decode())


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


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the batch of an index against other processes.

    Raises
    ------
    StoreLockedError
        Another process holds the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(open_lock(folder / "LOCK"))  # marks the folder as an index's before there is a version
        check_inside(folder / "batch")
        (folder / "batch").mkdir(exist_ok=True)
        fsync_folder(folder)
    except OSError as error:
        raise cannot_write(folder, error) from None
    with writer_lock(folder / "batch"):
        yield
