"""Build at half price: Bedrock embeds the missing texts in batch jobs, and the build waits for them.

    start:  list the missing texts -> write them to files -> save the state
    resume: upload -> start the jobs -> wait -> check every result -> into the embedding cache
    finish: the ordinary build, whose vectors are in the cache

The state is in ``INDEX/batch.json``, the files are in ``INDEX/batch/``, and each step is saved before
the next begins: a killed process is resumed where it stopped, and no job is started or paid for twice.
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

from rag.bedrock.storage import batch_settings
from rag.bedrock.storage.batch_jobs import BatchJobs, JobStatus
from rag.bedrock.storage.batch_parts import Part
from rag.bedrock.storage.batch_run import GOES_ON, advance, halt
from rag.bedrock.storage.batch_settings import BatchSettings
from rag.bedrock.storage.batch_state import plain
from rag.building.batch import state
from rag.building.batch.results import model_of, write_parts
from rag.building.batch.running import Run, jobs_of
from rag.building.batch.state import Batch
from rag.building.build import carry_out
from rag.building.report import BuildReport
from rag.building.stages import Stages, prepare
from rag.building.texts import missing_texts, token_counter
from rag.core.errors import UsageError
from rag.core.progress import Progress, Task
from rag.embedding.cache import CachedEmbeddings
from rag.index.storage.own_files import check_inside
from rag.usage.meter import Meter
from rag.usage.prices import BATCH_FACTOR

__all__ = ["Batch", "Part", "build", "cancel", "finish", "resume", "start", "status"]


def start(
    source: str | Path,
    index: str | Path,
    *,
    batch: Mapping[str, Any] | BatchSettings,
    rebuild: bool = False,
    retry: bool = False,
    ledger: Any = None,
    prices: Any = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Batch:
    """Write the missing texts to files for batch jobs, and save the state; AWS is not called yet.

    Parameters
    ----------
    source, index : str or Path
    batch : mapping or BatchSettings
        See `rag.bedrock.storage.batch_settings.BatchSettings`.
    rebuild, retry, **settings
        As for `rag.build`, but names and mappings only, so that another process can resume.
    ledger, prices : mapping, optional
        As for `rag.build`: where the jobs' costs are recorded, the budget, and the models' prices.
    progress : Progress, optional
        As for `rag.build`.

    Returns
    -------
    Batch
        The batch under way; one that was started before with the same arguments is continued.

    Raises
    ------
    ConfigError
        The embedder has no batch jobs, bucket or role are missing, or a setting is an object.
    UsageError
        Another batch is under way for this index.
    BudgetError
        The jobs could pass the budget.
    """
    chosen = batch_settings.required(batch_settings.settings(batch))
    embedder = settings.get("embedder")
    if not chosen.region and isinstance(embedder, Mapping) and embedder.get("region"):
        chosen = chosen.model_copy(update={"region": str(embedder["region"])})
    folder = Path(index)
    arguments = plain({"rebuild": rebuild, "retry": retry, **settings})
    money = plain({"ledger": ledger, "prices": prices})

    def prepared() -> Stages:
        stages = prepare(source, index, rebuild=rebuild, settings={**settings, **money})
        model_of(stages.embedder)
        return stages

    # Mistakes are refused before any file is written.
    stages = prepared() if state.read(folder) is None else None
    with state.locked(folder):
        under_way = _under_way(folder, str(source), arguments, chosen)
        if under_way is None:
            with Task(progress, "batch") as task:
                under_way = _planned(
                    stages or prepared(), str(source), arguments, chosen, money["ledger"], money["prices"],
                    task,
                )  # fmt: skip
        state.save(folder, under_way)
    return under_way


def resume(
    index: str | Path,
    *,
    wait: bool = True,
    progress: Progress | None = None,
    jobs: BatchJobs | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Start the jobs that have not been started, wait for them, and put their vectors into the cache.

    Parameters
    ----------
    wait : bool
        Whether to wait until the jobs end; otherwise only the results of those that have ended are read.
    progress : Progress, optional
        As for `rag.build`; what the jobs do is its ``detail``.
    jobs : BatchJobs, optional
        By default those of the batch's bucket and region.
    sleep : callable
        Waits so many seconds.

    Returns
    -------
    bool
        Whether all results have been read, so that `finish` can follow.

    Raises
    ------
    EmbeddingError
        A job failed. Resuming starts it again with the records that are still missing.
    UsageError
        No batch is under way.
    """
    folder = Path(index)
    state.current(folder)
    with (
        state.locked(folder), Task(progress, "batch", unit="record", kept=GOES_ON) as task,
        contextlib.closing(Run(folder, task, jobs)) as run,
    ):  # fmt: skip
        return advance(run, wait=wait, sleep=sleep)


