"""How the emulator behaves: its pace, its quotas, its failures, and what it says."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rag.bedrock.runtime.faults import FAULTS
from rag.core.errors import ConfigError, near_miss
from rag.emulator.wire import Event, Refusal, Request

Moment = Literal["before", "stream", "after"]

#: The four that botocore retries.
RETRIED = (
    "ThrottlingException", "ModelNotReadyException", "InternalServerException", "ServiceUnavailableException",
)  # fmt: skip
#: What ends streams: the exceptions that ConverseStream's service model has, and a cut connection.
IN_STREAM = (
    "ThrottlingException", "InternalServerException", "ServiceUnavailableException",
    "ModelStreamErrorException", "StreamCut",
)  # fmt: skip
TOO_MANY_REQUESTS = "Too many requests, please wait before trying again."
TOO_MANY_TOKENS = "Too many tokens, please wait before trying again."
#: Why replies end (StopReason of botocore 1.44.5's model of bedrock-runtime).
STOP_REASONS = (
    "end_turn", "tool_use", "max_tokens", "stop_sequence", "guardrail_intervened", "content_filtered",
    "malformed_model_output", "malformed_tool_use", "model_context_window_exceeded",
)  # fmt: skip
#: Failures without a reply: the connection ends, or nothing comes until the client gives up.
_CUTS = ("StreamCut", "ConnectionClosedError", "EndpointConnectionError", "ConnectTimeoutError")
_HANGS = ("ReadTimeoutError",)


@dataclass
class Behaviour:
    """How the emulator behaves; may be edited or replaced while it runs.

    Attributes
    ----------
    latency_s : float or (float, float)
        Seconds before the first byte: constant, or the median and the 99th percentile of a
        log-normal distribution.
    token_s : float
        Seconds between a stream's pieces of content.
    requests_per_minute, tokens_per_minute : float, optional
        Quotas, as token buckets; a call beyond them is answered with ThrottlingException at once. A
        call's tokens are those of its input and the most it may write.
    burst_s : float
        The buckets hold this many seconds' worth.
    fail : float
        Probability, in [0, 1], that a call fails instead of being answered.
    fail_with : tuple of str
        How, one chosen at random; names of `rag.bedrock.runtime.faults.FAULTS`.
    stream_fail, stream_fail_with :
        The same for streams that have begun: an exception after 1 to 5 pieces of content, or
        ``"StreamCut"``, where the connection ends in the middle of an event.
    bytes_per_second : float, optional
        Sends replies this slowly.
    stop_reason : str, optional
        Given instead of the real one.
    reply : str or callable, optional
        What models say, instead of the extractive answer; a callable is given the `Request` and
        returns the text (so replies may differ from call to call). ``<cite doc="N">quote</cite>``
        becomes a native citation where the request has search results with citations.
    guardrail : {"blocked", "masked"}, optional
        What a guardrail does where the request names one.
    tool_input : Mapping or callable, optional
        The input of a tool call; by default an instance of the tool's JSON schema.
    seed : int
        Of all that is random.
    """

    latency_s: float | tuple[float, float] = 0.0
    token_s: float = 0.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    burst_s: float = 1.0
    fail: float = 0.0
    fail_with: tuple[str, ...] = RETRIED
    stream_fail: float = 0.0
    stream_fail_with: tuple[str, ...] = IN_STREAM
    bytes_per_second: float | None = None
    stop_reason: str | None = None
    reply: str | Callable[[Request], str] | None = None
    guardrail: Literal["blocked", "masked"] | None = None
    tool_input: Mapping[str, Any] | Callable[[Request], Mapping[str, Any]] | None = None
    seed: int = 0


class Cut(Exception):  # noqa: N818 -- what happens to the connection
    """The connection ends here, without a reply or in the middle of an event."""


class Hang(Exception):  # noqa: N818
    """Nothing comes any more, until the client gives up."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure to come.

    Attributes
    ----------
    code : str
        Of `rag.bedrock.runtime.faults.FAULTS`, or another that ends in ``Exception``.
    moment : {"before", "stream", "after"}
        Instead of a reply; after some content of a stream; between its content and its end.
    events : int
        How many pieces of content come before it, for ``"stream"``.
    """

    code: str
    moment: Moment = "before"
    events: int = 2

    def __post_init__(self) -> None:
        fault = FAULTS.get(self.code)
        sent = self.code in _CUTS + _HANGS or (fault.status > 0 if fault else self.code.endswith("Exception"))
        if not sent:
            known = [code for code, fault in FAULTS.items() if fault.status] + [*_CUTS, *_HANGS]
            raise ConfigError(f"no server fails with {self.code!r}: {near_miss(self.code, known)}")

    def exception(self) -> Exception:
        """Return what to raise."""
        if self.code in _CUTS:
            return Cut(self.code)
        if self.code in _HANGS:
            return Hang(self.code)
        if self.code == "ThrottlingException":
            return Refusal(self.code, TOO_MANY_REQUESTS)
        return Refusal(self.code, f"The emulator was asked for a {self.code}.")


class TokenBucket:
    """A quota per minute.

    It fills evenly and holds `burst_s` seconds' worth, at least one call's. What is more than it ever
    holds is let through when it is full, and owed.

    Parameters
    ----------
    per_minute : float
    burst_s : float
    now : float
        Seconds, of any clock.

    Examples
    --------
    >>> bucket = TokenBucket(60, 2, now=0.0)
    >>> [bucket.take(1, now=0.0) for _ in range(3)], bucket.take(1, now=1.0)
    ([True, True, False], True)
    """

    def __init__(self, per_minute: float, burst_s: float, now: float) -> None:
        self.rate = per_minute / 60
        self.holds = max(1.0, self.rate * burst_s)
        self._level, self._at = self.holds, now

    def take(self, amount: float, now: float) -> bool:
        """Take an amount if it is there."""
        self._level = min(self.holds, self._level + (now - self._at) * self.rate)
        self._at = now
        # Sums of small steps fall short of the whole by rounding.
        if self._level + 1e-9 < min(amount, self.holds):
            return False
        self._level -= amount
        return True


class Quotas:
    """The buckets of requests and of tokens, made anew when the behaviour's quotas change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[tuple[float, float], TokenBucket]] = {}

    def admit(self, behaviour: Behaviour, tokens: Callable[[], int], now: float) -> None:
        """Take a call's share, or refuse it with ThrottlingException."""
        with self._lock:
            if not self._take("requests", behaviour.requests_per_minute, behaviour.burst_s, 1, now):
                raise Refusal("ThrottlingException", TOO_MANY_REQUESTS)
        if behaviour.tokens_per_minute is None:
            return
        amount = tokens()
        with self._lock:
            if not self._take("tokens", behaviour.tokens_per_minute, behaviour.burst_s, amount, now):
                raise Refusal("ThrottlingException", TOO_MANY_TOKENS)

    def _take(self, name: str, per_minute: float | None, burst_s: float, amount: int, now: float) -> bool:
        if per_minute is None:
            return True
        settings = (per_minute, burst_s)
        if name not in self._buckets or self._buckets[name][0] != settings:
            self._buckets[name] = (settings, TokenBucket(per_minute, burst_s, now))
        return self._buckets[name][1].take(amount, now)


