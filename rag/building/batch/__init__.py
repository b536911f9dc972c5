"""Building at half price: what has to be embedded goes to Bedrock as batch jobs, and the build waits.

    start: find the missing texts -> write them to files -> save the state
    go_on: upload -> start the jobs -> wait -> check every result -> into the embedding cache
    finish: the ordinary build, which finds its vectors in the cache

The state lies in ``INDEX/batch.json``, the files in ``INDEX/batch/``, and each step is saved before
the next begins: whoever is killed goes on where he was, and no job is started or paid for twice.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag.bedrock.runtime.faults import FAULTS
from rag.bedrock.storage import batch_jobs as aws
from rag.bedrock.storage.batch_jobs import BatchJobs, BatchSettings, JobStatus
from rag.building import build as building
from rag.building.batch import state
from rag.building.batch.results import Tell, model_of, write_parts
from rag.building.batch.running import Run, jobs_of
from rag.building.batch.state import Batch, Part
from rag.building.report import BuildReport
from rag.building.stages import Stages, compare, prepare
from rag.core import embedders
from rag.core.errors import EmbeddingError, UsageError
from rag.embedding.cache import CachedEmbeddings
from rag.usage import ledger_settings
from rag.usage.prices import BATCH_FACTOR

__all__ = ["Batch", "Part", "build", "cancel", "finish", "go_on", "start", "status"]

#: Seconds between two looks at the jobs: the first, how much longer each next one, the longest.
FIRST_S, GROWTH, LONGEST_S = 0.5, 1.5, 60.0
#: Looks in a row that may fail (each after tries of its own) before waiting is given up.
PATIENCE = 30


def _quiet(what: str, done: int, of: int) -> None:
    """Tell nobody."""


def start(
    source: str | Path,
    index: str | Path,
    *,
    batch: Mapping[str, Any] | BatchSettings,
    rebuild: bool = False,
    retry: bool = False,
    ledger: Any = None,
    tell: Tell = _quiet,
    **settings: Any,
) -> Batch:
    """Write what has to be embedded to files for batch jobs, and save how to go on; AWS is not called yet.

    Parameters
    ----------
    source, index : str or Path
    batch : mapping or BatchSettings
        See `rag.bedrock.storage.batch_jobs.BatchSettings`.
    rebuild, retry, **settings
        As `rag.build` takes them, but names and mappings only: another process may have to go on.
    ledger : optional
        Settings of the ledger and the budget (`rag.usage.ledger_settings.settings`).
    tell : callable
        Told how many texts were found.

    Returns
    -------
    Batch
        What is under way; one that had been begun before with the same arguments is returned as it is.

    Raises
    ------
    ConfigError
        The embedder has no batch jobs, bucket or role are missing, or a setting is an object.
    UsageError
        Another batch is under way for this index.
    BudgetError
        It would cost more than may be spent.
    """
    chosen = aws.required(batch if isinstance(batch, BatchSettings) else aws.settings(batch))
    own = settings.get("embedder")
    if not chosen.region and isinstance(own, Mapping) and own.get("region"):
        chosen = replace(chosen, region=str(own["region"]))
    folder = Path(index)
    arguments = state.plain({"rebuild": rebuild, "retry": retry, **settings})

    def ready() -> Stages:
        found = prepare(source, index, rebuild=rebuild, settings=settings)
        model_of(found.embedder)
        return found

    # What is wrong is refused before anything is made.
    stages = ready() if state.read(folder) is None else None
    with state.locked(folder):
        begun = _begun(folder, str(source), arguments, chosen)
        if begun is None:
            begun = _planned(stages or ready(), str(source), arguments, chosen, ledger, tell)
        state.save(folder, begun)
    return begun


def go_on(
    index: str | Path,
    *,
    wait: bool = True,
    tell: Tell = _quiet,
    jobs: BatchJobs | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Start the jobs that are to be started, wait for them, and put their vectors into the cache.

    Parameters
    ----------
    wait : bool
        Whether to wait for the jobs; else what is done by now is read, and no more.
    tell : callable
        Told how far the jobs are.
    jobs : BatchJobs, optional
        By default those of the batch's bucket and region.
    sleep : callable
        What waits.

    Returns
    -------
    bool
        Whether everything has been read, so that it is time for `finish`.

    Raises
    ------
    EmbeddingError
        A job failed, and why: going on again starts it anew, with the records that are still missing.
    UsageError
        No batch is under way.
    """
    folder = Path(index)
    state.known(folder)
    with state.locked(folder), contextlib.closing(Run(folder, tell, jobs)) as run:
        pause, failures = FIRST_S, 0
        while True:
            try:
                run.step()
                failures = 0
            except EmbeddingError as error:
                # While it waits, perhaps for a day, the network may come and go.
                fault = FAULTS.get(aws.fault_code(error))
                failures += 1
                if not wait or fault is None or fault.again == "no" or failures > PATIENCE:
                    raise
            if run.batch.done or not wait:
                return run.batch.done
            sleep(pause)
            pause = min(pause * GROWTH, LONGEST_S)


