"""Measure how fast a service with an unknown limit admits calls, and send no faster.

The rate of calls per second rises while calls are admitted and falls to the admitted rate when they are
throttled, as TCP's congestion window does (RFC 5681), after a slow start that doubles it. Three things
differ from TCP:

- Time is divided into *rounds*. A round has one rate and is judged only by the calls sent in it, however
  late they end. So no decision rests on the effects of an earlier, faster rate, or on the first replies
  alone, which are those of throttled calls.
- Some services throttle at random, and a lower rate does not help against that: 30 % random throttling
  would push a TCP-like controller to its floor. So the new rate is estimated by maximum likelihood from
  the last rounds: the *noise* is the share of calls that is throttled at any rate, the *limit* the rate
  above which the remainder is throttled. The rate's variation distinguishes the two.
- When nothing is admitted (an exhausted quota of calls per minute), about one call per second probes for
  the end of the outage; then the rate doubles until it is back.

The longer calls are admitted without throttling, the larger the upward steps become (as in CUBIC, RFC
9438), so that a raised limit is soon reached. The constants were chosen by simulating the services in
``tests/bedrock/test_rate_limiter.py``.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

#: Calls per second at the start, and the lowest rate while anything is admitted.
START, FLOOR = 20.0, 0.5
#: Calls in progress before the first reply; each admitted call then allows two more.
FIRST = 16
#: Fewest calls and seconds of a round, in a slow start and later.
SLOW_START_ROUND, ROUND = (12, 0.1), (16, 0.4)
#: Above this noise a round needs more calls, but lasts no longer than this many seconds.
NOISY, NOISY_ROUND, LONG_S = 0.05, 48, 2.0
#: A round is judged once this share of its calls has ended: the last may take very long.
JUDGED = 0.95
#: This many consecutive throttled calls end a round at once: almost nothing is admitted. The larger
#: number applies while an older call, which may still be admitted, is in progress.
IN_A_ROW, IN_A_ROW_ALONE = 16, 48
#: If less than this share of the rate was sent, something else limits it, and it is not raised.
HELD_BACK = 0.7
#: Share of the limit to which the rate falls after the limit was exceeded.
BELOW = 0.98
#: When throttling looks random, every 15th round probes at a reduced rate; throttling that persists is
#: noise. The round probes at once if noise has grown by MORE_NOISE since the last probe.
DIP_EVERY, DIP, DEEPEST, MORE_NOISE = 15, 0.9, 0.1, 0.1
#: This much noise is unusual: unless a probe confirmed it, it ends a slow start, and probes come more often.
DOUBTFUL, DOUBTFUL_DIP_EVERY = 0.4, 5
#: The first upward step, the factor from one step to the next, and the largest step.
STEP, FASTER, LONGEST = 0.02, 1.5, 0.1
#: Delayed calls are made up for, up to this many seconds' worth.
SLACK_S = 0.05
#: After this many seconds without a call a new round begins.
IDLE_S = 0.5

#: Rounds in memory, and the weight of each relative to the next.
MEMORY, FADING = 20, 0.9
#: A round this many standard deviations from its expectation means that the service has changed.
CHANGED = 4.0
#: Gain in log-likelihood that a limit needs, in a slow start (where the next round, at twice the rate,
#: gives more evidence) and later; the standard deviation of changes in noise.
LIMIT_COSTS, NOISE_CHANGES = (4.0, 1.5), 0.25

_NOISES = np.concatenate([[0.0, 0.01, 0.02, 0.03], np.linspace(0.05, 0.9, 35)])
Mode = Literal["start", "steady", "outage"]


@dataclass(slots=True)
class _Round:
    number: int
    first: int  # number of its first call
    began: float
    sent: int = 0
    ended: int = 0
    throttled: int = 0
    rate: float = 0.0  # calls per second actually sent; 0 until the last is sent


def likeliest(
    rounds: Sequence[tuple[float, int, int]], noise: float = 0.0, limit_costs: float = LIMIT_COSTS[1]
) -> tuple[float, float]:
    """Estimate the noise and the limit by maximum likelihood.

    At rate r the expected share of throttled calls is ``1 - (1 - noise) * min(1, limit / r)``.

    Parameters
    ----------
    rounds : sequence of (float, int, int)
        Calls per second, calls, and throttled calls; the last round weighs most.
    noise : float
        The previous estimate.
    limit_costs : float
        Gain in log-likelihood that a limit needs.

    Returns
    -------
    (float, float)
        The noise in [0, 0.9], and the limit in calls per second; infinite if there is no limit below
        the highest rate.

    Examples
    --------
    >>> likeliest([(40, 100, 0), (80, 100, 37)])[1] > 45
    True
    """
    rates, calls, throttled = (np.array(column, float) for column in zip(*rounds, strict=True))
    weights = FADING ** np.arange(len(rounds) - 1, -1, -1)
    limits = np.append(rates.max() * np.geomspace(0.02, 0.99, 120), math.inf)
    admitted = np.minimum(1.0, limits[:, None] / rates)  # limits x rounds
    share = np.clip(1 - (1 - _NOISES[:, None, None]) * admitted, 0.002, 0.998)
    fit = (weights * (throttled * np.log(share) + (calls - throttled) * np.log1p(-share))).sum(axis=2)
    fit -= ((_NOISES - noise) ** 2 / (2 * NOISE_CHANGES**2))[:, None]
    fit[:, :-1] -= limit_costs
    best = np.unravel_index(int(fit.argmax()), fit.shape)
    return float(_NOISES[best[0]]), float(limits[best[1]])


class RateLimiter:
    """The rate of calls of one embedder, shared by all its threads.

    Parameters
    ----------
    requests_per_minute : float, optional
        The highest rate.
    clock : callable
        Returns monotonic seconds.
    chance : random.Random, optional
        Source of jitter, so that several processes do not send in step. It varies the interval between
        calls; it is not a wait before a retry, which is `rag.core.jitter`'s.

    Examples
    --------
    >>> limiter = RateLimiter(requests_per_minute=3000)
    >>> call = limiter.begin()          # None if it is too early: try again in `limiter.wait_s()`
    >>> limiter.end(call, throttled=False)
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._most = math.inf if requests_per_minute is None else requests_per_minute / 60
        self._clock, self._chance = clock, chance or random.Random()
        self._lock = threading.Lock()
        self._mode: Mode = "start"
        self._rate = min(START, self._most)
        self._noise, self._limit = 0.0, math.inf
        self._fast = math.inf  # the rate before it was lowered, up to which it may double
        self._after_dip = self._shown = 0.0
        self._memory: deque[tuple[float, int, int]] = deque(maxlen=MEMORY)
        self._calls = self._in_a_row = self._row_began = self._calm = 0
        self._under_way: set[int] = set()
        self._next = self._last = -math.inf
        self._round = _Round(0, 1, self._clock())
        self._start()

    @property
    def rate(self) -> float:
        """The current rate in calls per second."""
        return self._rate

    @property
    def noise(self) -> float:
        """The estimated share of calls that is throttled at any rate, in [0, 0.9]."""
        return self._noise

    def wait_s(self) -> float:
        """Return the seconds until `begin` may succeed; 0.0 means now."""
        with self._lock:
            wait = max(self._next - self._clock(), 0.0)
            return wait if wait or not self._is_full() else SLACK_S

    def begin(self) -> int | None:
        """Request permission to send a call now.

        Returns
        -------
        int or None
            The call's number, to pass to `end`; None if it is too early.
        """
        with self._lock:
            now = self._clock()
            if now < self._next or self._is_full():
                return None
            if now - self._last > IDLE_S + 2 / self._rate:  # the old round no longer measures a rate
                self._begin_round()
            round_ = self._round
            if not round_.sent:
                round_.began = now
            self._last = now
            self._next = max(self._next, now - SLACK_S) + self._chance.uniform(0.9, 1.1) / self._rate
            self._calls += 1
            self._under_way.add(self._calls)
            if not round_.rate:
                round_.sent += 1
                if self._is_sent(now):
                    round_.rate = min(round_.sent / max(now - round_.began, 1e-3), self._rate)
            return self._calls

    def end(self, call: int, *, throttled: bool) -> None:
        """Record that a call has ended, and whether the service throttled it."""
        with self._lock:
            round_ = self._round
            self._under_way.discard(call)
            self._admitted += not throttled
            if not throttled:
                self._in_a_row = 0
            elif call >= round_.first:
                self._row_began = min(self._row_began, call) if self._in_a_row else call
                self._in_a_row += 1
            if round_.first <= call < round_.first + round_.sent:
                round_.ended += 1
                round_.throttled += throttled
            all_ended = round_.rate and round_.ended >= JUDGED * round_.sent
            if all_ended or self._is_shut() or (self._mode == "outage" and round_.ended):
                self._judge()
                self._begin_round()

    def _is_shut(self) -> bool:
        """Return whether the service has stopped admitting calls."""
        if self._in_a_row < IN_A_ROW:
            return False
        return self._in_a_row >= IN_A_ROW_ALONE or min(self._under_way, default=math.inf) > self._row_began

    def _is_full(self) -> bool:
        """Return whether a slow start has as many calls in progress as its replies allow."""
        return self._mode == "start" and len(self._under_way) >= FIRST + self._admitted

    def _is_sent(self, now: float) -> bool:
        """Return whether a round has enough calls."""
        sent, lasted = self._round.sent, now - self._round.began
        if self._mode == "start":
            return sent >= SLOW_START_ROUND[0] and lasted >= SLOW_START_ROUND[1]
        least = NOISY_ROUND if self._noise > NOISY and lasted < LONG_S else ROUND[0]
        return sent >= least and lasted >= ROUND[1]

    def _judge(self) -> None:
        """Choose the next round's rate from this round's outcome."""
        round_ = self._round
        if not round_.rate or not round_.ended:  # it ended early
            lasted = max(self._clock() - round_.began, 1e-3)
            round_.rate, round_.ended = min(round_.sent / lasted, self._rate), max(round_.ended, 1)
        if self._mode == "outage":
            if not round_.throttled:
                self._rate = max(START, self._fast / 8)
                self._start()
        elif self._mode == "steady" and self._is_shut():
            if self._calm or self._fast == math.inf:
                self._fast = self._rate
            self._mode, self._rate = "outage", self._chance.uniform(0.75, 1.25)
        else:
            self._remember(round_)
            if round_.rate > self._limit and round_.throttled:
                self._lower()
            else:
                self._raise(round_)
        self._rate = min(max(self._rate, FLOOR), self._most)
        if self._mode == "steady":
            self._dip(round_)

    def _remember(self, round_: _Round) -> None:
        """Estimate noise and limit again; forget the rounds before a change of the service.

        A round just after the rate was lowered is no evidence of a change: if the lower rate did not
        help, the estimated limit was wrong.
        """
        expected = 1 - (1 - self._noise) * min(1.0, self._limit / round_.rate)
        spread = math.sqrt(max(expected * (1 - expected), 0.01) / round_.ended)
        if self._calm and abs(round_.throttled / round_.ended - expected) > CHANGED * spread:
            before = [self._memory[-1]] if self._memory else []
            self._memory.clear()
            self._memory.extend(before)
        self._memory.append((round_.rate, round_.ended, round_.throttled))
        costs = LIMIT_COSTS[self._mode != "start"]
        self._noise, self._limit = likeliest(self._memory, self._noise, costs)

    def _lower(self) -> None:
        limit = self._limit
        if self._mode == "start":
            # A full token bucket admits more than its refill rate at first: average over the whole start.
            seconds = max(self._clock() - self._began, 0.1)
            limit = min(limit, self._admitted / seconds / (1 - self._noise))
            self._memory.clear()
        if self._mode == "start":
            self._fast = max(self._rate / 2, START)
        elif self._calm:
            self._fast = self._rate
        self._mode, self._calm = "steady", 0
        self._rate = min(self._rate, BELOW * limit)

    def _dip(self, round_: _Round) -> None:
        """Lower the rate for one round to see whether the throttling persists, so is noise."""
        more = self._noise > self._shown + MORE_NOISE
        if self._after_dip:
            self._rate, self._after_dip = min(self._after_dip, BELOW * self._limit), 0.0
            self._shown = self._noise
            if more and self._limit == math.inf:  # it had been mistaken for a limit
                self._fast = math.inf
            return
        every = DIP_EVERY if self._noise < DOUBTFUL else DOUBTFUL_DIP_EVERY
        if more or (self._noise > NOISY and round_.number % every == 0):
            admitted = 1 - self._noise
            if more and self._limit == math.inf:
                admitted = max(min(admitted, 1 - round_.throttled / round_.ended), DEEPEST)
            self._after_dip = self._rate
            self._rate = max(DIP * admitted * min(self._rate, round_.rate), FLOOR)

    def _raise(self, round_: _Round) -> None:
        if round_.rate < HELD_BACK * self._rate:
            if self._rate > START:
                self._mode, self._calm = "steady", self._calm + 1
                self._rate = min(self._rate, max(START, 1.5 * round_.rate))
            return
        if self._mode == "start" and self._noise > self._shown + DOUBTFUL:
            self._mode = "steady"  # a probe will show whether it is noise
        elif self._rate < self._fast and self._limit == math.inf:
            self._rate = min(2 * self._rate, self._fast)
        else:
            self._mode = "steady"
            self._rate *= 1 + min(STEP * FASTER**self._calm, LONGEST)
            self._calm += 1

    def _start(self) -> None:
        """Begin a slow start."""
        self._mode = "start"
        self._began = self._clock()
        self._admitted = self._in_a_row = 0
        self._memory.clear()

    def _begin_round(self) -> None:
        now = self._clock()
        self._round = _Round(self._round.number + 1, self._calls + 1, now)
        self._in_a_row = 0
        self._next = min(self._next, now + 1 / self._rate)
