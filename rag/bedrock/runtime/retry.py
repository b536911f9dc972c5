"""Trying a call of Bedrock again: once over, here, and never after text has been given out.

botocore's own retries are off in our clients, so what is tried, and how often, is decided here alone,
by the table in `rag.bedrock.runtime.faults`.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar

from rag.bedrock.runtime.client import explain
from rag.bedrock.runtime.faults import code_of, fault_of, is_fault
from rag.core.errors import ConfigError, GenerationError, RagError

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """When a failed call is tried again; holds no state, so one serves all threads.

    Before the n-th further try it waits a time drawn evenly from [0, min(`cap_s`, `base_s` * 2**(n-1))]:
    the "full jitter" of the AWS Architecture Blog's "Exponential Backoff And Jitter". A reply's
    ``Retry-After`` header is waited for where that is longer.

    Parameters
    ----------
    attempts : int
        Calls in all, at least 1. A failure that the table calls "once" is tried again once.
    base_s, cap_s : float
        Seconds.
    deadline_s : float
        Seconds that the whole call may take, waiting included: no try begins after them, and none is
        waited for that would. A try that is under way is ended by the client's time-outs, not here.
    clock, sleep, uniform : callable
        What tells the time, waits, and draws from an interval.

    Examples
    --------
    >>> Retry(attempts=3).call(lambda: "done", model="anthropic.claude-sonnet-5-5")
    'done'
    """

    attempts: int = 5
    base_s: float = 0.25
    cap_s: float = 8.0
    deadline_s: float = 120.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False, compare=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False, compare=False)
    uniform: Callable[[float, float], float] = field(default=random.uniform, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, least in (("attempts", 1), ("base_s", 0), ("cap_s", 0), ("deadline_s", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}: set it to {least} or more")

    def call(
        self,
        do: Callable[[], T],
        *,
        model: str,
        error: type[RagError] = GenerationError,
        advice: Mapping[str, str] | None = None,
    ) -> T:
        """Return what `do` returns, trying again as the table of faults says.

        Parameters
        ----------
        do : callable
            Makes one call.
        model : str
            Whom to name in an error.
        error : type of RagError
            What a failure is raised as.
        advice : mapping, optional
            What to do about a code, where the table's advice does not fit.

        Raises
        ------
        RagError
            Of type `error`, in one line; a `GenerationError` holds the fault's code. What is no
            failure of AWS or the network, such as a TypeError, passes unchanged.
        """
        return _Tries(self, model, error, advice).run(do)

    def stream(self, do: Callable[[], Iterator[T]], *, model: str, shown: Callable[[T], bool]) -> Iterator[T]:
        """Yield what `do`'s iterator yields, trying again until something was given out that shows.

        What comes before the first item that `shown` holds true of is kept back until then, and
        dropped with a try that fails.

        Raises
        ------
        GenerationError
            With `started` set where an answer was cut: it is never begun a second time.
        """
        tries = _Tries(self, model, GenerationError)
        pieces, first = tries.run(lambda: _until_shown(do, shown))
        try:
            yield from first
            while True:
                try:  # only the model's own steps: what the reader of a piece throws is the reader's
                    piece = next(pieces)
                except StopIteration:
                    return
                except Exception as failure:
                    tries.cut(failure)
                yield piece
        finally:
            _close(pieces)


class _Tries:
    """The tries of one call."""

    def __init__(
        self, policy: Retry, model: str, error: type[RagError], advice: Mapping[str, str] | None = None
    ) -> None:
        self.policy, self.model, self.error, self.advice = policy, model, error, advice
        self.began = policy.clock()
        self.failed = self.costly = 0

    def run(self, do: Callable[[], T]) -> T:
        while True:
            try:
                return do()
            except Exception as failure:
                self._wait_or_raise(failure)

    def _wait_or_raise(self, failure: Exception) -> None:
        if not is_fault(failure):
            raise failure
        again = fault_of(failure).again
        self.failed += 1
        self.costly += again == "once"
        tired = self.failed >= self.policy.attempts or self.costly > 1
        if again == "no" or tired:
            raise self._explained(failure) from failure
        wait = self._wait_s(failure)
        if self.policy.clock() - self.began + wait > self.policy.deadline_s:
            late = f"; another try would pass the {self.policy.deadline_s:g} s that it may take"
            raise self._explained(failure, late) from failure
        self.policy.sleep(wait)

    def _wait_s(self, failure: Exception) -> float:
        # 2.0 ** 1100 overflows, and nothing waits longer than the cap anyway.
        longest = min(self.policy.cap_s, self.policy.base_s * 2.0 ** min(self.failed - 1, 60))
        return max(self.policy.uniform(0.0, longest), _asked_s(failure))

    def cut(self, failure: Exception) -> NoReturn:
        """Raise what cut an answer that had begun."""
        if not is_fault(failure):
            raise failure
        self.failed += 1
        said = "; the answer is cut here, and is not begun again by itself: ask again"
        raise self._explained(failure, said, started=True) from failure

    def _explained(self, failure: Exception, more: str = "", started: bool = False) -> RagError:
        fault, spent = fault_of(failure), self.policy.clock() - self.began
        tries = f" (after {self.failed} tries in {spent:.3g} s)" if self.failed > 1 else ""
        line = f"{explain(failure, self.model, self.advice)}{tries}{more}"
        if not issubclass(self.error, GenerationError):
            return self.error(line)
        return self.error(
            line, code=code_of(failure), elsewhere=fault.elsewhere, strike=fault.strike, started=started
        )


def _until_shown(do: Callable[[], Iterator[T]], shown: Callable[[T], bool]) -> tuple[Iterator[T], list[T]]:
    """Return an iterator, and what it gave up to the first item that shows."""
    pieces, first = iter(do()), []
    try:
        for piece in pieces:
            first.append(piece)
            if shown(piece):
                break
    except BaseException:
        _close(pieces)
        raise
    return pieces, first


def _close(pieces: Any) -> None:
    """End an iterator that is not read to its end, and so the connection behind it."""
    close = getattr(pieces, "close", None)
    if callable(close):
        close()


def _asked_s(failure: Any) -> float:
    """Return the seconds that a reply's ``Retry-After`` asks for; it holds a number or a date."""
    response = getattr(failure, "response", None) or {}
    said = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(float(said), 0.0)
    with contextlib.suppress(TypeError, ValueError):
        return max((parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0
