"""Retry calls of Bedrock, but never after part of an answer has been delivered.

botocore's retries are disabled in our clients, so this module alone decides what is retried and how
often, by the table in `rag.bedrock.runtime.faults`.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn, Protocol, TypeVar, runtime_checkable

from rag.bedrock.runtime.client import explain
from rag.bedrock.runtime.faults import code_of, fault_of, is_fault, response_of
from rag.core import observed
from rag.core.errors import ConfigError, GenerationError, RagError
from rag.core.jitter import Uniform, full_jitter

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """When to retry a failed call; stateless, so threads may share one.

    Each retry waits with full jitter (`rag.core.jitter.full_jitter`), or as long as the reply's
    ``Retry-After`` header demands if that is longer.

    Parameters
    ----------
    attempts : int
        Most calls in total, at least 1. A fault that the table marks "once" is retried once.
    base_s, cap_s : float
        Longest wait before the first retry, and before any retry, in seconds.
    deadline_s : float
        Seconds that all attempts and waits may take together. No attempt starts after the deadline; one
        in progress is ended by the client's timeouts, not by this deadline.
    clock, sleep, uniform : callable
        Returns the time in seconds; waits; draws from an interval.

    Raises
    ------
    ConfigError
        A number is too small.

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
    uniform: Uniform = field(default=random.uniform, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value, least in (
            ("attempts", self.attempts, 1), ("base_s", self.base_s, 0), ("cap_s", self.cap_s, 0),
            ("deadline_s", self.deadline_s, 0),
        ):  # fmt: skip
            if value < least:
                raise ConfigError(f"{name} is {value}: set it to {least} or more")

    def call(
        self,
        do: Callable[[], T],
        *,
        model: str,
        error: type[RagError] = GenerationError,
        advice: Mapping[str, str] | None = None,
    ) -> T:
        """Return what `do` returns, and retry as the table of faults says.

        Parameters
        ----------
        do : callable
            Makes one call.
        model : str
            Name of the model in error messages.
        error : type of RagError
            Type of the error raised for a failure.
        advice : mapping, optional
            Advice by fault code, instead of the table's.

        Raises
        ------
        RagError
            Of type `error`, in one line; a `GenerationError` holds the fault's code. Exceptions that are
            not failures of AWS or the network, such as TypeError, propagate unchanged.
        """
        return _Attempts(self, model, error, advice).run(do)

    def stream(self, do: Callable[[], Iterator[T]], *, model: str, shown: Callable[[T], bool]) -> Iterator[T]:
        """Yield what `do`'s iterator yields, and retry until the reader has seen something.

        Items before the first one for which `shown` is true are held back until then, and dropped if
        the attempt fails.

        Raises
        ------
        GenerationError
            With `started` set if an answer was cut; it is not started again.
        """
        attempts = _Attempts(self, model, GenerationError)
        pieces, first = attempts.run(lambda: _until_shown(do, shown))
        try:
            yield from first
            while True:
                try:  # around `next` alone: an exception of the reader is not the model's
                    piece = next(pieces)
                except StopIteration:
                    return
                except Exception as failure:
                    attempts.cut(failure)
                yield piece
        finally:
            _close(pieces)


class _Attempts:
    """The attempts of one call."""

    def __init__(
        self, policy: Retry, model: str, error: type[RagError], advice: Mapping[str, str] | None = None
    ) -> None:
        self.policy, self.model, self.error, self.advice = policy, model, error, advice
        self.began = policy.clock()
        self.failed = self.failed_once = 0  # all failures; those whose fault is marked "once"

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
        self.failed_once += again == "once"
        exhausted = self.failed >= self.policy.attempts or self.failed_once > 1
        ends = again == "no" or exhausted
        observed.failed_attempt(code_of(failure), again=not ends)
        if ends:
            raise self._explained(failure) from failure
        wait = self._wait_s(failure)
        if self.policy.clock() - self.began + wait > self.policy.deadline_s:
            late = f"; another attempt would exceed the deadline of {self.policy.deadline_s:g} s"
            raise self._explained(failure, late) from failure
        self.policy.sleep(wait)

    def _wait_s(self, failure: Exception) -> float:
        policy = self.policy
        wait = full_jitter(self.failed, policy.base_s, policy.cap_s, uniform=policy.uniform)
        return max(wait, _retry_after_s(failure))

    def cut(self, failure: Exception) -> NoReturn:
        """Raise the failure that cut an answer."""
        if not is_fault(failure):
            raise failure
        self.failed += 1
        more = "; the answer is cut here and not started again automatically: ask again"
        raise self._explained(failure, more, started=True) from failure

    def _explained(self, failure: Exception, more: str = "", started: bool = False) -> RagError:
        fault, spent = fault_of(failure), self.policy.clock() - self.began
        count = f" (after {self.failed} attempts in {spent:.3g} s)" if self.failed > 1 else ""
        line = f"{explain(failure, self.model, self.advice)}{count}{more}"
        if not issubclass(self.error, GenerationError):
            return self.error(line)
        return self.error(
            line, code=code_of(failure), elsewhere=fault.elsewhere, strike=fault.strike, started=started
        )


def _until_shown(do: Callable[[], Iterator[T]], shown: Callable[[T], bool]) -> tuple[Iterator[T], list[T]]:
    """Return an iterator, and its items up to the first one that the reader can see."""
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


@runtime_checkable
class _Closeable(Protocol):
    def close(self) -> None: ...


def _close(pieces: object) -> None:
    """Close an iterator before its end, and with it the connection that it reads."""
    if isinstance(pieces, _Closeable):
        pieces.close()


def _retry_after_s(failure: Exception) -> float:
    """Return the seconds in a reply's ``Retry-After`` header, which holds a number or a date."""
    headers = response_of(failure).get("ResponseMetadata", {}).get("HTTPHeaders", {})
    value = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(float(value), 0.0)
    with contextlib.suppress(TypeError, ValueError):
        return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    return 0.0
