"""Many calls at once: each as soon as the pace allows, again where it failed, and none too many.

The thread that takes the results also gives out the calls, so nothing is sent that nobody waits for:
what is under way and what was taken but perhaps not stored yet are never more than `concurrency`.
"""

from __future__ import annotations

import contextlib
import heapq
import queue
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rag.bedrock.runtime.faults import code_of, fault_of, is_fault
from rag.bedrock.runtime.rate_limiter import Pace

C = TypeVar("C")
R = TypeVar("R")

#: Where there is no connection at all, trying for long only keeps a wrong setting from being told.
_UNREACHED, _UNREACHED_TRIES = ("EndpointConnectionError", "ConnectTimeoutError"), 4


@dataclass(frozen=True, slots=True)
class Patience:
    """When a failed call is tried again, and when it is given up.

    Attributes
    ----------
    throttled_s : float
        Seconds for which a call may be throttled, from the first time that it was.
    tries : int
        Calls in all that may fail otherwise.
    base_s, cap_s, cap_throttled_s : float
        Before the n-th further try it waits a time drawn evenly from [0, min(cap, `base_s` *
        2**(n-1))], the "full jitter" of the AWS Architecture Blog's "Exponential Backoff And Jitter".
        After throttling the cap is lower, as it is the pace that keeps calls apart then.
    """

    throttled_s: float = 300.0
    tries: int = 12
    base_s: float = 0.1
    cap_s: float = 8.0
    cap_throttled_s: float = 1.0


class GivenUp(Exception):  # noqa: N818 -- says which call failed and why; the cause is the error
    """A call failed for good; everything that was paid for was given out before this."""


@dataclass(slots=True)
class _Call(Generic[C]):
    what: C
    failed: int = 0
    throttled: int = 0
    throttled_since: float = 0.0


@dataclass(order=True, slots=True)
class _Again(Generic[C]):
    due: float
    number: int
    call: _Call[C] = field(compare=False)


class Sending(Generic[C, R]):
    """The calls of one request for vectors.

    Parameters
    ----------
    calls : sequence
        What `do` is called with, once each or as often as it takes.
    do : callable
        Makes one call, in any thread.
    pace : Pace
    concurrency : int
        Calls under way at once, at the most.
    patience : Patience
    """

    def __init__(
        self, calls: Sequence[C], do: Callable[[C], R], pace: Pace, *, concurrency: int, patience: Patience
    ) -> None:
        self._fresh = iter(calls)
        self._waiting = len(calls)
        self._do, self._pace, self._patience = do, pace, patience
        self._concurrency = min(concurrency, len(calls))
        self._again: list[_Again[C]] = []
        self._todo: queue.SimpleQueue[tuple[_Call[C], int] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[_Call[C], R | None, BaseException | None]] = queue.SimpleQueue()
        self._under_way = self._threads = self._retried = 0

    def results(self) -> Generator[list[tuple[C, R]]]:
        """Yield what has arrived, in groups, until all calls are done.

        Raises
        ------
        GivenUp
            From the error of the call that failed. Nothing is sent after that; what was under way is
            waited for and given out first, as it is paid for.
        BaseException
            What `do` raised that no service did.
        """
        failure: BaseException | None = None
        try:
            while self._under_way or (self._waiting and failure is None):
                if failure is None:
                    self._send()
                group: list[tuple[C, R]] = []
                for call, result, error in self._arrived(failure is None):
                    if error is None:
                        group.append((call.what, result))  # type: ignore[arg-type]
                        continue
                    self._under_way -= 1
                    failure = failure or self._retry_or_fail(call, error)
                if group:
                    yield group
                    self._under_way -= len(group)
        finally:
            for _ in range(self._threads):
                self._todo.put(None)
        if failure is not None:
            raise failure

    def _send(self) -> None:
        """Give out calls until the pace or the number under way says stop."""
        while self._waiting and self._under_way < self._concurrency:
            due = bool(self._again) and self._again[0].due <= time.monotonic()
            if not due and len(self._again) == self._waiting:
                return
            turn = self._pace.begin()
            if turn is None:
                return
            call = heapq.heappop(self._again).call if due else _Call(next(self._fresh))
            self._waiting -= 1
            self._under_way += 1
            if self._threads < self._under_way:
                self._threads += 1
                threading.Thread(target=self._work, daemon=True, name="rag-bedrock").start()
            self._todo.put((call, turn))

    def _arrived(self, sending: bool) -> Iterator[tuple[_Call[C], R | None, BaseException | None]]:
        """Wait for the next result, or until something can be sent; yield all that are there."""
        wait = self._wait_s() if sending else None
        with contextlib.suppress(queue.Empty):
            yield self._done.get(timeout=wait)
            while True:
                yield self._done.get_nowait()

    def _wait_s(self) -> float | None:
        if not self._waiting or self._under_way >= self._concurrency:
            return None
        if len(self._again) < self._waiting or self._again[0].due <= time.monotonic():
            return max(self._pace.wait_s(), 0.001)
        return max(self._again[0].due - time.monotonic(), 0.001)

    def _work(self) -> None:
        while (job := self._todo.get()) is not None:
            call, turn = job
            result: R | None = None
            error: BaseException | None = None
            try:
                result = self._do(call.what)
            except BaseException as raised:
                error = raised
            self._pace.end(turn, throttled=error is not None and is_fault(error) and fault_of(error).slower)
            self._done.put((call, result, error))

    def _retry_or_fail(self, call: _Call[C], error: BaseException) -> BaseException | None:
        """Put a failed call back; return what to raise where that is of no use."""
        if not is_fault(error):
            return error
        now, fault, patience = time.monotonic(), fault_of(error), self._patience
        if fault.again == "no":
            return _given_up("it is of no use to try again", error)
        if fault.slower:
            call.throttled_since = call.throttled_since or now
            call.throttled += 1
            if now - call.throttled_since > patience.throttled_s:
                return _given_up(f"throttled for {now - call.throttled_since:.0f} s", error)
            times, cap = call.throttled, patience.cap_throttled_s
        else:
            call.failed += 1
            if call.failed >= (_UNREACHED_TRIES if code_of(error) in _UNREACHED else patience.tries):
                return _given_up(f"after {call.failed} tries", error)
            times, cap = call.failed, patience.cap_s
        wait = random.uniform(0.0, min(cap, patience.base_s * 2.0 ** min(times - 1, 30)))
        self._retried += 1
        self._waiting += 1
        heapq.heappush(self._again, _Again(now + wait, self._retried, call))
        return None


def _given_up(said: str, cause: BaseException) -> GivenUp:
    failure = GivenUp(said)
    failure.__cause__ = cause
    return failure
