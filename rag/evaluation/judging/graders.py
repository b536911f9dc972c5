"""Graders of a golden set's answers: a judge by its rubrics, and metrics that are functions of the user's."""

from __future__ import annotations

import inspect
import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rag.core.answers import Answer
from rag.core.calls import Call
from rag.core.errors import ConfigError, GenerationError
from rag.core.imports import resolve
from rag.evaluation.checks import Check
from rag.evaluation.golden_set import Question
from rag.evaluation.judging.agreement import Kappa
from rag.evaluation.judging.judge import Case, Judge
from rag.usage.collector import Collector, Meter

T = TypeVar("T")
#: What metrics of a judge begin with.
PREFIX = "judge:"
#: Rubrics that a refusal fails without being read, where the documents hold an answer.
_OF_CONTENT = ("correctness", "completeness", "criteria")


class Spending:
    """Collects what judging costs; each call of `run` is a question of its own for the ledger and budgets.

    Parameters
    ----------
    meter : Meter, optional
        Asked before each call; without one nothing is refused or recorded.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        self._meter = meter
        self._lock = threading.Lock()
        self._calls: list[Call] = []

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls so far."""
        with self._lock:
            return tuple(self._calls)

    @property
    def usd(self) -> float | None:
        """What they cost, in US dollars; None where a price is not known."""
        costs = [call.usage.cost_usd for call in self.calls]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function, so that what it spends is recorded."""
        collector = Collector(self._meter, tag="judge")
        try:
            return collector.run(function, *args)
        finally:
            with self._lock:
                self._calls += collector.calls


class JudgeGrader:
    """Judges each answer by the rubrics that fit its question.

    Parameters
    ----------
    judge : Judge
    spending : Spending, optional
    kappas : dict of str to Kappa
        How far the judge agrees with people, by rubric (`rag.evaluation.judging.calibration`).

    Examples
    --------
    >>> grader = JudgeGrader(Judge(model, ["faithfulness"]))                            # doctest: +SKIP
    >>> evaluate_answers(pipe, "golden.jsonl", graders=[grader])                        # doctest: +SKIP
    """

    def __init__(
        self, judge: Judge, spending: Spending | None = None, kappas: dict[str, Kappa] | None = None
    ) -> None:
        self.judge, self.spending = judge, spending or Spending()
        self.kappas = kappas or {}
        self._failed: Counter[str] = Counter()
        self._torn = 0
        self._lock = threading.Lock()

    @property
    def metrics(self) -> tuple[str, ...]:
        """``judge:RUBRIC`` of each rubric."""
        return tuple(PREFIX + name for name in self.judge.rubrics)

    @property
    def notes(self) -> tuple[str, ...]:
        """How far the judge can be trusted, what could not be judged, and what judging cost."""
        trust = [
            f"judge:{name}: {self.judge.name} agrees with people at kappa {self.kappas[name]} "
            f"({self.kappas[name].count} labels)"
            if name in self.kappas else
            f"judge:{name}: {self.judge.name} is not calibrated: `rag judge calibrate` says what it is worth"
            for name in self.judge.rubrics
        ]  # fmt: skip
        with self._lock:
            failed = [f"{count} answers were not judged: {why}" for why, count in self._failed.most_common(3)]
            torn = [f"of {self._torn} verdicts the votes are 2 or more apart"] if self._torn else []
        return (*trust, *failed, *torn)

    def __call__(self, question: Question, answer: Answer) -> list[Check]:
        """Return a check for each rubric that fits."""
        if not question.answerable:
            return []  # whether it refuses rightly needs no judge
        if not answer.answered:
            failed = [name for name in self.judge.rubrics if name in _OF_CONTENT]
            return [Check(PREFIX + name, 0.0, "it refuses") for name in failed]
        case = case_of(question, answer)
        found = []
        for by in self.judge.rubrics_of(case):
            try:
                verdict = self.spending.run(self.judge.verdict, case, by.name)
            except GenerationError as error:
                with self._lock:
                    self._failed[str(error)] += 1
                continue
            with self._lock:
                self._torn += verdict.spread >= 2
            found.append(Check(PREFIX + by.name, verdict.value, str(verdict) if verdict.value < 1 else ""))
        return found


def case_of(question: Question, answer: Answer) -> Case:
    """Return an answer with what a judge may need to judge it."""
    expected = question.expected
    passages = tuple(hit.text for hit in answer.context.hits)
    return Case(question.question, answer.text, passages, expected.answer, expected.criteria)


class FunctionGrader:
    """A metric of the user's: a function of question, answer, contexts and reference that returns a share.

    Parameters
    ----------
    name : str
        ``"module:function"``.
    function : callable, optional
        In place of what the name names. It takes those of the parameters ``question``, ``answer``,
        ``contexts`` (list of str) and ``reference`` that it has, and returns a number in [0, 1], or None
        where it does not apply.

    Raises
    ------
    ConfigError
        It cannot be imported, or takes other parameters.

    Examples
    --------
    >>> grader = FunctionGrader("mine:short", lambda answer: float(len(answer) < 80))
    >>> grader.metrics
    ('mine:short',)
    """

    _TAKES = ("question", "answer", "contexts", "reference")

    def __init__(self, name: str, function: Callable[..., Any] | None = None) -> None:
        self._function = resolve(name, "the metric") if function is None else function
        self.metrics: tuple[str, ...] = (name,)
        self.notes: tuple[str, ...] = ()
        parameters = inspect.signature(self._function).parameters.values()
        self._all = any(each.kind is each.VAR_KEYWORD for each in parameters)
        named = [each for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
        self._names = [each.name for each in named]
        needed = [
            each.name for each in named if each.default is each.empty and each.name not in self._TAKES
        ]  # fmt: skip
        if needed:
            raise ConfigError(
                f"the metric {name} needs {needed[0]!r}: it may take {', '.join(self._TAKES)}, by name"
            )

    def __call__(self, question: Question, answer: Answer) -> list[Check]:
        """Return the metric's check; none where it returns None."""
        values = {
            "question": question.question, "answer": answer.text,
            "contexts": [hit.text for hit in answer.context.hits], "reference": question.expected.answer,
        }  # fmt: skip
        name = self.metrics[0]
        taken = {key: each for key, each in values.items() if self._all or key in self._names}
        value = self._function(**taken)
        if value is None:
            return []
        number = _number(value)
        if number is None or math.isnan(number) or not 0 <= number <= 1:
            raise ConfigError(
                f"the metric {name} returned {value!r}: it must be a number from 0 to 1, or None"
            )
        return [Check(name, number, f"{number:.2f}" if number < 1 else "")]


def _number(value: Any) -> float | None:
    """Return a value as a number: also a truth value, and a number of numpy."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def metric_names(graders: Sequence[Any]) -> list[str]:
    """Return the names of all metrics of graders."""
    return [name for grader in graders for name in grader.metrics]
