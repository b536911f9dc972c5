"""Answer many questions at half price: Bedrock asks the model in batch jobs, and the questions wait.

    start:  check the questions -> find their passages, make their requests -> check the budget
    resume: upload -> start the jobs -> wait -> store every reply
    finish: replies become answers; what has none is asked on demand

All is in ``INDEX/answers``, and each step is saved before the next begins: a killed process is resumed where
it stopped, and nothing is paid for twice but what was in flight.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage

from rag.answer_batches import finish as finishing
from rag.answer_batches import state
from rag.answer_batches.prepare import Asks, prepare, too_few
from rag.answer_batches.questions import Item, claude_of, items_of, refuse_options
from rag.answer_batches.report import AnswerReport
from rag.answer_batches.running import Run, jobs_of
from rag.answer_batches.state import WORK, AnswerBatch, Journals, journals
from rag.bedrock.storage import batch_settings
from rag.bedrock.storage.batch_jobs import BatchJobs, JobStatus
from rag.bedrock.storage.batch_parts import Part
from rag.bedrock.storage.batch_run import GOES_ON, advance, halt
from rag.bedrock.storage.batch_settings import BatchSettings
from rag.bedrock.storage.batch_state import plain
from rag.core.answers import Answer
from rag.core.errors import ConfigError, UsageError
from rag.core.plain import from_fields
from rag.core.progress import Progress, Task
from rag.generation.voice import label

#: Settings that decide no answer: they may change while a batch is under way.
_MONEY = ("ledger", "prices", "batch")
#: Questions with their answers, in the order of the questions.
Answers = Iterator[tuple[Item, Answer]]


def answer(
    pipe: Asks,
    questions: Sequence[str | Mapping[str, Any]],
    *,
    s3: str | None = None,
    role_arn: str | None = None,
    where: Any = None,
    wait: bool = True,
    on_demand: bool = False,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
    **options: Any,
) -> AnswerReport:
    """Answer questions by batch jobs.

    Called again with the same questions, it continues the batch, and returns the answers of one that is
    finished without asking again. These stay in ``INDEX/answers`` until another batch takes their place, or
    until `cancel`.

    Parameters
    ----------
    pipe : Pipeline
    questions : sequence of str, or of mapping
        See `rag.answer_batches.questions.items_of`.
    s3, role_arn : str, optional
        By default those of ``[batch]``.
    where : Where, str or dict, optional
        A filter for all questions.
    wait : bool
        Whether to wait until the jobs end. Otherwise call again to go on.
    on_demand : bool
        Whether to ask on demand, at full price, if there are fewer questions than a job takes.
    progress : Progress, optional
        As for `rag.build`; what the jobs do is its ``detail``.
    sleep : callable
        Waits so many seconds.
    **options
        ``k``, ``mode``, ``budget``, ``unit``, ``user``, ``variables`` and ``tag``, as of `Pipeline.ask`.

    Raises
    ------
    ConfigError
        The generator has no batch jobs, or bucket or role are missing.
    UsageError
        Another batch is under way, there are fewer questions than a job takes, or an option is refused.
    BudgetError
        The jobs could pass the budget.
    GenerationError
        A job failed, or a question could not be asked on demand.
    """
    given = {"s3": s3, "role_arn": role_arn}
    table = pipe.settings.get("batch") or {}
    table = table if isinstance(table, Mapping) else {"s3": table}
    chosen = batch_settings.settings({**table, **{name: value for name, value in given.items() if value}})
    claude_of(pipe.generator)
    items = items_of(questions, pipe.index, where)
    start(pipe, items, batch=chosen, on_demand=on_demand, progress=progress, **options)
    if not resume(pipe, wait=wait, progress=progress, sleep=sleep):
        return AnswerReport(False)
    with finished(pipe, progress=progress) as (report, answers):
        found = list(answers)
    return replace(report, ids=tuple(item.id for item, _ in found), answers=tuple(each for _, each in found))


def start(
    pipe: Asks,
    items: Sequence[Item],
    *,
    batch: BatchSettings,
    on_demand: bool = False,
    config: str = "",
    source: str = "",
    output: str = "",
    progress: Progress | None = None,
    **options: Any,
) -> AnswerBatch:
    """Find the passages of all questions, make their requests, and check the budget; no model is asked yet.

    Parameters
    ----------
    pipe : Pipeline
    items : sequence of Item
    batch : BatchSettings
    on_demand, progress, **options
        As of `answer`.
    config, source, output : str
        Paths of the command line.

    Returns
    -------
    AnswerBatch
        The batch under way; one that was started before with the same arguments is continued.

    Raises
    ------
    ConfigError, UsageError, BudgetError
        As of `answer`.
    """
    model, bound = claude_of(pipe.generator)
    chosen = batch_settings.required(batch)
    if not chosen.region and model.region_name:
        chosen = chosen.model_copy(update={"region": model.region_name})
    kept = plain(refuse_options(options))
    stages = _stages(pipe.settings)
    skeleton = model.batch_record([HumanMessage("-")], **bound)
    new = AnswerBatch(
        secrets.token_hex(6), dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), str(Path.cwd()),
        _digest(items, kept, stages, skeleton, model.model_id, label(pipe.prompt)), pipe.index.version,
        len(items), kept, chosen, model.model_id, model.base_model_id, stages, config, source, output,
        on_demand,
    )  # fmt: skip
    if len(items) < chosen.min_records and not on_demand:
        raise UsageError(f"there are {len(items)} questions, and {too_few(new)}")
    folder = Path(pipe.index.path)
    with state.locked(folder):
        under_way = _under_way(folder, new)
        if under_way is None:
            _clear(folder)
        current = under_way or new
        with journals(folder) as files:
            if under_way is None:
                for number, item in enumerate(items):
                    files.questions.append(str(number), asdict(item))
                files.questions.sync()
            state.save(folder, current)
            if current.prepared:
                return current
            with _task(progress) as task:
                return prepare(pipe, folder, current, items, files, task)


def resume(
    pipe: Asks,
    *,
    wait: bool = True,
    progress: Progress | None = None,
    jobs: BatchJobs | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Start the jobs that have not been started, wait for them, and store their replies.

    Parameters
    ----------
    pipe : Pipeline
        Over the version of the index with which the batch was started, if that is not prepared yet.
    wait, progress, jobs, sleep
        As of `rag.building.batch.resume`.

    Returns
    -------
    bool
        Whether all replies are there, so that `finished` can follow.

    Raises
    ------
    GenerationError
        A job failed. Resuming starts it again with the records that have no reply yet.
    BudgetError
        A job could pass the budget.
    UsageError
        No batch is under way, or the pipeline asks another model.
    """
    with _opened(pipe) as (folder, batch, items, files), _task(progress) as task:
        if not batch.prepared:
            _check_version(folder, batch, pipe.index.version)
            batch = prepare(pipe, folder, batch, items, files, task)
        return batch.finished or advance(
            Run(folder, batch, files, pipe.meter, task, jobs), wait=wait, sleep=sleep
        )


