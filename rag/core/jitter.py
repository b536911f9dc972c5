"""Random waits, so that many processes that failed together do not retry together.

Both formulas are from "Exponential Backoff And Jitter", AWS Architecture Blog, March 2015.
"""

from __future__ import annotations

import random
from collections.abc import Callable

#: Draws a number from [low, high], like `random.uniform`.
Uniform = Callable[[float, float], float]

#: Doublings after which a wait stops growing: 2.0 ** 1100 overflows, and every cap is reached earlier.
_MAX_DOUBLINGS = 60


def full_jitter(attempt: int, base_s: float, cap_s: float, *, uniform: Uniform = random.uniform) -> float:
    """Draw the wait before a retry, evenly from [0, min(`cap_s`, `base_s` * 2**(`attempt` - 1))].

    Parameters
    ----------
    attempt : int
        Number of the retry, from 1.
    base_s, cap_s : float
        Longest wait before the first retry, and before any retry, in seconds.
    uniform : callable, optional
        Source of randomness.

    Examples
    --------
    >>> [full_jitter(n, 0.25, 1.0, uniform=lambda low, high: high) for n in (1, 2, 3, 4)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return uniform(0.0, min(cap_s, base_s * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS)))


def equal_jitter(longest_s: float, *, uniform: Uniform = random.uniform) -> float:
    """Draw a wait evenly from [`longest_s` / 2, `longest_s`]: at least half is always waited.

    Examples
    --------
    >>> equal_jitter(30.0, uniform=lambda low, high: low)
    15.0
    """
    half = longest_s / 2
    return half + uniform(0.0, half)
