"""After the jobs: make each reply an answer, and ask on demand what has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rag.answer_batches.prepare import Asks, Row, begin, row_at
from rag.answer_batches.questions import Item, claude_of
from rag.answer_batches.state import AnswerBatch, Journals
from rag.core.answers import Answer, Step
from rag.core.calls import Call, Usage
from rag.core.errors import GenerationError
from rag.core.format import dollars
from rag.core.plain import from_fields
from rag.core.progress import Task


@dataclass(frozen=True, slots=True)
class Totals:
    """What became of a batch's questions.

    Attributes
    ----------
    good : int
        Replies of the jobs that became answers.
    on_demand : int
        Questions that were asked on demand.
    nothing : int
        Questions for which nothing was found.
    batch_usd, on_demand_usd : float or None
        What the calls of the model cost; None if no price is known.
    """

    good: int
    on_demand: int
    nothing: int
    batch_usd: float | None
    on_demand_usd: float | None

    def notes(self, batch: AnswerBatch) -> tuple[str, ...]:
        """Return what the user should know."""
        lines = [*batch.warnings]
        if batch.parts:
            lines.append(
                f"batch: {self.good} of {_counted(batch.questions)} answered at half price "
                f"({_price(self.batch_usd)})"
            )
        if self.on_demand:
            bad = sum((Counter(part.bad) for part in batch.parts), Counter[str]())
            if batch.left:
                bad["too few for a job"] = batch.left
            why = ", ".join(f"{count} {reason}" for reason, count in bad.most_common())
            lines.append(f"{_counted(self.on_demand)} asked on demand ({why}; {_price(self.on_demand_usd)})")
        if self.nothing:
            lines.append(f"{_counted(self.nothing)} without passages, for which no model was asked")
        return tuple(lines)


def finish(
    pipe: Asks, folder: Path, batch: AnswerBatch, items: Sequence[Item], files: Journals, task: Task
) -> None:
    """Answer every question that has no answer yet, from its reply or on demand.

    Raises
    ------
    GenerationError
        Some questions could not be answered on demand; all others are.
    BudgetError
        A question must not be asked; the answers before it are kept.
    """
    failures: list[str] = []
    for number, item in enumerate(items):
        if str(number) not in files.answers:
            try:
                how, answer = _answered(pipe, batch, item, row_at(files, number), files)
            except GenerationError as error:
                failures.append(f"question {item.id!r}: {error}")
                continue
            files.answers.append(str(number), {"how": how, "answer": answer.to_dict()})
            if how not in ("batch", "nothing"):
                files.answers.sync()  # paid for at full price, and nowhere else
        if number % 16 == 0 or number + 1 == len(items):
            task.show(number + 1, len(items), detail="questions answered")
    files.answers.sync()
    if failures:
        more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        raise GenerationError(
            f"{len(failures)} of {len(items)} questions could not be asked on demand ({failures[0]}{more}): "
            f"`rag batch resume {folder}` asks them again; `rag batch cancel {folder}` writes the answers to "
            "the others"
        )


def settled(pipe: Asks, batch: AnswerBatch, items: Sequence[Item], files: Journals) -> None:
    """Make the replies that are there answers; ask nothing on demand."""
    for number, item in enumerate(items):
        if str(number) in files.answers or str(number) not in files.rows:
            continue
        found = _from_batch(pipe, batch, item, row_at(files, number), files)
        if found is not None:
            files.answers.append(str(number), {"how": "batch", "answer": found.to_dict()})


def pairs(items: Sequence[Item], files: Journals) -> Iterator[tuple[Item, Answer]]:
    """Yield the questions that have answers, in their order."""
    for number, item in enumerate(items):
        if str(number) in files.answers:
            yield item, Answer.from_dict(files.answers[str(number)]["answer"])


def totals(files: Journals) -> Totals:
    """Count what became of a batch's questions."""
    how: Counter[str] = Counter()
    on_demand: list[Usage] = []
    for key in files.answers:
        kept = files.answers[key]
        how[kept["how"]] += 1
        if kept["how"] not in ("batch", "nothing"):
            calls = [from_fields(Call, call) for call in kept["answer"]["calls"]]
            on_demand += [call.usage for call in calls if call.purpose == "generate"][-1:]
    in_jobs = [from_fields(Usage, files.replies[record]["usage"]) for record in files.replies]
    good, nothing = how.pop("batch", 0), how.pop("nothing", 0)
    return Totals(good, how.total(), nothing, _sum(in_jobs), _sum(on_demand))


def _answered(pipe: Asks, batch: AnswerBatch, item: Item, row: Row, files: Journals) -> tuple[str, Answer]:
    """Return how a question was answered, and the answer."""
    if row.answer is not None:
        return "nothing", Answer.from_dict(row.answer)
    answer = _from_batch(pipe, batch, item, row, files)
    if answer is not None:
        return "batch", answer
    begun = begin(pipe, item, batch, row.retrieved)
    begun.collector.include(_calls(batch, row, files))  # paid for, though no answer came of it
    return "on demand", begun.answer()


def _from_batch(pipe: Asks, batch: AnswerBatch, item: Item, row: Row, files: Journals) -> Answer | None:
    """Return the answer that a job's reply makes; None if there is no such reply, or it is malformed."""
    if row.record not in files.replies or files.replies[row.record]["why"]:
        return None
    kept = files.replies[row.record]
    begun = begin(pipe, item, batch, row.retrieved)
    model, _ = claude_of(pipe.generator)
    try:
        answer = begun.answer(model.batch_reply(kept["output"]), _calls(batch, row, files))
    except GenerationError:
        return None
    job = Step("generate", 0.0, {"job": kept["job"]})
    trace = tuple(job if step.name == "generate" else step for step in answer.trace)
    return replace(answer, prompt=row.prompt, prompt_hash=row.prompt_hash, trace=trace)


def _calls(batch: AnswerBatch, row: Row, files: Journals) -> list[Call]:
    """Return the call that a job made for a question; none if it gave no reply."""
    if row.record not in files.replies:
        return []
    return [Call(batch.model, "generate", from_fields(Usage, files.replies[row.record]["usage"]))]


def _sum(usages: Sequence[Usage]) -> float | None:
    total = sum(usages, Usage(cost_usd=0.0))
    return None if any(usage.cost_usd is None for usage in usages) else total.cost_usd


def _counted(questions: int) -> str:
    return f"{questions} question{'s' * (questions != 1)}"


def _price(usd: float | None) -> str:
    return "no known price" if usd is None else dollars(usd)
