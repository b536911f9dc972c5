"""How fast calls may be sent to a service whose limit nobody tells, found out from its answers.

A rate of calls a second is raised while calls are admitted and lowered to what is admitted when they
are throttled: as TCP does it with its window (RFC 5681), after a slow start that doubles. Three things
are done otherwise:

- Time goes in *rounds*. A round has one rate, and is judged by the calls that were sent in it alone,
  however late they end; so nothing is decided on what an earlier, faster rate has caused, nor on the
  first answers alone, which are those of the throttled calls.
- Some services throttle at random, and lowering the rate is of no use against that: 30 % of it would
  push any such control to the floor. So what is lowered to is not guessed from the last round: of all
  pairs of a *noise*, a share that is throttled at any rate, and a *limit*, a rate above which the rest
  is throttled, the one is taken that makes the last rounds likeliest. The rate's own ups and downs
  tell the two apart.
- Where nothing at all is admitted (a quota of calls a minute that is used up) one call a second or so
  finds out when it is over, and the rate comes back by doubling to what it was.

The longer all is calm, the larger are the steps upwards (as in CUBIC, RFC 9438), so that a limit that
was raised is found soon. The constants were chosen by simulation (``tests/test_pace.py`` holds the
services).
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

#: Calls a second at the start, and at the least while anything is admitted.
START, FLOOR = 20.0, 0.5
#: Calls under way before the first has ended; each that is admitted makes room for two.
FIRST = 16
#: A round is of so many calls and seconds, in a slow start and later.
SLOW_START_ROUND, ROUND = (12, 0.1), (16, 0.4)
#: With noise it takes more calls to tell, but no longer than so many seconds.
NOISY, NOISY_ROUND, LONG_S = 0.05, 48, 2.0
#: It is judged when this share of its calls have ended: the last may take very long.
JUDGED = 0.95
#: So many throttled calls in a row end a round at once: nothing, or nearly nothing, is admitted. While
#: a call is under way that is older than they are, and may be admitted yet, it takes more of them.
IN_A_ROW, IN_A_ROW_ALONE = 16, 48
#: Where less than this share of the rate was sent, something else holds it back, and it is not raised.
HELD_BACK = 0.7
#: Of the limit, what is tried when it was passed.
BELOW = 0.98
#: With noise, one round of so many is sent at this share of what is admitted, and one at once where
#: there is so much more of it than the last such round has shown: noise is what stays.
DIP_EVERY, DIP, DEEPEST, MORE_NOISE = 15, 0.9, 0.1, 0.1
#: So much noise is unusual: where it was not shown before it ends a slow start, and a dip comes oftener.
DOUBTFUL, DOUBTFUL_DIP_EVERY = 0.4, 5
#: The first step upwards, how much larger each further one is, and the largest.
STEP, FASTER, LONGEST = 0.02, 1.5, 0.1
#: What is not sent in time is made up for, up to so many seconds' worth.
SLACK_S = 0.05
#: After so many seconds without a call a round is begun anew.
IDLE_S = 0.5

#: Rounds that are remembered, and the weight of each beside that of the one after it.
MEMORY, FADING = 20, 0.9
#: A round so many standard deviations off what was expected says that the service has changed.
CHANGED = 4.0
#: What a limit must add to the logarithm of the likelihood to be believed, in a slow start (where the
#: next round, at twice the rate, will tell) and later; the standard deviation of how noise changes.
LIMIT_COSTS, NOISE_CHANGES = (4.0, 1.5), 0.25

_NOISES = np.concatenate([[0.0, 0.01, 0.02, 0.03], np.linspace(0.05, 0.9, 35)])
Mode = Literal["start", "steady", "outage"]


@dataclass(slots=True)
class _Round:
    number: int
    first: int  # of its calls
    began: float
    sent: int = 0
    ended: int = 0
    throttled: int = 0
    rate: float = 0.0  # calls a second that were really sent; 0 until all are


def likeliest(
    rounds: Sequence[tuple[float, int, int]], noise: float = 0.0, limit_costs: float = LIMIT_COSTS[1]
) -> tuple[float, float]:
    """Find the noise and the limit that explain best what was throttled.

    Of calls at a rate r the share ``1 - (1 - noise) * min(1, limit / r)`` is expected to be.

    Parameters
    ----------
    rounds : sequence of (float, int, int)
        Calls a second, calls, and those of them that were throttled; the last counts most.
    noise : float
        What it was before.
    limit_costs : float
        What a limit must add to the logarithm of the likelihood.

    Returns
    -------
    (float, float)
        The noise in [0, 0.9], and the limit in calls a second; infinite where there is none below
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


