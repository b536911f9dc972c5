"""What a build with batch jobs knows of itself: ``INDEX/batch.json``, written before each step."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from rag.bedrock.storage.batch_jobs import BatchSettings
from rag.core.errors import ConfigError, StoreCorruptError, UsageError, cannot_write
from rag.core.files import BATCH_STATE
from rag.index.storage.manifest import fsync_folder, write_durably, writer_lock


@dataclass(frozen=True, slots=True)
class Part:
    """One job: a file of records, and how far it is.

    Attributes
    ----------
    stem : str
        The file's name, without ``.jsonl``.
    step : {"written", "uploaded", "starting", "running", "done"}
        What has been done for it; "starting" is saved before the call that starts the job.
    attempt : int
        Counts from 1; a job that failed is started again as another one.
    failure : str
        How the attempt before failed.
    good, tokens : int
        Of the results: records that hold a vector, and the tokens they cost.
    bad : mapping of str to int
        Why others do not, and how many.
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
        """What makes AWS start the job once: its name and what it is to read."""
        return f"{self.name}-{self.sha256[:32]}"


@dataclass(frozen=True, slots=True)
class Batch:
    """A build that waits for its jobs: all that another process needs to go on.

    Attributes
    ----------
    id, created : str
        What the names of its jobs begin with, and when it was begun.
    place : str
        The working directory that relative paths are of.
    source, arguments
        What `rag.build` is called with in the end.
    settings : BatchSettings
    model : str
        The embedder's.
    texts : int
        How many were missing when it was begun.
    ledger : optional
        Settings of the ledger, as in rag.toml.
    warnings : tuple of str
        What the user should know of its cost.
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
    warnings: tuple[str, ...] = ()
    format: Literal[1] = 1

    @property
    def done(self) -> bool:
        """Whether all results have been read."""
        return all(part.step == "done" for part in self.parts)

    @property
    def notes(self) -> list[str]:
        """What the user should know of the results."""
        if not self.texts:
            return []
        if not self.parts:
            few = f"{self.texts} texts, a job takes {self.settings.min_records} at least"
            return [*self.warnings, f"batch: no job ({few}): they were embedded on demand"]
        good, sent = sum(part.good for part in self.parts), sum(part.records for part in self.parts)
        bad = sum((Counter(part.bad) for part in self.parts), Counter[str]())
        why = ", ".join(f"{count} {reason}" for reason, count in bad.most_common())
        rest = f"; left to be embedded on demand: {why}" if bad else ""
        return [*self.warnings, f"batch: {good} of {sent} records came at half price{rest}"]


def read(folder: Path) -> Batch | None:
    """Return the batch that is under way for an index, or None.

    Raises
    ------
    StoreCorruptError
        Its file cannot be read.
    """
    path = folder / BATCH_STATE
    try:
        return TypeAdapter(Batch).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StoreCorruptError(
            f"{path} cannot be read ({type(error).__name__}): look after its jobs in the Bedrock console, "
            "delete it, and build again"
        ) from None


def drop(folder: Path) -> None:
    """Forget the batch of an index; the files on S3 stay."""
    (folder / BATCH_STATE).unlink(missing_ok=True)
    shutil.rmtree(folder / "batch", ignore_errors=True)


def save(folder: Path, batch: Batch) -> None:
    """Write the state of a batch, so that it outlives whatever happens next."""
    write_durably(folder / BATCH_STATE, json.dumps(asdict(batch), indent=1))


def known(folder: Path) -> Batch:
    """Return the batch that is under way for an index.

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
    """Return arguments as JSON gives them back.

    Raises
    ------
    ConfigError
        One is an object.
    """

    def as_text(value: Any) -> str:
        if isinstance(value, Path):
            return str(value)
        raise ConfigError(
            "a batch may have to be gone on with by another process: give names or mappings of settings, not "
            f"a {type(value).__name__}"
        )

    found: dict[str, Any] = json.loads(json.dumps(arguments, default=as_text))
    return found


def placed(batch: Batch) -> Batch:
    """Return the batch with paths that hold in this process's working directory, too."""
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
    """Return a path, or the one in a mapping of settings, as seen from another folder; others as they are."""
    if isinstance(value, dict) and value.get("path"):
        return {**value, "path": str(place / value["path"])}
    # A URL, or the name of a function, is no path.
    return str(place / value) if isinstance(value, str) and ":" not in value else value


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from the batch of an index.

    Raises
    ------
    StoreLockedError
        Another process looks after it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "LOCK").touch()  # tells an index that is yet to be made from a folder of other things
        (folder / "batch").mkdir(exist_ok=True)
        fsync_folder(folder)
    except OSError as error:
        raise cannot_write(folder, error) from None
    with writer_lock(folder / "batch"):
        yield
