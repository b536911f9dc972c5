"""Run many calls concurrently at the rate that the service admits, and retry those that fail.

The thread that reads the results also starts the calls, so no call is made whose result nobody reads.
Calls in progress and results that the reader may not have stored yet never exceed `concurrency`.
"""

from __future__ import annotations

import contextlib
import heapq
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rag.bedrock.runtime.faults import code_of, fault_of, is_fault
from rag.bedrock.runtime.rate_limiter import RateLimiter
from rag.core.jitter import full_jitter

C = TypeVar("C")
R = TypeVar("R")

#: Without any connection the cause is usually a wrong setting, which the user should learn of soon.
_UNREACHABLE, _UNREACHABLE_ATTEMPTS = ("EndpointConnectionError", "ConnectTimeoutError"), 4


@dataclass(frozen=True, slots=True)
class Patience:
    """When to retry a failed call, and when to give it up.

    Attributes
    ----------
    throttled_s : float
        Seconds for which a call may be throttled, counted from the first time.
    tries : int
        Attempts that may fail for another reason.
    base_s, cap_s, cap_throttled_s : float
        Retries wait with full jitter (`rag.core.jitter.full_jitter`). After throttling the cap is
        lower, because the rate limiter then spaces the calls.
    """

    throttled_s: float = 300.0
    tries: int = 12
    base_s: float = 0.1
    cap_s: float = 8.0
    cap_throttled_s: float = 1.0


class GivenUp(Exception):  # noqa: N818 -- the failure itself is the cause
    """A call failed permanently; all results that were paid for have been yielded before."""


@dataclass(slots=True)
class _Call(Generic[C]):
    argument: C
    failed: int = 0
    throttled: int = 0
    throttled_since: float = 0.0


@dataclass(order=True, slots=True)
class _Retry(Generic[C]):
    due: float
    number: int
    call: _Call[C] = field(compare=False)


class Dispatcher(Generic[C, R]):
    """The calls of one request.

    Parameters
    ----------
    calls : sequence
        Arguments of `do`, one per call.
    do : callable
        Makes one call, in any thread.
    limiter : RateLimiter
    concurrency : int
        Most calls in progress at a time.
    patience : Patience
    """

    def __init__(
        self,
        calls: Sequence[C],
        do: Callable[[C], R],
        limiter: RateLimiter,
        *,
        concurrency: int,
        patience: Patience,
    ) -> None:
        self._fresh = iter(calls)
        self._waiting = len(calls)
        self._do, self._limiter, self._patience = do, limiter, patience
        self._concurrency = min(concurrency, len(calls))
        self._retries: list[_Retry[C]] = []
        self._todo: queue.SimpleQueue[tuple[_Call[C], int] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[_Call[C], R | None, BaseException | None]] = queue.SimpleQueue()
        self._in_progress = self._threads = self._retried = 0

    def results(self) -> Generator[list[tuple[C, R]]]:
        """Yield results in groups as they arrive, until all calls are done.

        Raises
        ------
        GivenUp
            A call failed permanently; the cause is its error. No call starts after that; calls in
            progress are awaited and their results yielded first, because they are paid for.
        BaseException
            `do` raised an exception that is not a failure of AWS or the network.
        """
        failure: BaseException | None = None
        try:
            while self._in_progress or (self._waiting and failure is None):
                if failure is None:
                    self._start_calls()
                group: list[tuple[C, R]] = []
                for call, result, error in self._arrived(failure is None):
                    if error is None:
                        group.append((call.argument, result))  # type: ignore[arg-type]
                        continue
                    self._in_progress -= 1
                    failure = failure or self._retry_or_fail(call, error)
                if group:
                    yield group
                    self._in_progress -= len(group)
        finally:
            for _ in range(self._threads):
                self._todo.put(None)
        if failure is not None:
            raise failure

    def _start_calls(self) -> None:
        """Start calls until the rate limiter or the concurrency is exhausted."""
        while self._waiting and self._in_progress < self._concurrency:
            due = bool(self._retries) and self._retries[0].due <= time.monotonic()
            if not due and len(self._retries) == self._waiting:
                return
            ticket = self._limiter.begin()
            if ticket is None:
                return
            call = heapq.heappop(self._retries).call if due else _Call(next(self._fresh))
            self._waiting -= 1
            self._in_progress += 1
            if self._threads < self._in_progress:
                self._threads += 1
                threading.Thread(target=self._work, daemon=True, name="rag-bedrock").start()
            self._todo.put((call, ticket))

    def _arrived(self, sending: bool) -> Iterator[tuple[_Call[C], R | None, BaseException | None]]:
        """Wait for the next result, or until a call may start; yield all results that are ready."""
        wait = self._wait_s() if sending else None
        with contextlib.suppress(queue.Empty):
            yield self._done.get(timeout=wait)
            while True:
                yield self._done.get_nowait()

    def _wait_s(self) -> float | None:
        if not self._waiting or self._in_progress >= self._concurrency:
            return None
        if len(self._retries) < self._waiting or self._retries[0].due <= time.monotonic():
            return max(self._limiter.wait_s(), 0.001)
        return max(self._retries[0].due - time.monotonic(), 0.001)

    def _work(self) -> None:
        while (job := self._todo.get()) is not None:
            call, ticket = job
            result: R | None = None
            error: BaseException | None = None
            try:
                result = self._do(call.argument)
            except BaseException as raised:
                error = raised
            throttled = error is not None and is_fault(error) and fault_of(error).slower
            self._limiter.end(ticket, throttled=throttled)
            self._done.put((call, result, error))

    def _retry_or_fail(self, call: _Call[C], error: BaseException) -> BaseException | None:
        """Queue a failed call again; return the exception to raise if a retry is useless."""
        if not is_fault(error):
            return error
        now, fault, patience = time.monotonic(), fault_of(error), self._patience
        if fault.again == "no":
            return _given_up("a retry would not help", error)
        if fault.slower:
            call.throttled_since = call.throttled_since or now
            call.throttled += 1
            if now - call.throttled_since > patience.throttled_s:
                return _given_up(f"throttled for {now - call.throttled_since:.0f} s", error)
            attempt, cap = call.throttled, patience.cap_throttled_s
        else:
            call.failed += 1
            if call.failed >= (_UNREACHABLE_ATTEMPTS if code_of(error) in _UNREACHABLE else patience.tries):
                return _given_up(f"after {call.failed} attempts", error)
            attempt, cap = call.failed, patience.cap_s
        self._retried += 1
        self._waiting += 1
        wait = full_jitter(attempt, patience.base_s, cap)
        heapq.heappush(self._retries, _Retry(now + wait, self._retried, call))
        return None


def _given_up(reason: str, cause: BaseException) -> GivenUp:
    failure = GivenUp(reason)
    failure.__cause__ = cause
    return failure
