"""Measure the answers of pipelines on a golden set: whether they are right, what they cost and take."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rag.core import html
from rag.core.answers import Answer
from rag.core.displayable import Displayable
from rag.core.errors import GenerationError, UsageError
from rag.core.frames import frame
from rag.core.progress import Progress, Task
from rag.core.table import Table
from rag.evaluation.answer_log import AnswerLog, key_of
from rag.evaluation.answer_metrics import METRICS, cell, shown, with_graded
from rag.evaluation.checks import Check, checks
from rag.evaluation.golden_filters import combined
from rag.evaluation.golden_set import Question, Questions, read
from rag.evaluation.in_order import in_order
from rag.evaluation.statistics import Estimate, estimate
from rag.usage.prices import ANSWER

if TYPE_CHECKING:
    import pandas as pd

_KEPT = "answers in the log are kept: ask again with the same log"
_LOST = "without a log no answer is kept; what they cost is in the ledger"


class Grader(Protocol):
    """Adds checks to those of `rag.evaluation.checks`: a judge, or a function of the user's.

    Attributes
    ----------
    metrics : sequence of str
        The names of its checks, each with a colon: ``judge:relevance``.
    trust : mapping of str to str
        What is known of how right a check is, by its name: a judge's kappa; shown beside each figure.
    notes : tuple of str
        What the user should know.
    """

    @property
    def trust(self) -> Mapping[str, str]:
        """What is known of how right a check is."""

    @property
    def metrics(self) -> Sequence[str]:
        """The names of its checks."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""

    def __call__(self, question: Question, answer: Answer) -> Sequence[Check]:
        """Return the checks of an answer; none of what cannot be judged."""


