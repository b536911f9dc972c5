"""Judge assumptions on exchanges: confirmed, differing, or not tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rag.emulator.assumptions.exchange import Exchange

State = Literal["confirmed", "differs", "not tried"]
Applies = Callable[[Exchange], bool]
Differs = Callable[[Sequence[Exchange]], Iterator[str]]
#: What a check raises on a reply of another form.
_OTHER_FORM = (KeyError, IndexError, TypeError, AttributeError, ValueError)


class Untried(Exception):  # noqa: N818 -- an answer, not a failure
    """Raised by a check on exchanges that cannot show whether an assumption holds."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that the emulator takes to be so.

    Attributes
    ----------
    id : str
        E.g. ``"stream.order"``.
    text : str
        What the emulator assumes.
    source : str
        Where that came from.
    applies : callable
        Tells whether an exchange can show it.
    differs : callable
        Takes those exchanges and yields how they differ.
    """

    id: str
    text: str
    source: str
    applies: Applies
    differs: Differs


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an assumption.

    Attributes
    ----------
    assumption : Assumption
    state : {"confirmed", "differs", "not tried"}
    differences : tuple of str
        How the service differs; or why it was not tried, if a check says so.
    lines : tuple of int
        Of the recording.
    """

    assumption: Assumption
    state: State
    differences: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()


def judge(assumptions: Iterable[Assumption], exchanges: Sequence[Exchange]) -> list[Verdict]:
    """Return a verdict on each assumption, in order."""
    return [_judged(assumption, [each for each in exchanges if assumption.applies(each)])
            for assumption in assumptions]  # fmt: skip


def _judged(assumption: Assumption, exchanges: Sequence[Exchange]) -> Verdict:
    if not exchanges:
        return Verdict(assumption, "not tried")
    lines = tuple(each.line for each in exchanges)
    try:
        differences = tuple(dict.fromkeys(assumption.differs(exchanges)))
    except Untried as reason:
        return Verdict(assumption, "not tried", (str(reason),), lines)
    except _OTHER_FORM as error:
        lacks = f"it lacks {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
        differences = (f"the reply has another form: {lacks}",)
    return Verdict(assumption, "differs" if differences else "confirmed", differences, lines)


def each(check: Callable[[Exchange], Iterator[str]]) -> Differs:
    """Return a check of several exchanges that looks at each alone."""

    def differs(exchanges: Sequence[Exchange]) -> Iterator[str]:
        for exchange in exchanges:
            try:
                yield from check(exchange)
            except KeyError as error:
                yield f"{exchange.step}: the reply lacks {error.args[0]!r}"

    return differs


def of_steps(*steps: str) -> Applies:
    """Return whether an exchange is of some steps, and succeeded."""
    return lambda exchange: exchange.step in steps and exchange.succeeded


def of(*operations: str) -> Applies:
    """Return whether an exchange is of some operations, and succeeded."""
    return lambda exchange: exchange.operation in operations and exchange.succeeded