def finish(index: str | Path, *, progress: Progress | None = None) -> BuildReport:
    """Build the index: vectors come from the cache, and texts still missing are embedded on demand.

    Raises
    ------
    UsageError
        No batch is under way.
    """
    folder = Path(index)
    state.current(folder)
    with state.locked(folder):
        batch = state.relocated(state.current(folder))
        settings = {**batch.arguments, "ledger": batch.ledger, "prices": batch.prices}
        rebuild, retry = bool(settings.pop("rebuild", False)), bool(settings.pop("retry", False))
        stages = prepare(batch.source, folder, rebuild=rebuild, settings=settings, allow_batch=True)
        report = carry_out(stages, retry=retry, progress=progress)
        state.drop(folder)
    return replace(report, notes=(*report.notes, *batch.notes))


def build(
    source: str | Path, index: str | Path, *, batch: Mapping[str, Any] | BatchSettings, **settings: Any
) -> BuildReport:
    """Build an index by batch jobs and wait for them; arguments are those of `start`.

    Examples
    --------
    >>> settings = {"s3": "s3://documents/batch", "role_arn": "arn:aws:iam::123456789012:role/rag-batch"}
    >>> build("data/handbook", "indexes/handbook", embedder="titan", batch=settings)  # doctest: +SKIP
    """
    start(source, index, batch=batch, **settings)
    resume(index)
    return finish(index)


def status(index: str | Path, *, jobs: BatchJobs | None = None) -> list[tuple[Part, JobStatus]]:
    """Return each job with its status; the status of a job that has not been started is empty.

    Raises
    ------
    UsageError
        No batch is under way.
    """
    batch = state.current(Path(index))
    jobs = jobs or jobs_of(batch)
    return [(part, jobs.status(part.arn) if part.arn else JobStatus("")) for part in batch.parts]


def cancel(
    index: str | Path, *, jobs: BatchJobs | None = None, sleep: Callable[[float], None] = time.sleep
) -> Batch:
    """Stop the jobs, put their results so far into the cache, and drop the batch.

    Returns
    -------
    Batch
        Its last state.

    Raises
    ------
    UsageError
        No batch is under way.
    """
    folder = Path(index)
    state.current(folder)
    with state.locked(folder), contextlib.closing(Run(folder, Task(None, "batch"), jobs)) as run:
        halt(run, sleep)
        state.drop(folder)
        return run.batch


def _under_way(
    folder: Path, source: str, arguments: Mapping[str, Any], settings: BatchSettings
) -> Batch | None:
    """Return the batch under way, if it is of the same build, with these settings (perhaps another role).

    Raises
    ------
    UsageError
        It is of another build.
    """
    batch = state.read(folder)
    if batch is None:
        return None
    if (batch.source, batch.arguments, batch.settings.s3) != (source, arguments, settings.s3):
        raise UsageError(
            f"{folder} has a batch of {batch.created} under way, from {batch.source} or with other settings: "
            f"`rag batch resume {folder}` continues it, `rag batch cancel {folder}` drops it"
        )
    return replace(batch, settings=settings)


def _planned(
    stages: Stages,
    source: str,
    arguments: dict[str, Any],
    settings: BatchSettings,
    ledger: Any,
    prices: Any,
    task: Task,
) -> Batch:
    """Write the missing texts to files, and check the budget for the jobs."""
    number, tokens, model = secrets.token_hex(6), 0, model_of(stages.embedder)
    count = token_counter(stages.embedder)

    def texts() -> Iterator[str]:
        nonlocal tokens
        for missing in _missing(stages, retry=bool(arguments["retry"])):
            tokens += sum(count(missing))
            yield from missing

    try:
        total, parts = write_parts(
            stages.folder / "batch", f"rag-{number}", texts(), stages.embedder, settings, task
        )
        warnings = _check_budget(stages.meter, model, tokens) if parts else ()
    except BaseException:
        state.drop(stages.folder)  # half of the files are of no use
        raise
    return Batch(
        number, dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), str(Path.cwd()), source, arguments,
        settings, model, total, tuple(parts), ledger, prices, warnings,
    )  # fmt: skip


def _check_budget(meter: Meter, model: str, tokens: int) -> tuple[str, ...]:
    """Ask the budget before jobs are started, and return its warnings.

    Nothing stays reserved: the jobs may run for days, and no process has to wait for them. What each
    job cost is recorded when its results are read.
    """
    on_demand = meter.prices.estimate_usd(model, tokens)
    usd = None if on_demand is None else on_demand * BATCH_FACTOR
    with meter.reserve(model, input_tokens=tokens, usd=usd, purpose="embed") as held:
        return held.notes


def _missing(stages: Stages, *, retry: bool) -> Iterator[list[str]]:
    """Yield the texts that have no vector yet; what was downloaded of the source stays for the build."""
    change = stages.compare(stages.previous, retry=retry)
    check_inside(stages.folder / "downloads")
    stages.loader.keep_in(stages.folder / "downloads")
    with contextlib.closing(CachedEmbeddings(stages.embedder, stages.cache)) as cache:
        try:
            for texts, _ in missing_texts(stages.cut(change), cache):
                yield texts
        finally:
            stages.loader.close(done=False)
