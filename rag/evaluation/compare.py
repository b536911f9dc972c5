"""Compare two evaluations question by question."""

from __future__ import annotations

from rag.core.errors import UsageError
from rag.evaluation.differences import Comparison, differences
from rag.evaluation.evaluate import Evaluation, Scored


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
