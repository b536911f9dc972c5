"""Compare two evaluations question by question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rag.core.errors import UsageError
from rag.core.table import Table
from rag.evaluation.evaluate import Evaluation, Scored
from rag.evaluation.statistics import estimate, p_text, randomization_test


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean over questions of one pipeline's value minus the other's.

    Attributes
    ----------
    low, high : float
        The 95 % bootstrap interval.
    p : float
        Of a paired two-sided randomization test (`rag.evaluation.statistics.randomization_test`).
    count : int
        Questions that both evaluations have.
    """

    mean: float
    low: float
    high: float
    p: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of `a` minus `b` for each metric; above 0 where `a` is better."""

    a: str
    b: str
    differences: Mapping[str, Difference]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "a": self.a, "b": self.b, "notes": list(self.notes),
            "differences": {name: asdict(difference) for name, difference in self.differences.items()},
        }  # fmt: skip

    def table(self) -> Table:
        """Return a table with one row per metric."""
        rows = [
            (metric, str(difference), p_text(difference.p), str(difference.count))
            for metric, difference in self.differences.items()
        ]
        caption = f"{self.a} against {self.b} (above 0: {self.a} is better)"
        return Table(caption, ("metric", "difference", "p", "questions"), rows)

    def _repr_html_(self) -> str:
        return self.table().to_html()


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Compare two evaluations on the questions that both have.

    The p-value is that of a paired two-sided randomization test (Smucker, Allan and Carterette, "A
    comparison of statistical significance tests for information retrieval evaluation", CIKM 2007).

    Raises
    ------
    UsageError
        The evaluations differ in unit or in whether copies count, or share no question or no metric.

    Examples
    --------
    >>> compare(evaluate(pipe, golden), evaluate(other, golden))    # doctest: +SKIP
    """
    for setting, of_a, of_b in (("unit", a.unit, b.unit), ("copies", a.copies, b.copies)):
        if of_a != of_b:
            raise UsageError(
                f"{a.name} was measured with {setting}={of_a!r}, {b.name} with {setting}={of_b!r}: "
                "evaluate both with the same"
            )
    ours, theirs = _by_id(a), _by_id(b)
    shared = [name for name in ours if name in theirs and ours[name].question == theirs[name].question]
    metrics = [name for name in a.metrics if name in b.metrics]
    if a.budgets != b.budgets:  # recall is a mean over different budgets
        metrics = [name for name in metrics if name != "recall"]
    found = differences(
        metrics, {name: ours[name].values for name in shared}, {name: theirs[name].values for name in shared}
    )
    if not found:
        raise UsageError(
            f"{a.name} and {b.name} share no question or no metric: evaluate both on one golden set, "
            "with the same budgets and k"
        )
    return Comparison(a.name, b.name, found, _notes(a, b, len(shared)))


def differences(
    metrics: Iterable[str], a: Mapping[str, Mapping[str, float]], b: Mapping[str, Mapping[str, float]]
) -> dict[str, Difference]:
    """Return how metrics differ on the questions that have them on both sides.

    Parameters
    ----------
    metrics : iterable of str
    a, b : mapping
        Each question's values, by its id and the metric's name.
    """
    found = {}
    for metric in metrics:
        values = [
            ours[metric] - b[name][metric] for name, ours in a.items()
            if name in b and metric in ours and metric in b[name]
        ]  # fmt: skip
        if values:
            mean = estimate(values)
            found[metric] = Difference(mean.mean, mean.low, mean.high, randomization_test(values), mean.count)
    return found


def _by_id(evaluation: Evaluation) -> dict[str, Scored]:
    return {scored.question.id: scored for scored in evaluation.questions}


def _notes(a: Evaluation, b: Evaluation, shared: int) -> tuple[str, ...]:
    ours, theirs = _by_id(a), _by_id(b)
    both = ours.keys() & theirs.keys()
    counts = (
        (len(ours) - len(both), f"are only in {a.name}"),
        (len(theirs) - len(both), f"are only in {b.name}"),
        (len(both) - shared, "have the same id in both, but another text, filter, evidence or gold"),
    )
    return tuple(f"{count} questions {what}: left out" for count, what in counts if count)
