"""A circuit breaker: a model that keeps failing is left alone for a while, then tried by one call."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from rag.core.errors import ConfigError

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True)
class Breaker:
    """When a model counts as failing, and for how long it is left alone.

    Parameters
    ----------
    failures : int
        Strikes in a row that open the circuit, at least 1.
    window_s : float
        Seconds within which they must fall.
    cooldown_s, longest_s : float
        Seconds for which the circuit stays open: half of them, and a random part of the other half
        (the "equal jitter" of the AWS Architecture Blog's "Exponential Backoff And Jitter"), so that
        many processes do not come back at once. Doubled, up to `longest_s`, each time that the trial
        behind it fails.
    clock, uniform : callable
        What tells the time, and draws from an interval.
    """

    failures: int = 3
    window_s: float = 60.0
    cooldown_s: float = 30.0
    longest_s: float = 600.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, compare=False)
    uniform: Callable[[float, float], float] = field(default=random.uniform, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, least in (("failures", 1), ("window_s", 0), ("cooldown_s", 0), ("longest_s", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"the breaker's {name} is {getattr(self, name)}: set it to {least} or more")


class Circuit:
    """One model's circuit; may be used from many threads.

    Each call asks `enter`, and says to `leave` how it ended. Closed, all calls are let through. After
    `failures` strikes in a row it opens, and lets none through. When it has been open long enough it
    is half-open: one call at a time is let through as a trial; success closes the circuit, a strike
    opens it for twice as long, and an end that says nothing of the model's health lets the next try.

    Examples
    --------
    >>> circuit = Circuit(Breaker(failures=1))
    >>> circuit.leave(circuit.enter(), well=False)
    >>> circuit.state, circuit.enter()
    ('open', None)
    """

    def __init__(self, policy: Breaker) -> None:
        self.policy = policy
        self._lock = threading.Lock()
        self._strikes: list[float] = []
        # Counts the times between which a call's end means the same: a call that was begun before the
        # circuit last changed says nothing about the time behind the change.
        self._period = 0
        self._until: float | None = None
        self._trial = False
        self._cooldown_s = policy.cooldown_s

    def enter(self) -> int | None:
        """Return the ticket of a call that may be made, or None where the model is left alone."""
        with self._lock:
            state = self._state()
            if state == "open" or self._trial:
                return None
            if state == "half-open":
                self._trial = True
                self._period += 1
            return self._period

    def leave(self, ticket: int, *, well: bool | None) -> None:
        """Say how a call ended.

        Parameters
        ----------
        ticket : int
            What `enter` returned.
        well : bool or None
            Whether the model is well; None where the call's end does not tell.
        """
        with self._lock:
            if ticket != self._period:
                return
            now, trial = self.policy.clock(), self._trial
            self._trial = False
            if well:
                self._strikes = []
                if trial:
                    self._until, self._cooldown_s = None, self.policy.cooldown_s
                    self._period += 1
            elif well is False:
                self._strikes = [at for at in self._strikes if now - at <= self.policy.window_s] + [now]
                if trial or len(self._strikes) >= self.policy.failures:
                    self._open(now, again=trial)

    def _open(self, now: float, again: bool) -> None:
        if again:
            self._cooldown_s = min(2 * self._cooldown_s, max(self.policy.longest_s, self.policy.cooldown_s))
        half = self._cooldown_s / 2
        self._until = now + half + self.policy.uniform(0.0, half)
        self._period += 1

    @property
    def state(self) -> State:
        """Whether calls are let through, none, or one at a time."""
        with self._lock:
            return self._state()

    @property
    def strikes(self) -> int:
        """Strikes in a row."""
        with self._lock:
            return len(self._strikes)

    @property
    def open_s(self) -> float:
        """Seconds until a call may be made; 0 where one may, or where a trial is under way."""
        with self._lock:
            return max(self._until - self.policy.clock(), 0.0) if self._until is not None else 0.0

    def _state(self) -> State:
        if self._until is None:
            return "closed"
        return "open" if self.policy.clock() < self._until else "half-open"
