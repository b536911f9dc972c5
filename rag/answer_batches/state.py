"""The state of a batch of answers, in ``INDEX/answers``, which only this user may read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rag.answer_batches.journal import Journal
from rag.bedrock.storage.batch_parts import Part
from rag.bedrock.storage.batch_settings import BatchSettings
from rag.bedrock.storage.batch_state import StateFile
from rag.core.errors import UsageError

#: The folder of a batch's files in its index's folder.
WORK = "answers"


@dataclass(frozen=True, slots=True)
class AnswerBatch:
    """A file of questions that waits for its jobs: all that another process needs to resume it.

    Attributes
    ----------
    id, created : str
        The beginning of its jobs' names, and the time at which it was started.
    place : str
        The working directory, to which paths are relative.
    digest : str
        What decides the answers, as a hash: questions, options, stages.
    version : int
        Of the index, from which the passages are.
    questions : int
    options : dict
        Those of `Pipeline.ask`, without the filters, which each question has.
    settings : BatchSettings
    model, base : str
        The model's id, and that of the model behind an application inference profile.
    stages : dict or None
        The pipeline's settings; None if some are objects, so that only their own program can resume.
    config, source, output : str
        The command line's paths of ``rag.toml``, of the questions, and for the answers.
    on_demand : bool
        Whether the user agreed to pay the full price if there are fewer records than a job takes.
    prepared : bool
        Whether the requests of all questions are written.
    left : int
        Requests in no job, as a job takes more than are left.
    input_tokens, output_tokens : int
        Of the jobs, at most.
    usd : float or None
        The most that the jobs can cost; None if no price is known.
    warnings : tuple of str
        What the user should know about its cost.
    finished : bool
        Whether every question has its answer.
    """

    id: str
    created: str
    place: str
    digest: str
    version: int
    questions: int
    options: dict[str, Any]
    settings: BatchSettings
    model: str
    base: str | None = None
    stages: dict[str, Any] | None = None
    config: str = ""
    source: str = ""
    output: str = ""
    on_demand: bool = False
    prepared: bool = False
    parts: tuple[Part, ...] = ()
    left: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    warnings: tuple[str, ...] = ()
    finished: bool = False
    format: Literal[1] = 1

    @property
    def records(self) -> int:
        """How many requests are in jobs."""
        return sum(part.records for part in self.parts)

    @property
    def tag(self) -> str | None:
        """The tag of `Pipeline.ask`."""
        tag: str | None = self.options.get("tag")
        return tag


_FILE = StateFile(AnswerBatch, f"{WORK}/state.json", WORK, "ask", private=True)
read, save, drop, locked = _FILE.read, _FILE.save, _FILE.drop, _FILE.locked


def current(folder: Path) -> AnswerBatch:
    """Return the batch under way for an index.

    Raises
    ------
    UsageError
        There is none.
    """
    batch = read(folder)
    if batch is None:
        raise UsageError(
            f"no batch of answers is under way for {folder}: `rag ask {folder} --questions FILE.jsonl "
            "--output FILE.jsonl --batch` starts one"
        )
    return batch


@dataclass(frozen=True, slots=True)
class Journals:
    """The files of a batch.

    Attributes
    ----------
    questions, rows : Journal
        By the question's number: as it was asked; with its passages and request.
    replies : Journal
        By the record's id: the model's output, and what it cost.
    answers : Journal
        By the question's number.
    """

    questions: Journal
    rows: Journal
    replies: Journal
    answers: Journal


@contextlib.contextmanager
def journals(folder: Path) -> Iterator[Journals]:
    """Open the files of an index's batch; the caller holds its lock."""
    with contextlib.ExitStack() as stack:
        names = ("questions", "rows", "replies", "answers")
        yield Journals(*(stack.enter_context(Journal(folder / WORK / name)) for name in names))