class Chance:
    """All that is random, from one seed, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seed: int | None = None
        self._random = random.Random()

    def latency_s(self, behaviour: Behaviour) -> float:
        """Draw a latency."""
        if isinstance(behaviour.latency_s, int | float):
            return behaviour.latency_s
        median, high = behaviour.latency_s
        # 2.3263 standard deviations of a normal distribution are its 99th percentile.
        deviation = math.log(high / median) / 2.3263 if high > median > 0 else 0.0
        with self._lock:
            return median * math.exp(self._drawn(behaviour).gauss(0, deviation))

    def failure(self, behaviour: Behaviour, *, stream: bool) -> Failure | None:
        """Draw whether a call fails, and how."""
        if not behaviour.fail and not (stream and behaviour.stream_fail):
            return None
        with self._lock:
            drawn = self._drawn(behaviour)
            if drawn.random() < behaviour.fail:
                return Failure(drawn.choice(behaviour.fail_with))
            if stream and drawn.random() < behaviour.stream_fail:
                return Failure(drawn.choice(behaviour.stream_fail_with), "stream", drawn.randint(1, 5))
        return None

    def _drawn(self, behaviour: Behaviour) -> random.Random:
        if behaviour.seed != self._seed:
            self._seed, self._random = behaviour.seed, random.Random(behaviour.seed)
        return self._random


def paced(events: Iterable[Event], token_s: float, failure: Failure | None) -> Iterator[Event]:
    """Yield a stream's events in their time, and fail where that is to be."""
    content = 0
    for kind, payload in events:
        if kind == "contentBlockDelta":
            if failure and failure.moment == "stream" and content >= failure.events:
                raise failure.exception()
            if content and token_s:
                time.sleep(token_s)
            content += 1
        elif kind == "messageStop" and failure:
            raise failure.exception()  # also where the reply was too short to fail in
        yield kind, payload