def _task(progress: Progress | None) -> Task:
    return Task(progress, "batch", unit="question", kept=GOES_ON)


@contextmanager
def finished(pipe: Asks, *, progress: Progress | None = None) -> Iterator[tuple[AnswerReport, Answers]]:
    """Answer what has no answer yet; give the report, without answers, and the answers one by one.

    Raises
    ------
    GenerationError, BudgetError
        A question cannot be asked on demand.
    """
    with _opened(pipe) as (folder, batch, items, files):
        if not batch.finished:
            with _task(progress) as task:
                finishing.finish(pipe, folder, batch, items, files, task)
            state.save(folder, replace(batch, finished=True))
        totals = finishing.totals(files)
        notes = totals.notes(batch)
        if pipe.responses is not None:
            notes = (*notes, "the response cache was not asked: a batch's questions are answered anew")
        report = AnswerReport(True, (), (), notes, totals.batch_usd, totals.on_demand_usd)
        yield report, finishing.pairs(items, files)


def status(folder: str | Path, *, jobs: BatchJobs | None = None) -> list[tuple[Part, JobStatus]]:
    """Return each job with its status; the status of a job that has not been started is empty.

    Raises
    ------
    UsageError
        No batch is under way.
    """
    batch = state.current(Path(folder))
    jobs = jobs or jobs_of(batch)
    return [(part, jobs.status(part.arn) if part.arn else JobStatus("")) for part in batch.parts]


@contextmanager
def cancelled(
    pipe: Asks, *, jobs: BatchJobs | None = None, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Answers]:
    """Stop the jobs, give the answers that are paid for, and drop the batch.

    Raises
    ------
    UsageError
        No batch is under way.
    """
    with _opened(pipe) as (folder, batch, items, files):
        halt(Run(folder, batch, files, pipe.meter, _task(None), jobs), sleep)
        finishing.settled(pipe, batch, items, files)
        yield finishing.pairs(items, files)
        state.drop(folder)


def cancel(pipe: Asks) -> AnswerReport:
    """Stop the jobs and drop the batch; return the answers that are paid for."""
    with cancelled(pipe) as answers:
        found = list(answers)
    return AnswerReport(False, tuple(item.id for item, _ in found), tuple(each for _, each in found))


def drop(folder: str | Path) -> None:
    """Delete the files of a batch whose answers have been written elsewhere."""
    with state.locked(Path(folder)):
        state.drop(Path(folder))


@contextmanager
def _opened(pipe: Asks) -> Iterator[tuple[Path, AnswerBatch, list[Item], Journals]]:
    """Lock the batch under way for a pipeline's index, and open its files."""
    folder = Path(pipe.index.path)
    state.current(folder)
    model, _ = claude_of(pipe.generator)
    with state.locked(folder), journals(folder) as files:
        batch = state.current(folder)
        if model.model_id != batch.model:
            raise UsageError(
                f"the batch under way for {folder} asks {batch.model}, not {model.model_id}: use that model"
            )
        items = [from_fields(Item, files.questions[str(number)]) for number in range(batch.questions)]
        yield folder, batch, items, files


def _under_way(folder: Path, new: AnswerBatch) -> AnswerBatch | None:
    """Return the batch under way, if it is of the same questions; what decides no answer is the new one's.

    Raises
    ------
    UsageError
        It is of others, or the index has changed.
    """
    batch = state.read(folder)
    same = batch is not None and batch.digest == new.digest
    if batch is None or (batch.finished and not (same and batch.version == new.version)):
        return None
    if not same:
        whose = f" from {batch.source}" if batch.source else ""
        raise UsageError(
            f"{folder} has a batch of answers of {batch.created} under way{whose}, of other questions or "
            f"settings: `rag batch resume {folder}` continues it, `rag batch cancel {folder}` drops it"
        )
    if not batch.prepared:
        _check_version(folder, batch, new.version)
    return replace(
        batch, settings=new.settings, stages=new.stages, place=new.place, config=new.config,
        source=new.source, output=new.output, on_demand=new.on_demand,
    )  # fmt: skip


def _check_version(folder: Path, batch: AnswerBatch, version: int) -> None:
    if batch.version != version:
        raise UsageError(
            f"{folder} has changed from version {batch.version} to {version} since the batch was begun: `rag "
            f"batch resume {folder}` continues it with version {batch.version}, `rag batch cancel {folder}` "
            "drops it"
        )


def _clear(folder: Path) -> None:
    """Delete what a batch before left, but for the lock."""
    for path in (folder / WORK).iterdir():
        if path.name != "LOCK":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _stages(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return settings as another process can read them; None if some are objects."""
    try:
        return plain(settings)
    except (ConfigError, TypeError, ValueError):
        return None


def _digest(
    items: Sequence[Item],
    options: Mapping[str, Any],
    stages: Mapping[str, Any] | None,
    skeleton: Mapping[str, Any],
    model: str,
    prompt: str,
) -> str:
    """Hash what decides the answers, as far as it is known."""
    named = {name: value for name, value in (stages or {}).items() if name not in _MONEY}
    values = [[asdict(item) for item in items], options, named, skeleton, model, prompt]
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