@dataclass(frozen=True, slots=True)
class AnswerScored:
    """One question's answer and its measurements.

    Attributes
    ----------
    where : str or None
        The filter in force.
    checks : tuple of Check
        See `rag.evaluation.checks.checks`; of a question that failed, ``"correct"`` and ``"answered"`` alone.
    values : mapping of str to float
        The checks' values, and ``"usd"`` (if all prices are known), ``"tokens"`` (in and out, of all calls)
        and ``"seconds"``; no tokens where a call does not tell them.
    answer : Answer or None
        None where the model failed.
    error : str
        Why it failed.
    """

    question: Question
    where: str | None
    checks: tuple[Check, ...]
    values: Mapping[str, float]
    answer: Answer | None = field(repr=False)
    error: str = ""

    @property
    def correct(self) -> bool:
        """Whether every check that decides is passed (`rag.evaluation.answer_metrics.HARD`)."""
        return self.values["correct"] == 1

    @property
    def failing(self) -> dict[str, str]:
        """What is not as expected, by the check's name."""
        return {
            each.name: each.detail for each in self.checks
            if each.detail and each.value < 1 and each.name != "correct"
        }  # fmt: skip

    @property
    def faults(self) -> tuple[str, ...]:
        """What is not as expected, a line for each check."""
        return (self.error,) if self.error else tuple(": ".join(each) for each in self.failing.items())

    def _repr_html_(self) -> str:
        """Return the question, the gold answer, the answer and what is not as expected, as HTML."""
        gold = html.paragraph(html.small("gold: ") + html.escape(self.question.expected.answer))
        said = "" if self.answer is None else self.answer._repr_html_()
        question = html.paragraph(html.bold(self.question.question))
        return question + gold + said + "".join(map(html.note, self.faults))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, with the answer's text and citations."""
        answer = self.answer
        return {
            "id": self.question.id, "question": self.question.question, "where": self.where,
            "tags": list(self.question.expected.tags), "values": dict(self.values),
            "faults": list(self.faults), "answer": None if answer is None else answer.text,
            "citations": [] if answer is None else [each.to_dict() for each in answer.citations],
            "error": self.error,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class AnswersEvaluation(Displayable):
    """The measured answers of a pipeline on a golden set.

    Attributes
    ----------
    name : str
    metrics : mapping of str to Estimate
        By the names of `METRICS` and of graders' metrics; means over the questions that have a value, by the
        questions' weights.
    questions : tuple of AnswerScored
        In the order of the golden set.
    again : int
        Questions whose answers were in the log already, and were not asked for.
    notes : tuple of str
    trust : mapping of str to str
        What is known of how right graders' metrics are.
    """

    name: str
    metrics: Mapping[str, Estimate]
    questions: tuple[AnswerScored, ...] = field(repr=False)
    again: int = 0
    notes: tuple[str, ...] = ()
    trust: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        """Questions to which the model gave no answer; they are not correct."""
        return sum(bool(each.error) for each in self.questions)

    @property
    def values(self) -> dict[str, Mapping[str, float]]:
        """Each question's values, by its id."""
        return {each.question.id: each.values for each in self.questions}

    @property
    def weights(self) -> dict[str, float] | None:
        """How much each question counts, by its id; None where all count alike."""
        weights = {each.question.id: each.question.expected.weight for each in self.questions}
        return weights if len({*weights.values()}) > 1 else None

    @property
    def seconds(self) -> dict[str, float]:
        """The answers' median seconds, ``"p50"``, and their 95th percentile, ``"p95"``; 0 without any."""
        taken = [each.values["seconds"] for each in self.questions if "seconds" in each.values] or [0.0]
        p50, p95 = np.quantile(taken, [0.5, 0.95])
        return {"p50": float(p50), "p95": float(p95)}

    def worst(self, count: int) -> list[AnswerScored]:
        """Return the questions whose answers are not correct, then those that are supported least."""
        low = [each for each in self.questions if not each.correct or each.values.get("supported", 1.0) < 1]
        return sorted(low, key=lambda each: (each.correct, each.values.get("supported", 1.0)))[:count]

    def by_tag(self) -> dict[str, AnswersEvaluation]:
        """Return the same for the questions of each tag."""
        of: dict[str, list[AnswerScored]] = {}
        for each in self.questions:
            for tag in each.question.expected.tags:
                of.setdefault(tag, []).append(each)
        return {tag: summary(f"{self.name}, {tag}", scored, trust=self.trust) for tag, scored in of.items()}

    def to_dict(self, *, questions: bool = True) -> dict[str, Any]:
        """Return plain values, with or without those of every question."""
        rows = {"questions": [each.to_dict() for each in self.questions]} if questions else {}
        return {
            "name": self.name, "metrics": {name: asdict(value) for name, value in self.metrics.items()},
            "latency_s": self.seconds, "failed": self.failed, "again": self.again,
            "trust": dict(self.trust), "notes": list(self.notes), **rows,
        }  # fmt: skip

    def table(self) -> Table:
        """Return a table with a row for each metric."""
        rows = [
            (shown(name), cell(value, METRICS.get(name, "")), str(value.count), self.trust.get(name, ""))
            for name, value in self.metrics.items()
        ]
        head = ("metric", "mean and 95 % interval", "questions", "the judge beside people")
        columns = 4 if self.trust else 3
        failed = f"; to {self.failed} no answer came" if self.failed else ""
        return Table(
            f"{self.name}: answers to {len(self.questions)} questions{failed}",
            head[:columns], [row[:columns] for row in rows],
        )  # fmt: skip

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each question, with a column for each check and metric; needs pandas."""
        return frame(
            {
                "id": each.question.id, "question": each.question.question, "where": each.where,
                **each.values, "faults": "; ".join(each.faults),
                "answer": None if each.answer is None else each.answer.text,
            }
            for each in self.questions
        )  # fmt: skip


def evaluate_answers(
    pipes: Any,
    questions: Questions,
    *,
    where: Any = None,
    mode: str | None = None,
    tags: Sequence[str] = (),
    tag: str = "eval",
    log: str | Path | None = None,
    parallel: int = 4,
    graders: Sequence[Grader] = (),
    progress: Progress | None = None,
) -> dict[str, AnswersEvaluation]:
    """Ask every question of a golden set, and check the answers; of several pipelines each is asked.

    Parameters
    ----------
    pipes : Pipeline or mapping of str to Pipeline
        A single one is named by its index's path.
    questions : str, Path, or iterable of Question or mapping
        See `rag.evaluation.golden_set`.
    where, mode : optional
        As in `Pipeline.context`; `where` is combined with a question's filter by "and".
    tags : sequence of str
        Ask only the questions that have one of these.
    tag : str
        Recorded with the calls.
    log : str or Path, optional
        A JSON-lines file that keeps every answer as it comes. What it holds of the same question to the same
        version of an index, with the same stages, is not asked for again: an interrupted evaluation goes on
        where it stopped.
    parallel : int
        Questions that are asked at the same time.
    graders : sequence of Grader
        Judges and metrics of one's own (`rag.evaluation.judging`).
    progress : Progress, optional
        Told how far it is: `rag.progress_bar`, or any callable (`rag.core.progress`).

    Raises
    ------
    SourceError
        The golden set is invalid.
    WhereError
        A filter does not fit the index; the message names the question.
    BudgetError
        A call must not be made.

    Examples
    --------
    >>> result = evaluate_answers(rag.Pipeline("indexes/handbook"), "data/golden.jsonl")  # doctest: +SKIP
    >>> result["indexes/handbook"].metrics["correct"].mean                                # doctest: +SKIP
    0.81
    """
    if parallel < 1:
        raise UsageError(f"parallel is {parallel}: set it to 1 or more")
    named: Mapping[str, Any] = pipes if isinstance(pipes, Mapping) else {str(pipes.index.path): pipes}
    golden = read(questions, tags=tags)
    filters = {
        (name, each.id): combined(pipe, where, each) for name, pipe in named.items() for each in golden
    }
    kept = AnswerLog(log)
    names = list(named)

    def measured(at: int) -> tuple[str, AnswerScored, bool]:
        number, turn = divmod(at, len(names))
        # Each in turn comes first: what a question warms up, or a service slows down, favours none.
        name, question = names[(number + turn) % len(names)], golden[number]
        return name, *_ask(named[name], question, filters[name, question.id], mode, tag, kept, graders)

    scored: dict[str, dict[str, AnswerScored]] = {name: {} for name in names}
    again = dict.fromkeys(names, 0)
    total = len(golden) * len(names)
    with Task(progress, "answers", of=total, unit="answer", kept=_KEPT if log else _LOST) as task:
        for done, (name, one, before) in enumerate(in_order(measured, total, parallel), 1):
            scored[name][one.question.id] = one
            again[name] += before
            task.show(done)
    notes = (*kept.notes, *(note for grader in graders for note in grader.notes))
    trust = {name: text for grader in graders for name, text in grader.trust.items()}
    return {
        name: summary(name, [scored[name][each.id] for each in golden], again[name], notes, trust)
        for name in names
    }


def _ask(
    pipe: Any,
    question: Question,
    where: Any,
    mode: str | None,
    tag: str,
    kept: AnswerLog,
    graders: Sequence[Grader],
) -> tuple[AnswerScored, bool]:
    """Return a question's measured answer, and whether it was in the log."""
    options = options_of(question, where, mode)
    text = None if where is None else where.to_string()
    key = key_of(pipe, question, options)
    known = kept.get(key)
    if known is not None:
        return score(question, text, known.answer, known.seconds, known.error, graders), True
    started = time.perf_counter()
    answer, error = None, ""
    try:
        answer = _answer(pipe, question, options, tag)
    except GenerationError as raised:
        error = str(raised)
    seconds = time.perf_counter() - started
    if answer is not None:  # a failure may pass: it is asked again
        kept.put(key, question.id, answer, seconds)
    return score(question, text, answer, seconds, error, graders), False


def options_of(question: Question, where: Any, mode: str | None) -> dict[str, Any]:
    """Return the options with which a question is asked, its filter in force among them."""
    options = {"where": where, "mode": mode, "schema": question.expected.answer_schema}
    return {name: value for name, value in options.items() if value is not None}


def _answer(pipe: Any, question: Question, options: Mapping[str, Any], tag: str) -> Answer:
    """Ask a question, after those before it in its conversation."""
    turns = question.expected.turns
    if not turns:
        answer: Answer = pipe.ask(question.question, tag=tag, **options)
        return answer
    chat = pipe.chat()
    for turn in turns:
        chat.ask(turn, tag=tag)
    last: Answer = chat.ask(question.question, tag=tag, **options)
    return last


def score(
    question: Question,
    where: str | None,
    answer: Answer | None,
    seconds: float,
    error: str = "",
    graders: Sequence[Grader] = (),
) -> AnswerScored:
    """Return the measurements of an answer; without one, those of a failure."""
    if answer is None:
        failed = (Check("correct", 0.0, error), Check("answered", 0.0, error))
        return AnswerScored(question, where, failed, dict.fromkeys(("correct", "answered"), 0.0), None, error)
    found = (*checks(question, answer), *(each for grader in graders for each in grader(question, answer)))
    values = {check.name: check.value for check in found}
    costs = [call.usage.cost_usd for call in answer.calls]
    if None not in costs:
        values["usd"] = sum(cost for cost in costs if cost is not None)
    if all(call.purpose != ANSWER for call in answer.calls):
        values["tokens"] = float(sum(sum(call.usage.counts) for call in answer.calls))
    values["seconds"] = seconds
    return AnswerScored(question, where, found, values, answer)


def summary(
    name: str,
    scored: Sequence[AnswerScored],
    again: int = 0,
    notes: Sequence[str] = (),
    trust: Mapping[str, str] | None = None,
) -> AnswersEvaluation:
    """Return the means over questions, by their weights."""
    weights = [each.question.expected.weight for each in scored]
    even = len({*weights}) < 2
    metrics = {}
    for metric in with_graded(name for each in scored for name in each.values):
        has = [(each.values[metric], weight) for each, weight in zip(scored, weights, strict=True)
               if metric in each.values]  # fmt: skip
        if has:
            values, of = zip(*has, strict=True)
            metrics[metric] = estimate(values, None if even else of)
    return AnswersEvaluation(name, metrics, tuple(scored), again, tuple(notes), trust or {})
