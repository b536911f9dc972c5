"""A circuit breaker: a model that keeps failing gets no calls for a while, then one trial call."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from rag.core.errors import ConfigError
from rag.core.jitter import Uniform, equal_jitter

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True)
class Breaker:
    """When a model counts as failing, and for how long it then gets no calls.

    Parameters
    ----------
    failures : int
        Consecutive strikes that open the circuit, at least 1.
    window_s : float
        Seconds within which these strikes must occur.
    cooldown_s, longest_s : float
        Seconds for which the circuit stays open, with equal jitter (`rag.core.jitter.equal_jitter`).
        Each failed trial doubles `cooldown_s`, up to `longest_s`.
    clock, uniform : callable
        Returns the time in seconds; draws from an interval.

    Raises
    ------
    ConfigError
        A number is too small.
    """

    failures: int = 3
    window_s: float = 60.0
    cooldown_s: float = 30.0
    longest_s: float = 600.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, compare=False)
    uniform: Uniform = field(default=random.uniform, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value, least in (
            ("failures", self.failures, 1), ("window_s", self.window_s, 0),
            ("cooldown_s", self.cooldown_s, 0), ("longest_s", self.longest_s, 0),
        ):  # fmt: skip
            if value < least:
                raise ConfigError(f"the breaker's {name} is {value}: set it to {least} or more")


class Circuit:
    """One model's circuit; threads may share it.

    A caller asks `enter` before each call and reports the outcome to `leave`. A closed circuit admits
    all calls. `failures` consecutive strikes open it; then it admits none. After the cooldown it is
    half-open and admits one call at a time as a trial: success closes it, a strike opens it for twice
    as long, and an outcome that says nothing about the model's health admits the next trial.

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
        # Incremented whenever the circuit changes: the outcome of a call that began before the change
        # says nothing about the time after it.
        self._period = 0
        self._until: float | None = None
        self._trial = False
        self._cooldown_s = policy.cooldown_s

    def enter(self) -> int | None:
        """Return a ticket for one call, or None if the model gets no calls now."""
        with self._lock:
            state = self._state()
            if state == "open" or self._trial:
                return None
            if state == "half-open":
                self._trial = True
                self._period += 1
            return self._period

    def leave(self, ticket: int, *, well: bool | None) -> None:
        """Report how a call ended.

        Parameters
        ----------
        ticket : int
            As returned by `enter`.
        well : bool or None
            Whether the model is healthy; None if the outcome does not show it.
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
        self._until = now + equal_jitter(self._cooldown_s, uniform=self.policy.uniform)
        self._period += 1

    @property
    def state(self) -> State:
        """Whether the circuit admits all calls, none, or one at a time."""
        with self._lock:
            return self._state()

    @property
    def strikes(self) -> int:
        """Consecutive strikes so far."""
        with self._lock:
            return len(self._strikes)

    @property
    def open_s(self) -> float:
        """Seconds until the circuit admits a call; 0 if it already does or a trial is in progress."""
        with self._lock:
            return max(self._until - self.policy.clock(), 0.0) if self._until is not None else 0.0

    def _state(self) -> State:
        if self._until is None:
            return "closed"
        return "open" if self.policy.clock() < self._until else "half-open"
