"""How two pipelines differ on the same questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.core.displayable import Displayable
from rag.core.frames import frame
from rag.core.table import Table
from rag.evaluation.statistics import estimate, p_text, randomization_test

if TYPE_CHECKING:
    import pandas as pd


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
    p_holm : float or None
        `p` corrected for the comparisons that it was made with (`rag.evaluation.statistics.holm`).
    """

    mean: float
    low: float
    high: float
    p: float
    count: int
    p_holm: float | None = None

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Displayable):
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

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each metric; needs pandas."""
        return frame({"metric": name, **asdict(each)} for name, each in self.differences.items())


def differences(
    metrics: Iterable[str],
    a: Mapping[str, Mapping[str, float]],
    b: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, float] | None = None,
) -> dict[str, Difference]:
    """Return how metrics differ on the questions that have them on both sides.

    Parameters
    ----------
    metrics : iterable of str
    a, b : mapping
        Each question's values, by its id and the metric's name.
    weights : mapping of str to float, optional
        How much each question counts, by its id; by default all alike.
    """
    found = {}
    for metric in metrics:
        values = paired(metric, a, b)
        if values:
            of = None if weights is None else [weights[name] for name in values]
            mean = estimate([*values.values()], of)
            signed = [*values.values()] if of is None else np.multiply([*values.values()], of).tolist()
            found[metric] = Difference(mean.mean, mean.low, mean.high, randomization_test(signed), mean.count)
    return found


def paired(
    metric: str, a: Mapping[str, Mapping[str, float]], b: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Return the differences of `a` minus `b` of a metric, by the ids of the questions that have it in both.

    Examples
    --------
    >>> paired("correct", {"1": {"correct": 1.0}, "2": {}}, {"1": {"correct": 0.0}, "2": {"correct": 1.0}})
    {'1': 1.0}
    """
    return {
        name: ours[metric] - b[name][metric] for name, ours in a.items()
        if name in b and metric in ours and metric in b[name]
    }  # fmt: skip
