"""Nothing worse goes live: limits of metrics, and a paired test against what was before.

A limit is broken if the mean is beyond it. A test says worse if the questions' values fell by more than
chance explains: a one-sided paired randomization test, corrected for the number of metrics (Holm, 1979), so
that over all tests of a gate the probability to fail though nothing is worse is at most `alpha`. What a set
of questions cannot see, it cannot guard: the smallest loss that it would find is told of every test.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any

from rag.core.displayable import Displayable
from rag.core.errors import UsageError
from rag.core.table import Table
from rag.evaluation.measured import Asked, Measured, check_metrics, is_cost
from rag.evaluation.statistics import Estimate, estimate, holm, p_text, randomization_test

#: The exit code of a gate that fails.
REFUSED = 4
#: A mean may miss its bound by the rounding of its sum.
_ROUNDING = 1e-9
#: The probability with which a loss of `PairedTest.smallest` is found.
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound of a metric's mean, or of its quantile.

    Attributes
    ----------
    least : bool
        Whether it is the least that the metric may be, or the most.
    mean : Estimate or None
        None where no question has the metric: the gate fails then.
    """

    metric: str
    bound: float
    least: bool
    mean: Estimate | None

    @property
    def passed(self) -> bool:
        """Whether the metric is within the bound."""
        if self.mean is None:
            return False
        below = self.bound - self.mean.mean if self.least else self.mean.mean - self.bound
        return below <= _ROUNDING

    def __str__(self) -> str:
        """Return it as in ``recall@4000 is 0.812, at least 0.9 is asked for``."""
        what = "at least" if self.least else "at most"
        if self.mean is None:
            return f"no question has {self.metric}, of which {what} {self.bound:g} is asked for"
        return f"{self.metric} is {self.mean.mean:.4g}, {what} {self.bound:g} is asked for"


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A comparison with a baseline, question by question.

    Attributes
    ----------
    loss : Estimate
        How much worse the values are, with its 95 % interval; below 0 where they are better.
    p : float
        One-sided, corrected over all tests of the gate.
    alpha : float
        Where `p` is at most this, the gate fails.
    smallest : float
        The smallest loss that the test finds with a probability of 80 %.
    """

    metric: str
    loss: Estimate
    p: float
    alpha: float
    smallest: float

    @property
    def passed(self) -> bool:
        """Whether chance explains the loss, if there is one."""
        return self.p > self.alpha

    def __str__(self) -> str:
        """Return it as in ``recall is worse by 0.051 [0.020, 0.084] (p = 0.002)``."""
        interval = f"[{self.loss.low:+.3f}, {self.loss.high:+.3f}]"
        return f"{self.metric} is worse by {self.loss.mean:.3f} {interval} (p {_p(self.p)})"


@dataclass(frozen=True, slots=True)
class Lost:
    """A question whose value fell, or that is not right.

    Attributes
    ----------
    why : str
        The metric with its values, and the answer's faults.
    expect : tuple of str
        Evidence that is lost, for ``rag explain --expect``.
    """

    id: str
    question: str
    where: str | None
    why: str
    expect: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Gate(Displayable):
    """The outcome of a gate."""

    name: str
    version: int
    limits: tuple[Limit, ...]
    tests: tuple[PairedTest, ...]
    lost: tuple[Lost, ...] = field(repr=False)
    canaries: tuple[Lost, ...] = ()
    flaky: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every limit, test and canary is passed."""
        limits, tests = all(each.passed for each in self.limits), all(each.passed for each in self.tests)
        return limits and tests and not self.canaries

    @property
    def reasons(self) -> list[str]:
        """Why it fails, a line each."""
        limits = [str(each) for each in self.limits if not each.passed]
        tests = [str(each) for each in self.tests if not each.passed]
        return limits + tests + [f"canary {each.id}: {each.why}" for each in self.canaries]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name, "version": self.version, "passed": self.passed, "reasons": self.reasons,
            "limits": [{**asdict(each), "passed": each.passed} for each in self.limits],
            "tests": [{**asdict(each), "passed": each.passed} for each in self.tests],
            "lost": [asdict(each) for each in self.lost],
            "canaries": [asdict(each) for each in self.canaries],
            "flaky": list(self.flaky), "notes": list(self.notes),
        }  # fmt: skip

    def tables(self) -> list[Table]:
        """Return a table of the limits and one of the tests, where there are such."""
        tables = []
        if self.limits:
            limits = [
                (
                    each.metric, "-" if each.mean is None else str(each.mean),
                    f"{'>=' if each.least else '<='} {each.bound:g}", _verdict(each.passed),
                )
                for each in self.limits
            ]  # fmt: skip
            tables.append(Table(f"{self.name}, version {self.version}: limits",
                                ("metric", "mean", "asked for", ""), limits))  # fmt: skip
        if self.tests:
            tests = [
                (
                    each.metric, f"{each.loss.mean:+.3f} [{each.loss.low:+.3f}, {each.loss.high:+.3f}]",
                    _p(each.p), f"{each.smallest:.3f}", str(each.loss.count), _verdict(each.passed),
                )
                for each in self.tests
            ]  # fmt: skip
            head = ("metric", "loss", "p", "smallest loss found", "questions", "")
            tables.append(Table("against the baseline (above 0: worse)", head, tests))
        return tables


