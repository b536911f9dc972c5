"""Intervals and p-values, compared with hand counts and with scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.evaluation.statistics import estimate, holm, randomization_test


def test_interval_equals_scipys_percentile_bootstrap() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(5).beta(2, 1, 120)
    interval = estimate(values)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=5000, method="percentile", rng=1)
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(theirs.confidence_interval.low, abs=0.005)
    assert interval.high == pytest.approx(theirs.confidence_interval.high, abs=0.005)
    assert estimate(values) == interval
    one = estimate([0.25])
    assert (one.mean, one.low, one.high, one.count) == (0.25, 0.25, 0.25, 1)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_interval_contains_mean_and_stays_in_range(values: list[float]) -> None:
    interval = estimate(values)
    assert interval.low <= interval.mean <= interval.high
    assert min(values) - 1e-9 <= interval.low and interval.high <= max(values) + 1e-9


def test_p_values_counted_by_hand() -> None:
    # Of the 8 sign changes of (.5, .25, .25), only all plus and all minus reach a sum of 1.
    assert randomization_test([0.5, 0.25, 0.25]) == 2 / 8
    # The sums of (.5, .25, -.25) are 0 twice, 1, -1, and .5 or -.5 four times: all but the zeros.
    assert randomization_test([0.5, 0.25, -0.25]) == 6 / 8
    assert randomization_test([0.0, 0.0, 0.5]) == 1.0
    assert randomization_test([0.0, 0.0]) == 1.0


@pytest.mark.parametrize("count", [9, 60])
def test_p_values_equal_scipys(count: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(count)
    for shift in (0.0, 0.1, 0.3):
        sample = rng.normal(shift, 0.5, count).round(2)
        theirs = stats.permutation_test(
            (sample, np.zeros(count)), lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples", vectorized=True, n_resamples=20_000, rng=1,
        ).pvalue  # fmt: skip
        assert randomization_test(sample) == pytest.approx(theirs, abs=0.02 if count > 13 else 1e-9)


def test_holm_correction() -> None:
    assert holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06]
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
