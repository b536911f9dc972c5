"""Agreement equals scikit-learn's and scipy's, and its intervals hold what they promise."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from rag.evaluation.judging.agreement import cohen_kappa, confusion, spearman, wilson

SCALE = [1, 2, 3, 4, 5]
RATINGS = st.lists(st.tuples(st.sampled_from(SCALE), st.sampled_from(SCALE)), min_size=1, max_size=60)


@given(RATINGS, st.booleans())
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]], weighted: bool) -> None:
    a, b = zip(*pairs, strict=True)
    ours = cohen_kappa(a, b, SCALE, weighted=weighted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = cohen_kappa_score(a, b, labels=SCALE, weights="quadratic" if weighted else None)
    assert ours.count == len(pairs)
    assert math.isnan(ours.value) == math.isnan(theirs)
    if not math.isnan(theirs):
        assert ours.value == pytest.approx(theirs, abs=1e-9)
        assert -1 <= ours.low <= ours.value <= ours.high <= 1
    assert (confusion(a, b, SCALE) == confusion_matrix(a, b, labels=SCALE)).all()


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=60))
def test_rank_correlation_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    x, y = zip(*pairs, strict=True)
    ours = spearman(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = stats.spearmanr(x, y)
    assert math.isnan(ours.value) == math.isnan(theirs.statistic)
    if not math.isnan(theirs.statistic):
        assert ours.value == pytest.approx(theirs.statistic, abs=1e-9)
        assert ours.p == pytest.approx(theirs.pvalue, abs=1e-9)


@given(st.integers(1, 300), st.data())
def test_intervals_of_shares_are_those_of_scipy(total: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, total))
    theirs = stats.binomtest(successes, total).proportion_ci(method="wilson")
    assert wilson(successes, total) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_interval_of_kappa_is_that_of_the_delta_method(weighted: bool) -> None:
    counts = np.array([[9, 2, 1], [3, 14, 4], [0, 2, 11]])
    first, second = np.repeat(np.indices((3, 3)).reshape(2, -1), counts.ravel(), axis=1)
    weights = 1 - (np.subtract.outer(np.arange(3), np.arange(3)) / 2) ** 2 if weighted else np.eye(3)

    def kappa(shares: np.ndarray) -> float:
        expected = shares.sum(axis=1) @ weights @ shares.sum(axis=0)
        return float(((weights * shares).sum() - expected) / (1 - expected))

    shares, step = counts / counts.sum(), 1e-6
    slopes = np.array([
        (kappa(shares + step * unit) - kappa(shares - step * unit)) / (2 * step)
        for unit in np.eye(9).reshape(9, 3, 3)
    ]).reshape(3, 3)  # fmt: skip
    variance = ((shares * slopes**2).sum() - (shares * slopes).sum() ** 2) / counts.sum()
    low, high = stats.norm.interval(0.95, kappa(shares), np.sqrt(variance))
    found = cohen_kappa(first, second, [0, 1, 2], weighted=weighted)
    assert (found.low, found.value, found.high) == pytest.approx((low, kappa(shares), high), abs=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_interval_of_kappa_holds_the_true_value_95_times_of_100(weighted: bool) -> None:
    rng = np.random.default_rng(3)
    joint = np.array([[0.3, 0.06, 0.02], [0.05, 0.2, 0.05], [0.01, 0.05, 0.26]])
    many = rng.choice(9, 400_000, p=joint.ravel())
    true = cohen_kappa(many // 3, many % 3, [0, 1, 2], weighted=weighted).value
    inside = 0
    for _ in range(600):
        drawn = rng.choice(9, 600, p=joint.ravel())
        found = cohen_kappa(drawn // 3, drawn % 3, [0, 1, 2], weighted=weighted)
        inside += found.low <= true <= found.high
    assert 0.925 <= inside / 600 <= 0.98


def test_raters_that_say_one_thing_alone_have_no_kappa() -> None:
    found = cohen_kappa([True] * 9, [True] * 9, [False, True])
    assert math.isnan(found.value) and str(found) == "undefined: all ratings are equal"
    assert found.to_dict()["value"] is None
    # One rater who never differs is worth nothing, whatever the share of equal ratings.
    assert cohen_kappa([True] * 8 + [False], [True] * 9, [False, True]).value == 0.0


def test_ratings_must_be_of_the_same_items_and_of_the_scale() -> None:
    with pytest.raises(ValueError, match="1 and 2 ratings"):
        cohen_kappa([1], [1, 2], SCALE)
    with pytest.raises(ValueError, match="the rating 7 is none of"):
        cohen_kappa([7], [1], SCALE)