class Pace:
    """The rate of calls of one embedder, shared by all its threads.

    Parameters
    ----------
    requests_per_minute : float, optional
        Never faster than this.
    clock : callable
        Seconds, never going back.
    chance : random.Random, optional
        For the jitter: several processes must not send in step.

    Examples
    --------
    >>> pace = Pace(requests_per_minute=3000)
    >>> call = pace.begin()          # None where it is not time yet: ask again in `pace.wait_s()`
    >>> pace.end(call, throttled=False)
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
        self._fast = math.inf  # the rate before it was lowered; up to it the rate is doubled
        self._after_dip = self._shown = 0.0
        self._memory: deque[tuple[float, int, int]] = deque(maxlen=MEMORY)
        self._calls = self._in_a_row = self._row_began = self._calm = 0
        self._under_way: set[int] = set()
        self._next = self._last = -math.inf
        self._round = _Round(0, 1, self._clock())
        self._start()

    @property
    def rate(self) -> float:
        """Calls a second at present."""
        return self._rate

    @property
    def noise(self) -> float:
        """The share of calls that is throttled at any rate, in [0, 0.9], as far as is known."""
        return self._noise

    def wait_s(self) -> float:
        """Return in how many seconds it is worth asking again; 0.0 is now."""
        with self._lock:
            wait = max(self._next - self._clock(), 0.0)
            return wait if wait or not self._is_full() else SLACK_S

    def begin(self) -> int | None:
        """Take leave to send a call now; None where it is not time yet.

        Returns
        -------
        int or None
            What `end` must be told when the call has ended.
        """
        with self._lock:
            now = self._clock()
            if now < self._next or self._is_full():
                return None
            if now - self._last > IDLE_S + 2 / self._rate:  # what was begun says nothing of a rate
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
        """Note that a call has ended, and whether the service said that it came too fast."""
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
        """Tell whether nothing is admitted any more."""
        if self._in_a_row < IN_A_ROW:
            return False
        return self._in_a_row >= IN_A_ROW_ALONE or min(self._under_way, default=math.inf) > self._row_began

    def _is_full(self) -> bool:
        """Tell whether a slow start has as much under way as its outcomes allow: a slow service."""
        return self._mode == "start" and len(self._under_way) >= FIRST + self._admitted

    def _is_sent(self, now: float) -> bool:
        """Tell whether a round has calls enough."""
        sent, lasted = self._round.sent, now - self._round.began
        if self._mode == "start":
            return sent >= SLOW_START_ROUND[0] and lasted >= SLOW_START_ROUND[1]
        least = NOISY_ROUND if self._noise > NOISY and lasted < LONG_S else ROUND[0]
        return sent >= least and lasted >= ROUND[1]

    def _judge(self) -> None:
        """Choose the rate of the next round by what came of this one."""
        round_ = self._round
        if not round_.rate or not round_.ended:  # ended before its time
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
        """Fit noise and limit anew; forget what was before the service changed.

        That it did is not concluded from a round that came after a lower one was chosen: if that was
        of no use, what is wrong is the notion of a limit.
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
            # A bucket that was full lets more through than it is filled with: all of the start says more.
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
        """Lower the rate for one round to see whether what is taken for noise stays."""
        more = self._noise > self._shown + MORE_NOISE
        if self._after_dip:
            self._rate, self._after_dip = min(self._after_dip, BELOW * self._limit), 0.0
            self._shown = self._noise
            if more and self._limit == math.inf:  # so far it was taken for a limit
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
            self._mode = "steady"  # a dip shows whether it is noise
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