def gate(
    measured: Measured,
    *,
    least: Mapping[str, float] | None = None,
    most: Mapping[str, float] | None = None,
    baseline: Measured | None = None,
    against: Sequence[str] = (),
    canary: Measured | None = None,
    alpha: float = 0.05,
) -> Gate:
    """Judge what was measured.

    Parameters
    ----------
    measured : Measured
        See `rag.evaluation.gate_values.measure`.
    least, most : mapping of str to float
        Bounds of metrics' means.
    baseline : Measured, optional
        What was before; compared on the questions that are the same in both.
    against : sequence of str
        The metrics that are tested.
    canary : Measured, optional
        Questions that must all be right: correct, and with all their evidence where only that is measured.
    alpha : float
        The most probability, over all tests, to fail though nothing is worse.

    Raises
    ------
    UsageError
        A metric is not known, nothing is asked for, or the baseline has no question or metric in common.

    Examples
    --------
    >>> measured = measure(rag.Pipeline("indexes/handbook"), "golden.jsonl", ["recall"])   # doctest: +SKIP
    >>> gate(measured, least={"recall": 0.9}).passed                                      # doctest: +SKIP
    True
    """
    least, most = least or {}, most or {}
    check_metrics([*least, *most], limits=True)
    check_metrics(against)
    if not least and not most and canary is None and (baseline is None or not against):
        raise UsageError("a gate needs a limit (--min, --max), a baseline to test against, or canaries")
    limits = [Limit(name, bound, True, measured.mean(name)) for name, bound in least.items()]
    limits += [Limit(name, bound, False, measured.mean(name)) for name, bound in most.items()]
    notes: list[str] = []
    tests: list[PairedTest] = []
    lost: list[Lost] = []
    if baseline is not None and against:
        tests, lost, notes = _compared(measured, baseline, against, alpha)
    if not lost:
        lost = _short(measured, [limit.metric for limit in limits if not limit.passed])
    return Gate(
        measured.name, measured.version, tuple(limits), tuple(tests), tuple(lost),
        tuple(_wrong(canary)) if canary is not None else (),
        tuple(key for key, each in measured.questions.items() if each.flaky), tuple(notes),
    )  # fmt: skip


def _compared(
    measured: Measured, baseline: Measured, against: Sequence[str], alpha: float
) -> tuple[list[PairedTest], list[Lost], list[str]]:
    """PairedTest each metric, and list the questions that fell."""
    same = {
        key for key, asked in measured.questions.items()
        if key in baseline.questions and baseline.questions[key].text == asked.text
    }  # fmt: skip
    notes = []
    if len(same) < max(len(measured.questions), len(baseline.questions)):
        notes.append(
            f"{len(same)} of {len(measured.questions)} questions are compared: the baseline has no others, "
            "or asks or expects something else of them"
        )
    found: list[tuple[str, list[float]]] = []
    lost: dict[str, Lost] = {}
    for metric in against:
        before, now = baseline.values(metric), measured.values(metric)
        sign = -1.0 if is_cost(metric) else 1.0
        both = [key for key in now if key in before and key in same]
        if not both:
            raise UsageError(
                f"{baseline.name} and what was measured have no question with {metric} in common: write the "
                "baseline anew with the same metrics"
            )
        found.append((metric, [sign * (before[key] - now[key]) for key in both]))
        if not is_cost(metric):
            for key in both:
                if now[key] < before[key] - 1e-9 and key not in lost:
                    lost[key] = _lost(key, measured.questions[key],
                                      f"{metric} was {before[key]:.2f}, is {now[key]:.2f}")  # fmt: skip
    corrected = holm([randomization_test(losses, worse=True) for _, losses in found])
    tests = [
        PairedTest(metric, estimate(losses), p, alpha, smallest_loss(losses, alpha / len(found)))
        for (metric, losses), p in zip(found, corrected, strict=True)
    ]
    return tests, [*lost.values()], notes


def smallest_loss(losses: Sequence[float], alpha: float) -> float:
    """Return the smallest mean loss that a paired one-sided test finds with a probability of 80 %.

    By the normal approximation, ``(z(1 - alpha) + z(0.8)) * s / sqrt(n)`` with the standard deviation s of
    the losses; at least as much as the fewest questions of which each loses 1 while no other changes, as
    a randomization test over m of them has a p-value of 2**-m or more.

    Parameters
    ----------
    losses : sequence of float
    alpha : float
        In (0, 1).

    Examples
    --------
    >>> smallest_loss([0.0] * 100, 0.05)
    0.05
    """
    count = len(losses)
    fewest = math.ceil(-math.log2(alpha)) / count
    spread = statistics.stdev(losses) if count > 1 else 0.0
    normal = NormalDist()
    return max(fewest, (normal.inv_cdf(1 - alpha) + normal.inv_cdf(POWER)) * spread / math.sqrt(count))


def _short(measured: Measured, metrics: Sequence[str]) -> list[Lost]:
    """Return the questions that a broken limit is due to: those below 1 of a share."""
    found: dict[str, Lost] = {}
    for metric in metrics:
        if is_cost(metric):
            continue
        for key, value in sorted(measured.values(metric).items(), key=lambda each: each[1]):
            if value < 1 and key not in found:
                found[key] = _lost(key, measured.questions[key], f"{metric} is {value:.2f}")
    return [*found.values()]


def _wrong(canary: Measured) -> list[Lost]:
    wrong = []
    for key, asked in canary.questions.items():
        low = {name: asked.values[name] for name in ("correct", "recall")
               if asked.values.get(name, 1.0) < 1}  # fmt: skip
        if low or not asked.values:
            why = ", ".join(f"{name} is {value:.2f}" for name, value in low.items()) or "it is not measured"
            wrong.append(_lost(key, asked, why))
    return wrong


def _lost(key: str, asked: Asked, why: str) -> Lost:
    faults = f" ({'; '.join(asked.faults[:2])})" if asked.faults else ""
    return Lost(key, asked.question, asked.where, f"{why}{faults}", asked.lost)


def _verdict(passed: bool) -> str:
    return "passed" if passed else "FAILED"


def _p(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"
