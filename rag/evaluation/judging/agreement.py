"""Agreement of two raters beyond chance, with its interval.

Cohen's kappa is (po - pe) / (1 - pe): po is the share of items on which the raters agree, pe the share on
which they would if each rated at random with the shares of ratings that it has (J. Cohen, Educational and
Psychological Measurement 20, 1960). Weighted kappa counts a disagreement by the square of its distance
(J. Cohen, Psychological Bulletin 70, 1968). The standard error is that for large samples of J. L. Fleiss,
J. Cohen and B. S. Everitt (Psychological Bulletin 72, 1969), as in statsmodels' ``cohens_kappa``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

#: The normal distribution's 97.5 % quantile: both sides of a 95 % interval.
_Z = NormalDist().inv_cdf(0.975)
#: Bounds of kappa and their usual names (J. R. Landis and G. G. Koch, Biometrics 33, 1977).
_NAMES = ((0.0, "poor"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))


@dataclass(frozen=True, slots=True)
class Kappa:
    """Cohen's kappa.

    Attributes
    ----------
    value : float
        In [-1, 1]; 0 is agreement by chance. NaN where both raters gave all items one and the same rating.
    low, high : float
        Its 95 % interval, cut to [-1, 1].
    observed, expected : float
        The (weighted) agreement that is seen, and that chance gives.
    count : int
        Items.
    """

    value: float
    low: float
    high: float
    observed: float
    expected: float
    count: int

    @property
    def name(self) -> str:
        """The usual word for it: poor, slight, fair, moderate, substantial, almost perfect."""
        if math.isnan(self.value):
            return "undefined"
        return next((name for bound, name in _NAMES if self.value <= bound), "almost perfect")

    def __str__(self) -> str:
        """Return it as in ``0.71 [0.58, 0.84]``."""
        if math.isnan(self.value):
            return "undefined: all ratings are equal"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; what is undefined is None."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


def cohen_kappa(
    first: Sequence[Any], second: Sequence[Any], categories: Sequence[Any], *, weighted: bool = False
) -> Kappa:
    """Return the agreement of two raters of the same items.

    Parameters
    ----------
    first, second : sequence
        Their ratings.
    categories : sequence
        The possible ratings; with `weighted`, in order.
    weighted : bool
        Count disagreements by the square of their distance; for scales.

    Raises
    ------
    ValueError
        There is no item, the lengths differ, or a rating is none of the categories.

    Examples
    --------
    >>> cohen_kappa("aabb", "aabb", "ab").value
    1.0
    >>> str(cohen_kappa([1, 2, 3, 3, 1, 2], [1, 2, 3, 2, 1, 1], [1, 2, 3], weighted=True))
    '0.75 [0.44, 1.00]'
    """
    counts = confusion(first, second, categories)
    total = counts.sum()
    shares = counts / total
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    size = len(categories)
    if weighted:
        distance = np.subtract.outer(np.arange(size), np.arange(size)) / max(size - 1, 1)
        weights = 1.0 - distance**2
    else:
        weights = np.eye(size)
    observed, expected = float((weights * shares).sum()), float(rows @ weights @ columns)
    if math.isclose(expected, 1.0, rel_tol=0, abs_tol=1e-12):
        return Kappa(math.nan, math.nan, math.nan, observed, expected, int(total))
    value = (observed - expected) / (1 - expected)
    # Fleiss, Cohen and Everitt (1969), equation 15: the variance of a kappa that is not 0.
    of_rows, of_columns = weights @ columns, weights.T @ rows
    spread = weights - (of_rows[:, None] + of_columns[None, :]) * (1 - value)
    variance = ((shares * spread**2).sum() - (value - expected * (1 - value)) ** 2) / (
        (1 - expected) ** 2 * total
    )
    half = _Z * math.sqrt(max(float(variance), 0.0))
    return Kappa(
        value, max(value - half, -1.0), min(value + half, 1.0), observed, expected, int(total)
    )  # fmt: skip


def confusion(
    first: Sequence[Any], second: Sequence[Any], categories: Sequence[Any]
) -> npt.NDArray[np.int64]:
    """Return how often each pair of ratings occurs: the first rater's by row, the second's by column.

    Raises
    ------
    ValueError
        As by `cohen_kappa`.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} ratings: both raters must rate the same items")
    places = {category: at for at, category in enumerate(categories)}
    unknown = [each for each in (*first, *second) if each not in places]
    if unknown:
        raise ValueError(f"the rating {unknown[0]!r} is none of {', '.join(map(repr, categories))}")
    counts = np.zeros((len(categories), len(categories)), np.int64)
    np.add.at(counts, ([places[each] for each in first], [places[each] for each in second]), 1)
    return counts


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (E. B. Wilson, JASA 22, 1927).

    Examples
    --------
    >>> tuple(round(each, 3) for each in wilson(8, 10))
    (0.49, 0.943)
    """
    if not total:
        return 0.0, 1.0
    share, square = successes / total, _Z**2
    centre = (share + square / (2 * total)) / (1 + square / total)
    half = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total**2)) / (1 + square / total)
    return max(centre - half, 0.0), min(centre + half, 1.0)


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's rank correlation, and its two-sided p-value by Student's t.

    Attributes
    ----------
    value : float
        In [-1, 1]; NaN where one of the two does not vary.
    """

    value: float
    p: float
    count: int


def spearman(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Return the rank correlation of two sequences (C. Spearman, 1904), ties at their mean ranks.

    The p-value is that of scipy's ``spearmanr``: t = r * sqrt((n - 2) / (1 - r**2)) with n - 2 degrees of
    freedom.

    Examples
    --------
    >>> round(spearman([1, 2, 3, 4], [1, 3, 2, 4]).value, 3)
    0.8
    """
    a, b = _ranks(x), _ranks(y)
    count = len(a)
    if count < 3 or a.std() == 0 or b.std() == 0:
        return Correlation(math.nan, math.nan, count)
    value = float(np.corrcoef(a, b)[0, 1])
    return Correlation(value, _p_of_t(value, count - 2), count)


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    _, inverse, counts = np.unique(array, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return np.asarray(((ends - counts + 1 + ends) / 2)[inverse], np.float64)


def _p_of_t(r: float, freedom: int) -> float:
    """Return the two-sided p-value of a correlation: the incomplete beta function I(f/(f+t²); f/2, 1/2).

    As t² = f r² / (1 - r²), its argument is 1 - r².
    """
    return _beta(1 - r * r, freedom / 2, 0.5)


def _beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # it converges fast on the other side
        return 1 - _beta(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    ) / a  # fmt: skip
    tiny = 1e-300
    c, d = 1.0, 1.0 / (1 - (a + b) * x / (a + 1) or tiny)
    fraction = d
    for m in range(1, 500):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1 + factor * d or tiny)
            c = 1 + factor / c or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction
