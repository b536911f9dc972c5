"""How sure a mean over questions is, and a difference between two.

Both resample questions: no assumption is made about how the values are spread.
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
#: Up to so many questions that differ, all 2^n sign changes are gone through.
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


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of at least one value, and its interval; the same every time.

    Examples
    --------
    >>> estimate([0.5, 0.5])
    Estimate(mean=0.5, low=0.5, high=0.5, count=2)
    """
    given = np.asarray(values, np.float64)
    rng = np.random.default_rng(_SEED)
    count = len(given)
    means = [given[rng.integers(count, size=(size, count))].mean(axis=1) for size in _blocks(DRAWS, count)]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    # A mean of equal values may differ from them in the last digit, and so from its own interval.
    mean = float(given.mean())
    return Estimate(mean, min(float(low), mean), max(float(high), mean), count)


def randomization_test(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of paired differences.

    If neither system is better, each question's difference could as well have had the other sign:
    the p-value is the share of sign changes whose mean is at least as far from 0 as the one seen
    (Smucker, Allan and Carterette, CIKM 2007). All of them are gone through where they are few; else
    random ones, and the one seen counts among them.

    Examples
    --------
    >>> randomization_test([1.0, 1.0, 1.0])
    0.25
    """
    given = np.asarray(differences, np.float64)
    given = given[given != 0]  # whose sign changes nothing
    count = len(given)
    # Sums that differ only by the order of addition are equal.
    seen = abs(given.sum()) - 1e-9 * np.abs(given).sum()
    if count <= _EXACT:
        sums = np.array(list(itertools.product((-1.0, 1.0), repeat=count))) @ given
        return float((np.abs(sums) >= seen).mean())
    rng = np.random.default_rng(_SEED)
    far = 0
    for size in _blocks(SIGNS, count):
        signs = rng.integers(0, 2, size=(size, count), dtype=np.int8) * 2.0 - 1.0
        far += int((np.abs(signs @ given) >= seen).sum())
    return (far + 1) / (SIGNS + 1)


def _blocks(draws: int, count: int) -> list[int]:
    """Part the draws, so that a block of them takes 8 MB."""
    most = max(1, 1_000_000 // count)
    return [min(most, draws - at) for at in range(0, draws, most)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm, 1979): below 0.05 all of them hold at once.

    Examples
    --------
    >>> holm([0.25, 0.0625])
    [0.25, 0.125]
    """
    out = [0.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        out[at] = highest
    return out