def finish(index: str | Path, *, progress: building.Progress | None = None) -> BuildReport:
    """Build the index: vectors come from the cache, and what is still missing is embedded on demand.

    Raises
    ------
    UsageError
        No batch is under way.
    """
    folder = Path(index)
    state.known(folder)
    with state.locked(folder):
        batch = state.placed(state.known(folder))
        given = batch.arguments if batch.ledger is None else {**batch.arguments, "ledger": batch.ledger}
        report = building.run(batch.source, folder, progress=progress, **given)
        state.drop(folder)
    return replace(report, notes=(*report.notes, *batch.notes))


def build(
    source: str | Path, index: str | Path, *, batch: Mapping[str, Any] | BatchSettings, **settings: Any
) -> BuildReport:
    """Build an index with batch jobs, waiting for them; arguments are those of `start`.

    Examples
    --------
    >>> settings = {"s3": "s3://documents/batch", "role_arn": "arn:aws:iam::123456789012:role/rag-batch"}
    >>> build("data/handbook", "indexes/handbook", embedder="titan", batch=settings)  # doctest: +SKIP
    """
    start(source, index, batch=batch, **settings)
    go_on(index)
    return finish(index)


def status(index: str | Path, *, jobs: BatchJobs | None = None) -> list[tuple[Part, JobStatus]]:
    """Return each job with its status, whose name is empty where the job has not been started.

    Raises
    ------
    UsageError
        No batch is under way.
    """
    batch = state.known(Path(index))
    jobs = jobs or jobs_of(batch)
    return [(part, jobs.status(part.arn) if part.arn else JobStatus("")) for part in batch.parts]


def cancel(
    index: str | Path, *, jobs: BatchJobs | None = None, sleep: Callable[[float], None] = time.sleep
) -> Batch:
    """Stop the jobs, put what they have done so far into the cache, and forget the batch.

    Returns
    -------
    Batch
        As it was at its end.

    Raises
    ------
    UsageError
        No batch is under way.
    """
    folder = Path(index)
    state.known(folder)
    with state.locked(folder), contextlib.closing(Run(folder, _quiet, jobs)) as run:
        run.stop()
        pause = FIRST_S
        while not run.stopped():
            sleep(pause)
            pause = min(pause * GROWTH, LONGEST_S)
        state.drop(folder)
        return run.batch


def _begun(folder: Path, source: str, arguments: Mapping[str, Any], chosen: BatchSettings) -> Batch | None:
    """Return the batch that is under way, if it is of the same build; with another role, if one is given."""
    begun = state.read(folder)
    if begun is None:
        return None
    if (begun.source, begun.arguments, begun.settings.s3) != (source, arguments, chosen.s3):
        raise UsageError(
            f"{folder} has a batch of {begun.created} under way, of {begun.source} or other settings: "
            f"`rag batch resume {folder}` goes on with it, `rag batch cancel {folder}` drops it"
        )
    return replace(begun, settings=chosen)


def _planned(
    stages: Stages, source: str, arguments: dict[str, Any], chosen: BatchSettings, ledger: Any, tell: Tell
) -> Batch:
    """Write the missing texts to files, and see what they may cost."""
    number, tokens, model = secrets.token_hex(6), 0, model_of(stages.embedder)
    count = embedders.token_counter(stages.embedder) or stages.estimate

    def texts() -> Iterator[str]:
        nonlocal tokens
        for fresh in _missing(stages, retry=bool(arguments["retry"])):
            tokens += sum(count(fresh))
            yield from fresh

    try:
        found, parts = write_parts(
            stages.folder / "batch", f"rag-{number}", texts(), stages.embedder, chosen, tell
        )
        meter = ledger_settings.settings(ledger).meter(stages.folder)
        usd = meter.prices.estimate_usd(model, tokens)
        half = None if usd is None else usd * BATCH_FACTOR
        warning = meter.before(model, usd=half) if parts else None
    except BaseException:
        state.drop(stages.folder)  # half of the files are of no use to anybody
        raise
    return Batch(
        number, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), str(Path.cwd()), source, arguments,
        chosen, model, found, tuple(parts), state.plain({"ledger": ledger})["ledger"],
        (warning,) if warning else (),
    )  # fmt: skip


def _missing(stages: Stages, *, retry: bool) -> Iterator[list[str]]:
    """Yield the texts whose vectors are missing; what was fetched of the source stays for the build."""
    change = compare(stages, stages.previous, retry=retry)
    stages.loader.keep_in(stages.folder / "downloads")
    with contextlib.closing(CachedEmbeddings(stages.embedder, stages.cache)) as cache:
        try:
            for fresh, _ in building.texts_to_embed(stages, change, cache):
                yield fresh
        finally:
            stages.loader.close(done=False)
