"""Which configurations are not worse than the best by more than a margin, and what few questions cannot tell.

A configuration is not inferior if the upper end of the 95 % interval of its loss, the best's value minus its
own, is within the margin (Piaggio et al., "Reporting of noninferiority and equivalence randomized trials",
JAMA 2012). The interval is that of the paired bootstrap. A bootstrap knows only losses that occurred, and
calls a loss of 0 on three questions certain: the upper end is therefore never below the loss that n questions
can miss altogether with a chance of 2.5 % (`unseen_loss`; the "rule of three" of Hanley and Lippman-Hand,
JAMA 1983, at that level).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rag.evaluation.differences import paired
from rag.evaluation.statistics import estimate, standard_error

#: How many standard errors a true difference must be from 0 for a two-sided 95 % interval to leave 0 out
#: with a chance of 80 %: the quantiles 1.960 and 0.842 of the normal distribution, added (Card et al., "With
#: Little Power Comes Great Responsibility", EMNLP 2020).
POWER = 1.960 + 0.842
_MISSED = 0.025


@dataclass(frozen=True, slots=True)
class Loss:
    """How much worse a configuration is than the best.

    Attributes
    ----------
    name : str
    mean, low, high : float
        The best's value minus its own, with the 95 % interval.
    smallest : float
        The smallest loss that this many questions can see with a chance of 80 %.
    count : int
        Questions.
    error : float
        The standard error of the mean.
    """

    name: str
    mean: float
    low: float
    high: float
    smallest: float
    count: int
    error: float

    def within(self, margin: float) -> bool:
        """Tell whether it is shown that the loss is within a margin."""
        return self.high <= margin

    def beyond(self, margin: float) -> bool:
        """Tell whether it is shown that the loss is beyond a margin."""
        return self.low > margin

    def needed(self, margin: float) -> int:
        """Return about how many questions like these can see a loss of the margin, with a chance of 80 %."""
        by_error = self.count * (POWER * self.error / margin) ** 2
        return math.ceil(max(by_error, math.log(_MISSED) / math.log1p(-margin)))

    def __str__(self) -> str:
        """Return ``1.2 points [-0.4, 2.9]``."""
        return f"{points(self.mean)} points [{points(self.low)}, {points(self.high)}]"


def loss_of(
    name: str,
    metric: str,
    best: Mapping[str, Mapping[str, float]],
    own: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, float] | None = None,
) -> Loss | None:
    """Return the loss of a configuration against the best; None if they share no question with the metric.

    Parameters
    ----------
    name, metric : str
    best, own : mapping
        Each question's values, by its id and the metric's name.
    weights : mapping, optional
        How much each question counts.

    Examples
    --------
    >>> right, wrong = {"correct": 1.0}, {"correct": 0.0}
    >>> best = {str(n): right for n in range(400)}
    >>> loss = loss_of("small", "correct", best, {**best, "7": wrong})
    >>> loss.mean, loss.within(0.02), loss.within(0.005)
    (0.0025, True, False)
    """
    differences = paired(metric, best, own)
    if not differences:
        return None
    values = [*differences.values()]
    of = None if weights is None else [weights[each] for each in differences]
    mean, error = estimate(values, of), standard_error(values, of)
    # Weights leave as many questions as would be as exact if all counted alike (Kish, 1965).
    effective = len(values) if of is None else sum(of) ** 2 / sum(weight * weight for weight in of)
    unseen = unseen_loss(effective)
    return Loss(
        name, mean.mean, mean.low, max(mean.high, unseen), max(POWER * error, unseen), mean.count, error
    )


def unseen_loss(count: float) -> float:
    """Return the share of questions lost that this many questions all miss with a chance of 2.5 %.

    Examples
    --------
    >>> round(unseen_loss(100), 3), round(unseen_loss(300), 3)
    (0.036, 0.012)
    """
    return float(1 - _MISSED ** (1 / count))


def points(share: float) -> str:
    """Return a difference of shares in percentage points, with one digit.

    Examples
    --------
    >>> points(0.0213), points(-0.00001)
    ('2.1', '0.0')
    """
    return f"{round(100 * share, 1) + 0.0:.1f}"
