"""Graders of a golden set's answers: a judge by its rubrics, and metrics that are functions of the user's."""

from __future__ import annotations

import inspect
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rag.core.answers import Answer
from rag.core.calls import Call
from rag.core.errors import ConfigError, GenerationError, RagError
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
    strict : bool
        An answer that could not be judged counts as the worst, so that a gate cannot pass for want of
        verdicts; else it has no score.

    Examples
    --------
    >>> grader = JudgeGrader(Judge(model, ["faithfulness"]))                            # doctest: +SKIP
    >>> evaluate_answers(pipe, "golden.jsonl", graders=[grader])                        # doctest: +SKIP
    """

    def __init__(
        self,
        judge: Judge,
        spending: Spending | None = None,
        kappas: Mapping[str, Kappa] | None = None,
        *,
        strict: bool = False,
    ) -> None:
        self.judge, self.spending, self.strict = judge, spending or Spending(), strict
        self.kappas = dict(kappas or {})
        self._failures = _Failures()
        self._torn = 0
        self._lock = threading.Lock()

    @property
    def metrics(self) -> tuple[str, ...]:
        """``judge:RUBRIC`` of each rubric."""
        return tuple(PREFIX + name for name in self.judge.rubrics)

    @property
    def trust(self) -> dict[str, str]:
        """How far the judge agrees with people, by metric."""
        return {
            PREFIX + name: f"kappa {self.kappas[name]}" if name in self.kappas else "not calibrated"
            for name in self.judge.rubrics
        }

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
            torn = [f"of {self._torn} verdicts the votes are 2 or more apart"] if self._torn else []
        return (*trust, *self._failures.notes("verdicts failed", self.strict), *torn)

    def __call__(self, question: Question, answer: Answer) -> list[Check]:
        """Return a check for each rubric that fits."""
        if not answer.answered:
            # Whether it refuses rightly needs no judge.
            failed = [name for name in self.judge.rubrics if question.answerable and name in _OF_CONTENT]
            return [Check(PREFIX + name, 0.0, "it refuses") for name in failed]
        case = case_of(question, answer)
        found = []
        for by in self.judge.rubrics_of(case):
            try:
                verdict = self.spending.run(self.judge.verdict, case, by.name)
            except GenerationError as error:
                self._failures.add(str(error))
                if self.strict:
                    found.append(Check(PREFIX + by.name, 0.0, f"it was not judged: {error}"))
                continue
            with self._lock:
                self._torn += verdict.spread >= 2
            found.append(Check(PREFIX + by.name, verdict.value, str(verdict) if verdict.value < 1 else ""))
        return found


class _Failures:
    """Counts why answers have no score; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: Counter[str] = Counter()

    def add(self, why: str) -> None:
        """Count a failure."""
        with self._lock:
            self._of[why] += 1

    def notes(self, what: str, strict: bool) -> list[str]:
        """Return a line for each of the most frequent reasons."""
        so = "count as the worst" if strict else "have no score"
        with self._lock:
            return [f"{count} {what}, so those answers {so}: {why}" for why, count in self._of.most_common(3)]


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
    strict : bool
        As for `JudgeGrader`.
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

    def __init__(
        self, name: str, function: Callable[..., Any] | None = None, *, strict: bool = False
    ) -> None:
        self._function = resolve(name, "the metric") if function is None else function
        self.metrics: tuple[str, ...] = (name,)
        self.trust: Mapping[str, str] = {}
        self.strict, self._failures = strict, _Failures()
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

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the function failed, and why."""
        return tuple(self._failures.notes(f"calls of {self.metrics[0]} failed", self.strict))

    def __call__(self, question: Question, answer: Answer) -> list[Check]:
        """Return the metric's check; none where it returns None."""
        values = {
            "question": question.question, "answer": answer.text,
            "contexts": [hit.text for hit in answer.context.hits], "reference": question.expected.answer,
        }  # fmt: skip
        name = self.metrics[0]
        taken = {key: each for key, each in values.items() if self._all or key in self._names}
        try:
            value = self._function(**taken)
        except RagError as error:
            if not isinstance(error, GenerationError):
                raise  # a budget, a setting: the next answer would fail, too
            return self._failed(name, str(error))
        except Exception as error:  # a function of the user's may raise anything
            return self._failed(name, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        if value is None:
            return []
        number = _number(value)
        if number is None or math.isnan(number) or not 0 <= number <= 1:
            raise ConfigError(
                f"the metric {name} returned {value!r}: it must be a number from 0 to 1, or None"
            )
        return [Check(name, number, f"{number:.2f}" if number < 1 else "")]

    def _failed(self, name: str, why: str) -> list[Check]:
        self._failures.add(why)
        return [Check(name, 0.0, f"it failed: {why}")] if self.strict else []


def _number(value: Any) -> float | None:
    """Return a value as a number: also a truth value, and a number of numpy."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def metric_names(graders: Sequence[Any]) -> list[str]:
    """Return the names of all metrics of graders."""
    return [name for grader in graders for name in grader.metrics]
