"""The names of what is measured of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rag.evaluation.statistics import Estimate

#: Checks that an answer must pass entirely to be right; the others are shares, with no such line.
HARD = ("answered", "must_include", "must_not_include", "regex", "numbers", "schema")
#: Metrics of answers in the order in which they are shown, with the unit of what is not a share.
METRICS: Mapping[str, str] = {
    "correct": "", **dict.fromkeys(HARD, ""), "language": "", "cite_recall": "", "cite_precision": "",
    "verified": "", "supported": "", "f1": "", "contains": "", "usd": "$", "tokens": "tokens", "seconds": "s",
}  # fmt: skip
#: Metrics of which less is better.
COSTS = ("usd", "tokens", "seconds")
#: Quantiles of a metric that may have limits: ``seconds.p95``.
QUANTILES = ("p50", "p95", "p99")


def graded(metric: str) -> bool:
    """Tell whether a metric's name is one of a grader's: ``judge:faithfulness``, ``my_metrics:tone``."""
    return ":" in metric


def shown(metric: str) -> str:
    """Return a metric's name for people; a function's stays as it is."""
    return metric if graded(metric) else metric.replace("_", " ")


def parted(metric: str) -> tuple[str, str]:
    """Return a metric's name, and the quantile that is meant of it; else an empty text.

    Examples
    --------
    >>> parted("seconds.p95"), parted("my.metrics:tone")
    (('seconds', 'p95'), ('my.metrics:tone', ''))
    """
    name, _, quantile = metric.rpartition(".")
    return (name, quantile) if quantile in QUANTILES else (metric, "")


def with_graded(names: Iterable[str]) -> dict[str, str]:
    """Return `METRICS`, and behind the checks those of graders that occur among names; all with their units.

    Examples
    --------
    >>> [*with_graded(["correct", "judge:relevance"])][-4:]
    ['judge:relevance', 'usd', 'tokens', 'seconds']
    """
    found = dict.fromkeys(sorted({name for name in names if graded(name)}), "")
    costs = {name: unit for name, unit in METRICS.items() if name in COSTS}
    return {**{name: unit for name, unit in METRICS.items() if name not in COSTS}, **found, **costs}


def cell(value: Estimate | None, unit: str) -> str:
    """Return an estimate for people, with as many digits as its unit has use for."""
    if value is None:
        return "-"
    digits = digits_of(unit, value.mean)
    return f"{value.mean:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def digits_of(unit: str, mean: float) -> int:
    """Return how many digits a mean has behind the point; a small price has more."""
    if unit == "$":
        return 4 if mean == 0 or abs(mean) >= 0.01 else 6
    return {"tokens": 0, "s": 2}.get(unit, 3)
