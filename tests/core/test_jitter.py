"""Random waits before retries."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.jitter import equal_jitter, full_jitter


@given(attempt=st.integers(1, 5000), base=st.floats(0, 5), cap=st.floats(0, 60), seed=st.integers())
def test_full_jitter(attempt: int, base: float, cap: float, seed: int) -> None:
    """The wait is the drawn share of the doubled base, or of the cap if that is smaller."""
    share = random.Random(seed).random()
    wait = full_jitter(attempt, base, cap, uniform=lambda low, high: low + share * (high - low))
    assert wait == pytest.approx(share * min(cap, base * 2.0 ** min(attempt - 1, 60)))


def test_full_jitter_is_even() -> None:
    """A thousand waits spread over the whole interval."""
    draw = random.Random(1).uniform
    waits = [full_jitter(3, 0.25, 8.0, uniform=draw) for _ in range(1000)]
    assert 0.0 <= min(waits) < 0.02
    assert 0.98 < max(waits) <= 1.0
    assert sum(waits) / 1000 == pytest.approx(0.5, abs=0.03)


def test_equal_jitter() -> None:
    """At least half of the wait is certain."""
    assert equal_jitter(30.0, uniform=lambda low, high: low) == 15.0
    assert equal_jitter(30.0, uniform=lambda low, high: high) == 30.0
    assert all(15.0 <= equal_jitter(30.0) <= 30.0 for _ in range(100))
