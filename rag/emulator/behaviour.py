"""The emulator's behaviour: latency, quotas, failures and replies."""

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

#: The four errors that botocore retries.
RETRIED = (
    "ThrottlingException", "ModelNotReadyException", "InternalServerException", "ServiceUnavailableException",
)  # fmt: skip
#: Failures of streams: the exceptions in ConverseStream's service model, and a cut connection.
IN_STREAM = (
    "ThrottlingException", "InternalServerException", "ServiceUnavailableException",
    "ModelStreamErrorException", "StreamCut",
)  # fmt: skip
TOO_MANY_REQUESTS = "Too many requests, please wait before trying again."
TOO_MANY_TOKENS = "Too many tokens, please wait before trying again."
#: Stop reasons (StopReason of botocore 1.44.5's model of bedrock-runtime).
STOP_REASONS = (
    "end_turn", "tool_use", "max_tokens", "stop_sequence", "guardrail_intervened", "content_filtered",
    "malformed_model_output", "malformed_tool_use", "model_context_window_exceeded",
)  # fmt: skip
#: Failures without a reply: the connection ends, or the client times out.
_CUTS = ("StreamCut", "ConnectionClosedError", "EndpointConnectionError", "ConnectTimeoutError")
_HANGS = ("ReadTimeoutError",)


@dataclass
class Behaviour:
    """Latency, quotas, failures and replies; may be edited or replaced while the emulator runs.

    Attributes
    ----------
    latency_s : float or (float, float)
        Seconds before the first byte: constant, or the median and the 99th percentile of a
        log-normal distribution.
    token_s : float
        Seconds between a stream's pieces of content.
    requests_per_minute, tokens_per_minute : float, optional
        Quotas, as token buckets; a call beyond one fails at once with ThrottlingException. A call
        uses the tokens of its input plus its maximum of output tokens.
    burst_s : float
        Capacity of the buckets, in seconds of the quota.
    fail : float
        Probability, in [0, 1], that a call fails.
    fail_with : tuple of str
        Errors to choose from at random; names in `rag.bedrock.runtime.faults.FAULTS`.
    stream_fail, stream_fail_with :
        The same for a stream after its beginning: an exception after 1 to 5 pieces of content, or
        ``"StreamCut"``, which ends the connection in the middle of an event.
    bytes_per_second : float, optional
        Rate at which replies are sent; by default unlimited.
    stop_reason : str, optional
        Overrides the stop reason of every reply.
    reply : str or callable, optional
        The text of every reply, instead of the extractive answer; a callable receives the `Request`
        and returns the text. ``<cite doc="N">quote</cite>`` becomes a native citation if the request
        has search results with citations.
    guardrail : {"blocked", "masked"}, optional
        The action of a guardrail in requests that name one.
    tool_input : Mapping or callable, optional
        The input of a tool call; by default an instance of the tool's JSON schema.
    denied : frozenset of str
        IAM actions that the caller lacks, e.g. ``"bedrock:InvokeModel"``; their calls fail with
        AccessDeniedException.
    no_access : frozenset of str
        Ids of models that the account has no access to.
    seed : int
        Seed of every random choice.
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
    denied: frozenset[str] = frozenset()
    no_access: frozenset[str] = frozenset()
    seed: int = 0


class Cut(Exception):  # noqa: N818 -- an event, not an error
    """Raised to end the connection, without a reply or in the middle of an event."""


class Hang(Exception):  # noqa: N818
    """Raised to send nothing more until the client times out."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A scheduled failure.

    Attributes
    ----------
    code : str
        A name in `rag.bedrock.runtime.faults.FAULTS`, or another that ends in ``Exception``.
    moment : {"before", "stream", "after"}
        Instead of a reply; after some content of a stream; between its content and its end.
    events : int
        Pieces of content before the failure, for ``"stream"``.

    Raises
    ------
    ConfigError
        No server fails with this code.
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
        """Return the exception to raise."""
        if self.code in _CUTS:
            return Cut(self.code)
        if self.code in _HANGS:
            return Hang(self.code)
        if self.code == "ThrottlingException":
            return Refusal(self.code, TOO_MANY_REQUESTS)
        return Refusal(self.code, f"The emulator is set to fail with {self.code}.")


class TokenBucket:
    """A quota per minute.

    It fills evenly and holds the amount of `burst_s` seconds, at least 1. An amount above its capacity
    passes when the bucket is full, and leaves it in debt.

    Parameters
    ----------
    per_minute : float
    burst_s : float
    now : float
        The time in seconds, by any clock.

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
        """Take an amount if the bucket holds it; return whether it did."""
        self._level = min(self.holds, self._level + (now - self._at) * self.rate)
        self._at = now
        # Rounding makes sums of small steps fall short of the whole.
        if self._level + 1e-9 < min(amount, self.holds):
            return False
        self._level -= amount
        return True


class Quotas:
    """The buckets of requests and tokens, replaced when the behaviour's quotas change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[tuple[float, float], TokenBucket]] = {}

    def admit(self, behaviour: Behaviour, tokens: Callable[[], int], now: float) -> None:
        """Charge a call to the quotas, or refuse it with ThrottlingException."""
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
    """A source of random choices from one seed, shared by all threads."""

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
            return median * math.exp(self._seeded(behaviour).gauss(0, deviation))

    def failure(self, behaviour: Behaviour, *, stream: bool) -> Failure | None:
        """Draw whether and how a call fails."""
        if not behaviour.fail and not (stream and behaviour.stream_fail):
            return None
        with self._lock:
            rng = self._seeded(behaviour)
            if rng.random() < behaviour.fail:
                return Failure(rng.choice(behaviour.fail_with))
            if stream and rng.random() < behaviour.stream_fail:
                return Failure(rng.choice(behaviour.stream_fail_with), "stream", rng.randint(1, 5))
        return None

    def _seeded(self, behaviour: Behaviour) -> random.Random:
        if behaviour.seed != self._seed:
            self._seed, self._random = behaviour.seed, random.Random(behaviour.seed)
        return self._random


def paced(events: Iterable[Event], token_s: float, failure: Failure | None) -> Iterator[Event]:
    """Yield a stream's events at the set pace, and raise a scheduled failure."""
    content = 0
    for kind, payload in events:
        if kind in ("contentBlockDelta", "output"):
            if failure and failure.moment == "stream" and content >= failure.events:
                raise failure.exception()
            if content and token_s:
                time.sleep(token_s)
            content += 1
        elif kind in ("messageStop", "guardrail") and failure:
            raise failure.exception()  # the reply may be too short for the set number of pieces
        yield kind, payload
