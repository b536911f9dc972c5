"""Two evaluations side by side, question by question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rag.core.errors import UsageError
from rag.evaluation.evaluate import Evaluation, Scored
from rag.evaluation.statistics import estimate, randomization_test


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean over questions of one pipeline's value less the other's.

    Attributes
    ----------
    low, high : float
        The 95 % bootstrap interval.
    p : float
        Of a paired two-sided randomization test (`rag.evaluation.statistics.randomization_test`).
    count : int
        Questions that both have.
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
    """How much better `a` is than `b`, by metric; above 0 where `a` is better."""

    a: str
    b: str
    differences: Mapping[str, Difference]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "a": self.a, "b": self.b, "notes": list(self.notes),
            "differences": {name: asdict(found) for name, found in self.differences.items()},
        }  # fmt: skip

    def _repr_html_(self) -> str:
        from rag.evaluation.tables import comparison_table, to_html

        return to_html(comparison_table(self))


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """Compare two evaluations on the questions that both have.

    The p-value is of a paired two-sided randomization test (Smucker, Allan and Carterette, "A
    comparison of statistical significance tests for information retrieval evaluation", CIKM 2007).

    Raises
    ------
    UsageError
        They were measured in different units, or share no question or no metric.

    Examples
    --------
    >>> compare(evaluate(pipe, golden), evaluate(other, golden))    # doctest: +SKIP
    """
    for what in ("unit", "copies"):
        if getattr(a, what) != getattr(b, what):
            raise UsageError(
                f"{a.name} was measured with {what}={getattr(a, what)!r}, {b.name} with "
                f"{what}={getattr(b, what)!r}: evaluate both alike"
            )
    ours, theirs = _by_id(a), _by_id(b)
    shared = [name for name in ours if name in theirs and ours[name].question == theirs[name].question]
    differences = {}
    for metric in (name for name in a.metrics if name in b.metrics):
        if metric == "recall" and a.budgets != b.budgets:  # the means of different things
            continue
        values = [
            ours[name].values[metric] - theirs[name].values[metric]
            for name in shared if metric in ours[name].values
        ]  # fmt: skip
        if values:
            found = estimate(values)
            differences[metric] = Difference(
                found.mean, found.low, found.high, randomization_test(values), found.count
            )
    if not differences:
        raise UsageError(
            f"{a.name} and {b.name} share no question or no metric: evaluate both on one golden set, "
            "with the same budgets and k"
        )
    return Comparison(a.name, b.name, differences, _notes(a, b, len(shared)))


def _by_id(found: Evaluation) -> dict[str, Scored]:
    return {scored.question.id: scored for scored in found.questions}


def _notes(a: Evaluation, b: Evaluation, shared: int) -> tuple[str, ...]:
    ours, theirs = _by_id(a), _by_id(b)
    both = ours.keys() & theirs.keys()
    counts = (
        (len(ours) - len(both), f"are only in {a.name}"),
        (len(theirs) - len(both), f"are only in {b.name}"),
        (len(both) - shared, "have one id, and another text, filter, evidence or gold in each"),
    )
    return tuple(f"{count} questions {what}: left out" for count, what in counts if count)
