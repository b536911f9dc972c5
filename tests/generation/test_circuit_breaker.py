"""Circuits that open and close."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from rag.core.errors import ConfigError
from rag.generation.circuit_breaker import Breaker, Circuit

FAILURES, WINDOW_S, COOLDOWN_S, LONGEST_S = 3, 60.0, 30.0, 120.0


class CircuitAgainstItsModel(RuleBasedStateMachine):
    """A circuit under calls that begin and end in any order, beside what its documentation says."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.circuit = Circuit(
            Breaker(
                FAILURES, WINDOW_S, COOLDOWN_S, LONGEST_S,
                clock=lambda: self.now, uniform=lambda low, high: high,
            )
        )  # fmt: skip
        self.strikes: list[float] = []
        self.until: float | None = None
        self.cooldown = COOLDOWN_S
        self.trial: int | None = None
        self.epoch = 0
        self.epochs: dict[int, int] = {}
        self.calls = 0

    def half_open(self) -> bool:
        return self.until is not None and self.now >= self.until

    @rule(seconds=st.sampled_from([0.0, 1.0, 29.0, 30.0, 61.0, 500.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=tickets)
    def a_call_begins(self) -> tuple[int, int | None]:
        ticket = self.circuit.enter()
        self.calls += 1
        if self.until is None:
            assert ticket is not None
        elif not self.half_open():
            assert ticket is None
        else:
            assert (ticket is None) == (self.trial is not None)
            if ticket is not None:
                self.epoch += 1
                self.trial = self.calls
        self.epochs[self.calls] = self.epoch
        return self.calls, ticket

    @rule(call=consumes(tickets), well=st.sampled_from([False, False, False, True, None]))
    def a_call_ends(self, call: tuple[int, int | None], well: bool | None) -> None:
        number, ticket = call
        if ticket is None:
            return
        self.circuit.leave(ticket, well=well)
        if self.epochs[number] != self.epoch:
            return
        was_trial = self.trial == number
        if was_trial:
            self.trial = None
        if well:
            self.strikes = []
            if was_trial:
                self.until, self.cooldown = None, COOLDOWN_S
                self.epoch += 1
        elif well is False:
            self.strikes = [at for at in self.strikes if self.now - at <= WINDOW_S] + [self.now]
            if was_trial:
                self.cooldown = min(2 * self.cooldown, LONGEST_S)
            if was_trial or len(self.strikes) >= FAILURES:
                self.until = self.now + self.cooldown
                self.epoch += 1

    @precondition(lambda self: self.until is not None)
    @rule()
    def it_is_waited_for(self) -> None:
        self.now += self.circuit.open_s
        assert self.circuit.state == "half-open"

    @invariant()
    def the_state_is_what_is_documented(self) -> None:
        expected = "closed" if self.until is None else "half-open" if self.half_open() else "open"
        assert self.circuit.state == expected
        assert self.circuit.strikes == len(self.strikes)


TestCircuit = CircuitAgainstItsModel.TestCase


TestCircuit.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_opens_after_strikes() -> None:
    """A circuit opens after exactly the configured number of consecutive strikes."""
    circuit = Circuit(Breaker(failures=3))
    for well in (False, False, True, False, False, None):
        circuit.leave(circuit.enter() or 0, well=well)
        assert circuit.state == "closed"
    circuit.leave(circuit.enter() or 0, well=False)
    assert circuit.state == "open"
    assert circuit.enter() is None


def test_old_strikes() -> None:
    """Strikes outside the window do not count."""
    now = [0.0]
    circuit = Circuit(Breaker(failures=2, window_s=60, clock=lambda: now[0]))
    for _ in range(5):
        circuit.leave(circuit.enter() or 0, well=False)
        now[0] += 61
    assert circuit.state == "closed"


def test_early_success() -> None:
    """A call that began before the circuit opened does not close it."""
    now = [0.0]
    circuit = Circuit(Breaker(failures=1, clock=lambda: now[0]))
    early, other = circuit.enter(), circuit.enter()
    assert early is not None
    assert other is not None
    circuit.leave(early, well=False)
    circuit.leave(other, well=True)
    assert circuit.state == "open"


def test_late_call() -> None:
    """A call that outlasts the opening does not affect the trial."""
    now = [0.0]
    circuit = Circuit(Breaker(failures=1, clock=lambda: now[0]))
    early, late = circuit.enter(), circuit.enter()
    circuit.leave(early or 0, well=False)
    now[0] = 1000.0
    trial = circuit.enter()
    assert trial is not None
    circuit.leave(late or 0, well=True)
    assert circuit.state == "half-open"
    assert circuit.enter() is None
    circuit.leave(trial, well=True)
    assert circuit.state == "closed"


def test_cooldown() -> None:
    """Every failed trial doubles the cooldown, up to the longest."""
    now = [0.0]
    breaker = Breaker(
        failures=1, cooldown_s=30, longest_s=100, clock=lambda: now[0], uniform=lambda low, high: low
    )
    circuit = Circuit(breaker)
    waits = []
    for _ in range(4):
        circuit.leave(circuit.enter() or 0, well=False)
        waits.append(circuit.open_s)
        now[0] += circuit.open_s
    assert waits == [15, 30, 50, 50]


def test_one_trial() -> None:
    """Only one of many threads makes the trial."""
    now = [0.0]
    circuit = Circuit(Breaker(failures=1, clock=lambda: now[0]))
    circuit.leave(circuit.enter() or 0, well=False)
    for _ in range(20):
        now[0] += 1000.0
        together = threading.Barrier(16)

        def enter(together: threading.Barrier = together) -> int | None:
            together.wait()
            return circuit.enter()

        with ThreadPoolExecutor(16) as pool:
            tickets = [ticket for ticket in pool.map(lambda _: enter(), range(16)) if ticket is not None]
        assert len(tickets) == 1
        circuit.leave(tickets[0], well=None)


def test_invalid_breaker() -> None:
    with pytest.raises(ConfigError, match="failures is 0: set it to 1 or more"):
        Breaker(failures=0)
