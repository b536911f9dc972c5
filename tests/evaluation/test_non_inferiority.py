"""Losses against the best, and what few questions cannot tell: values by hand."""

from __future__ import annotations

import math

import pytest

from rag.evaluation.non_inferiority import POWER, loss_of, points, unseen_loss


def values(*marks: float) -> dict[str, dict[str, float]]:
    return {str(n): {"correct": mark} for n, mark in enumerate(marks)}


def test_a_loss_with_its_error() -> None:
    # 400 questions, of which the best alone answers 8: a mean of 0.02, a variance of 0.02 x 0.98.
    loss = loss_of("small", "correct", values(*[1] * 400), values(*[0] * 8, *[1] * 392))
    assert loss is not None and loss.count == 400
    assert loss.mean == pytest.approx(0.02)
    assert loss.error == pytest.approx(math.sqrt(0.02 * 0.98 / 400), rel=0.05)
    assert (loss.low, loss.high) == pytest.approx((0.0075, 0.035), abs=0.003)
    assert loss.smallest == pytest.approx(POWER * loss.error)
    assert not loss.within(0.02) and loss.within(0.04) and not loss.beyond(0.02) and loss.beyond(0.005)
    assert loss.needed(0.02) == math.ceil(400 * (POWER * loss.error / 0.02) ** 2)


def test_few_equal_answers_prove_nothing() -> None:
    same = values(1, 1, 0)
    loss = loss_of("twin", "correct", same, same)
    assert loss is not None
    assert (loss.mean, loss.low, loss.error) == (0.0, 0.0, 0.0)
    # A loss of 71 % of all questions is missed by three with a chance of 2.5 %: 0.29 ** 3 = 0.025.
    assert loss.high == loss.smallest == pytest.approx(1 - 0.025 ** (1 / 3)) == pytest.approx(0.708, abs=1e-3)
    assert not loss.within(0.02)
    assert loss.needed(0.02) == 183  # 0.98 ** 183 is below 0.025, 0.98 ** 182 is not
    assert unseen_loss(183) <= 0.02 < unseen_loss(182)


def test_weights_count_and_leave_fewer_questions() -> None:
    best, own = values(1, 1, 1), values(0, 1, 1)
    loss = loss_of("small", "correct", best, own, {"0": 2.0, "1": 1.0, "2": 1.0})
    assert loss is not None and loss.mean == pytest.approx(0.5)
    assert loss.smallest >= unseen_loss(16 / 6)


def test_questions_that_one_side_lacks_are_left_out() -> None:
    loss = loss_of("small", "correct", {**values(1, 1), "9": {}}, values(1, 0))
    assert loss is not None and (loss.mean, loss.count) == (0.5, 2)
    assert loss_of("small", "f1", values(1), values(1)) is None


def test_points_have_one_digit_and_no_negative_zero() -> None:
    assert [points(share) for share in (0.02, -0.00001, -0.0123, 1)] == ["2.0", "0.0", "-1.2", "100.0"]
