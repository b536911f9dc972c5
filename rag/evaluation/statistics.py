"""Uncertainty of a mean over questions, and of a difference between two pipelines.

Both resample questions, so no distribution of the values is assumed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Resamples of a bootstrap interval: its ends then vary by about 1 % of its width from seed to seed.
DRAWS = 5000
#: Random sign changes of a randomization test: a p-value of 0.05 then has a standard error of 0.002.
SIGNS = 10_000
#: Up to this many differing questions, the test enumerates all 2^n sign changes.
_EXACT = 13
_SEED = 0

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over questions and its 95 % interval.

    Attributes
    ----------
    low, high : float
        The percentile bootstrap interval (Efron and Tibshirani, 1993, chapter 13).
    count : int
        Questions.
    """

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate(values: Sequence[float], weights: Sequence[float] | None = None) -> Estimate:
    """Return the mean of one or more values and its 95 % interval; equal input gives equal output.

    Parameters
    ----------
    values : sequence of float
    weights : sequence of float, optional
        How much each value counts, above 0; by default all alike. Values are resampled with their weights.

    Examples
    --------
    >>> estimate([0.5, 0.5])
    Estimate(mean=0.5, low=0.5, high=0.5, count=2)
    >>> estimate([0.0, 1.0], [1.0, 3.0]).mean
    0.75
    """
    mean, means = _resampled(values, weights)
    low, high = np.quantile(means, [0.025, 0.975])
    # Rounding can put the mean of equal values outside their interval, in the last digit.
    return Estimate(mean, min(float(low), mean), max(float(high), mean), len(values))


def standard_error(values: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Return the bootstrap standard error of a mean (Efron and Tibshirani, 1993, chapter 6).

    The parameters are those of `estimate`, as are the resamples.

    Examples
    --------
    >>> round(standard_error([0.0, 1.0] * 50), 2)    # sqrt(0.25 / 100)
    0.05
    """
    return float(_resampled(values, weights)[1].std())


def _resampled(values: Sequence[float], weights: Sequence[float] | None) -> tuple[float, Values]:
    """Return the mean, and those of `DRAWS` resamples."""
    sample = np.asarray(values, np.float64)
    rng = np.random.default_rng(_SEED)
    count = len(sample)
    draws = (rng.integers(count, size=(size, count)) for size in _blocks(DRAWS, count))
    if weights is None:
        return float(sample.mean()), np.concatenate([sample[draw].mean(axis=1) for draw in draws])
    weight = np.asarray(weights, np.float64)
    weighted = sample * weight
    mean = float(weighted.sum() / weight.sum())
    means = [weighted[draw].sum(axis=1) / weight[draw].sum(axis=1) for draw in draws]
    return mean, np.concatenate(means)


def randomization_test(differences: Sequence[float], *, worse: bool = False) -> float:
    """Return the p-value of paired differences.

    If neither system is better, every question's difference could equally have the opposite sign:
    the p-value is the share of sign changes whose mean is at least as far from 0 as the observed mean
    (Smucker, Allan and Carterette, CIKM 2007). Few sign changes are enumerated; of many, `SIGNS` are
    drawn at random, and the observed one counts among them.

    Parameters
    ----------
    differences : sequence of float
    worse : bool
        One-sided: the share whose mean is at least as high as the observed one.

    Examples
    --------
    >>> randomization_test([1.0, 1.0, 1.0])
    0.25
    >>> randomization_test([1.0, 1.0, 1.0], worse=True)
    0.125
    """
    nonzero = np.asarray(differences, np.float64)
    nonzero = nonzero[nonzero != 0]  # a zero has no sign to change
    count = len(nonzero)
    # The tolerance makes sums equal that differ only by the order of addition.
    size = nonzero.sum() if worse else abs(nonzero.sum())
    observed = size - 1e-9 * np.abs(nonzero).sum()
    if count <= _EXACT:
        sums = np.array(list(itertools.product((-1.0, 1.0), repeat=count))) @ nonzero
        return float(((sums if worse else np.abs(sums)) >= observed).mean())
    rng = np.random.default_rng(_SEED)
    far = 0
    for block in _blocks(SIGNS, count):
        sums = (rng.integers(0, 2, size=(block, count), dtype=np.int8) * 2.0 - 1.0) @ nonzero
        far += int(((sums if worse else np.abs(sums)) >= observed).sum())
    return (far + 1) / (SIGNS + 1)


def _blocks(draws: int, count: int) -> list[int]:
    """Divide the draws into blocks of at most 8 MB."""
    most = max(1, 1_000_000 // count)
    return [min(most, draws - at) for at in range(0, draws, most)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple comparisons (Holm, 1979), controlling the family-wise error rate.

    Examples
    --------
    >>> holm([0.25, 0.0625])
    [0.25, 0.125]
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = highest
    return corrected


def p_text(p: float) -> str:
    """Return a p-value for people.

    Examples
    --------
    >>> p_text(0.0321), p_text(0.0001)
    ('0.032', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
