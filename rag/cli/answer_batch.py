"""A file of questions by batch jobs, on the command line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.jobs import count, job_rows
from rag.cli.options import answer_row, print_json, replacing
from rag.cli.terminal import json_text
from rag.core.errors import ConfigError, SourceError, UsageError
from rag.core.format import counted

if TYPE_CHECKING:
    from rag.answer_batches.questions import Item
    from rag.answer_batches.state import AnswerBatch
    from rag.bedrock.storage.batch_settings import BatchSettings


def ask_by_jobs(
    pipe: Any,
    items: Sequence[Item],
    jobs: BatchSettings,
    *,
    questions: Path,
    output: Path,
    config: Path | None,
    wait: bool,
    **options: Any,
) -> int:
    """Answer a file of questions by batch jobs: start them, or continue with those under way."""
    from rag.answer_batches import batch as batching
    from rag.cli.output import watch_jobs

    if not output.parent.is_dir() or output.is_dir() or not os.access(output.parent, os.W_OK):
        raise SourceError(f"cannot write {output}: give --output a file in a folder that you may write to")
    planned = batching.start(
        pipe, items, batch=jobs, config=str(config or ""), source=str(questions.absolute()),
        output=str(output.absolute()), progress=watch_jobs(), **options,
    )  # fmt: skip
    _show_plan(planned)
    if not _goes_on(pipe, planned, wait=wait, as_json=False):
        show_answer_status(str(pipe.index.path))
    return 0


def resume_answers(index: str, *, wait: bool, as_json: bool) -> int:
    """Go on with questions in batch jobs, and write the answers or show how far they are."""
    with _opened(index) as (pipe, batch):
        done = _goes_on(pipe, batch, wait=wait, as_json=as_json)
    if not done:
        print_json(answer_status(index)) if as_json else show_answer_status(index)
    return 0


def cancel_answers(index: str) -> int:
    """Stop the jobs, and write the answers that are paid for to OUTPUT.part."""
    from rag.answer_batches import batch as batching
    from rag.cli.output import say

    with _opened(index) as (pipe, batch), batching.cancelled(pipe) as answers:
        path, number = Path(f"{batch.output}.part"), 0
        with replacing(path) as sink:
            for item, answer in answers:
                number += 1
                sink.write(json_text({"id": item.id, **answer_row(answer)}) + "\n")
        if not number:
            path.unlink(missing_ok=True)
    kept = (
        f"{number} of {counted(batch.questions, 'answer')} are in {path}"
        if number
        else "no question had its answer yet"
    )
    say(f"{index}: the batch is cancelled; {kept}")
    return 0


def show_answer_status(index: str) -> None:
    """Show how far the jobs of a file of questions are."""
    from rag.answer_batches import batch as batching
    from rag.answer_batches import state
    from rag.cli.output import say, show_jobs

    batch, jobs = state.current(Path(index)), batching.status(index)
    whose = f" from {batch.source}" if batch.source else ""
    how = "" if batch.prepared else ", not all of them prepared"
    questions = f"{counted(batch.questions, 'question')}{how}, {count(jobs)}"
    say(f"{index}: batch of answers of {batch.created}{whose}: {questions}")
    if batch.finished and not batch.output:
        say(
            "  finished: `pipe.batch` returns the answers; rag.answer_batches.batch.cancel(pipe) deletes them"
        )
    else:
        show_jobs(index, jobs)


def answer_status(index: str) -> dict[str, Any]:
    """Return how far the jobs of a file of questions are, for ``--json``."""
    from rag.answer_batches import batch as batching
    from rag.answer_batches import state

    batch = state.current(Path(index))
    return {"index": index, "source": batch.source, "output": batch.output, "created": batch.created,
            "questions": batch.questions, "model": batch.model, "prepared": batch.prepared,
            "finished": batch.finished, "jobs": job_rows(batching.status(index))}  # fmt: skip


def _goes_on(pipe: Any, batch: AnswerBatch, *, wait: bool, as_json: bool) -> bool:
    """Go on with a batch, and write and tell the answers; return whether they are there."""
    from rag.answer_batches import batch as batching
    from rag.cli.output import say, show_warnings, watch_jobs

    if not batching.resume(pipe, wait=wait, progress=watch_jobs()):
        return False
    with (
        batching.finished(pipe, progress=watch_jobs()) as (report, answers),
        replacing(Path(batch.output)) as sink,
    ):
        for item, answer in answers:
            sink.write(json_text({"id": item.id, **answer_row(answer)}) + "\n")
    batching.drop(pipe.index.path)
    if as_json:
        print_json({
            "index": str(pipe.index.path), "output": batch.output, "answers": batch.questions,
            "notes": list(report.notes), "batch_usd": report.batch_usd,
            "on_demand_usd": report.on_demand_usd,
        })  # fmt: skip
    else:
        say(f"{batch.output}: {counted(batch.questions, 'answer')}")
    show_warnings(report.notes, ())
    return True


def _show_plan(batch: AnswerBatch) -> None:
    """Show what the jobs can cost, before they are started."""
    from rag.cli.output import cost_of, say

    say(
        f"{counted(batch.questions, 'question')}: {counted(batch.records, 'request')} to "
        f"{batch.model} in {count(batch.parts)}"
    )
    if batch.parts:
        say(
            f"  at most {cost_of(batch.usd)}, half the price on demand: about "
            f"{counted(batch.input_tokens, 'token')} in, at most {batch.output_tokens} out; "
            "AWS may take a day or more"
        )


@contextlib.contextmanager
def _opened(index: str) -> Iterator[tuple[Any, AnswerBatch]]:
    """Open the pipeline of the batch under way, in the folder to which its settings' paths are relative."""
    from rag.answer_batches import state
    from rag.config import settings as rag_toml
    from rag.config.open import Index
    from rag.pipeline import Pipeline

    path = Path(index).absolute()
    batch = state.current(path)
    if batch.stages is None or not batch.output:
        raise UsageError(
            f"the batch of answers of {index} was started from Python: call pipe.batch with the same "
            "questions, or rag.answer_batches.batch.cancel(pipe)"
        )
    try:
        inside = contextlib.chdir(batch.place)
        inside.__enter__()
    except OSError as error:
        raise ConfigError(
            f"the batch was started in {batch.place}, which cannot be opened ({error.strerror}): make that "
            "folder, with the files that its settings name"
        ) from None
    with contextlib.ExitStack() as stack:
        stack.push(inside)
        table = rag_toml.read(Path(batch.config) if batch.config else None)
        # Limits and prices as they are now: a budget that stopped the batch may have been raised.
        money = {name: table.get(name) for name in ("ledger", "prices")}
        version = None if batch.prepared else batch.version
        opened = Index.open(path, embedder=batch.stages.get("embedder"), version=version, plain=True)
        settings = {**batch.stages, **money, "embedder": None}
        yield Pipeline(opened, settings=settings, plain=True), batch
