"""When calls and streams are retried, how long they wait, and how they fail."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError, ParamValidationError, ResponseStreamingError
from botocore.exceptions import ReadTimeoutError as BotocoreReadTimeout
from hypothesis import given
from hypothesis import strategies as st
from langchain_aws.chat_models.bedrock_converse import BedrockContextOverflowError
from urllib3.exceptions import ProtocolError
from urllib3.exceptions import ReadTimeoutError as Urllib3ReadTimeout

from rag.bedrock.runtime.faults import FAULTS, code_of, fault_of, is_fault
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import ConfigError, EmbeddingError, GenerationError

MODEL = "global.anthropic.claude-sonnet-5-5"


def aws(code: str, message: str = "no", status: int = 0, **headers: str) -> ClientError:
    metadata = {"HTTPStatusCode": status or getattr(FAULTS.get(code), "status", 0), "HTTPHeaders": headers}
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "Converse"
    )


@dataclass
class Time:
    """A clock that only waiting moves, and that remembers how long was waited."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)
    each_call_s: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def retry(self, **settings: Any) -> Retry:
        settings.setdefault("uniform", lambda low, high: high)
        return Retry(clock=lambda: self.now, sleep=self.sleep, **settings)


class Script:
    """Fails as it is told, call by call, then answers."""

    def __init__(self, *failures: BaseException, time: Time | None = None) -> None:
        self.failures, self.calls, self.time = list(failures), 0, time

    def __call__(self) -> str:
        self.calls += 1
        if self.time is not None:
            self.time.now += self.time.each_call_s
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


@pytest.mark.parametrize("code", [code for code, fault in FAULTS.items() if fault.status])
def test_attempts(code: str) -> None:
    """A call is made as often as the table says."""
    script = Script(*[aws(code)] * 9)
    with pytest.raises(GenerationError) as caught:
        Time().retry(attempts=4).call(script, model=MODEL)
    assert script.calls == {"yes": 4, "once": 2, "no": 1}[FAULTS[code].again]
    error = caught.value
    assert (error.code, error.elsewhere, error.strike) == (code, FAULTS[code].elsewhere, FAULTS[code].strike)
    assert not error.started
    assert str(error).startswith(f"{MODEL}: {code}: ")
    assert "\n" not in str(error)
    assert ("attempts" in str(error)) == (script.calls > 1)


def test_recovery() -> None:
    """A model that recovers answers without an error."""
    time = Time()
    script = Script(aws("ThrottlingException"), aws("InternalServerException"))
    assert time.retry().call(script, model=MODEL) == "answer"
    assert script.calls == 3
    assert time.waits == [0.25, 0.5]


def test_once_among_others() -> None:
    """A fault marked "once" is retried once even among others."""
    busy, broken = aws("ThrottlingException"), aws("ModelErrorException")
    recovers = Script(busy, busy, broken)
    assert Time().retry().call(recovers, model=MODEL) == "answer"
    with pytest.raises(GenerationError, match="ModelErrorException"):
        Time().retry().call(Script(busy, broken, busy, broken), model=MODEL)


def test_error_counts() -> None:
    """The error states the number of attempts and the time."""
    time = Time(each_call_s=2.0)
    script = Script(*[aws("ThrottlingException")] * 9, time=time)
    with pytest.raises(GenerationError, match=r"ThrottlingException.*\(after 3 attempts in 6.75 s\)"):
        time.retry(attempts=3).call(script, model=MODEL)


def test_error_type() -> None:
    """An embedder's failure is an EmbeddingError."""
    with pytest.raises(EmbeddingError, match="AccessDeniedException"):
        Time().retry().call(Script(aws("AccessDeniedException")), model="titan", error=EmbeddingError)


@given(tries=st.integers(2, 80), base=st.floats(0.001, 5), cap=st.floats(0.001, 60), seed=st.integers())
def test_waits(tries: int, base: float, cap: float, seed: int) -> None:
    """Waits are drawn from zero to the doubled base, at most the cap."""
    time = Time()
    retry = time.retry(
        attempts=tries, base_s=base, cap_s=cap, deadline_s=1e9, uniform=random.Random(seed).uniform
    )
    with pytest.raises(GenerationError):
        retry.call(Script(*[aws("ThrottlingException")] * tries), model=MODEL)
    assert len(time.waits) == tries - 1
    for number, wait in enumerate(time.waits):
        assert 0 <= wait <= min(cap, base * 2**number)


@given(deadline=st.floats(0, 200), call_s=st.floats(0, 50), attempts=st.integers(1, 30))
def test_deadline(deadline: float, call_s: float, attempts: int) -> None:
    """No attempt starts after the deadline."""
    time = Time(each_call_s=call_s)
    begun: list[float] = []

    def call() -> str:
        begun.append(time.now)
        time.now += call_s
        raise aws("ThrottlingException")

    with pytest.raises(GenerationError):
        time.retry(attempts=attempts, deadline_s=deadline).call(call, model=MODEL)
    assert begun[0] == 0
    assert all(at <= deadline for at in begun)
    assert len(begun) <= attempts


def test_wait_beyond_deadline() -> None:
    """A wait that would exceed the deadline is skipped."""
    time = Time()
    script = Script(aws("ThrottlingException", **{"retry-after": "90"}))
    with pytest.raises(GenerationError, match="another attempt would exceed the deadline of 60 s"):
        time.retry(deadline_s=60).call(script, model=MODEL)
    assert (script.calls, time.waits) == (1, [])


def test_retry_after() -> None:
    """Retry-After is respected, as seconds and as a date."""
    time = Time()
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    script = Script(
        aws("ThrottlingException", **{"retry-after": "7"}),
        aws("ServiceUnavailableException", **{"retry-after": later}),
        aws("ServiceUnavailableException", **{"retry-after": "soon"}),
    )
    assert time.retry().call(script, model=MODEL) == "answer"
    assert time.waits[0] == 7
    assert 25 < time.waits[1] <= 30
    assert time.waits[2] == 1.0


@pytest.mark.parametrize(
    "error", [TypeError("a bug"), KeyError("a bug"), ConfigError("wrong"), ValueError("x")]
)
def test_other_exceptions(error: Exception) -> None:
    """Exceptions that are not failures of AWS propagate unchanged."""
    script = Script(error)
    with pytest.raises(type(error)) as caught:
        Time().retry().call(script, model=MODEL)
    assert caught.value is error
    assert script.calls == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_interrupt(kind: type[BaseException]) -> None:
    script = Script(kind())
    with pytest.raises(kind):
        Time().retry().call(script, model=MODEL)
    assert script.calls == 1


def test_invalid_settings() -> None:
    with pytest.raises(ConfigError, match="attempts is 0: set it to 1 or more"):
        Retry(attempts=0)
    with pytest.raises(ConfigError, match="base_s"):
        Retry(base_s=-1)


# --- streams -------------------------------------------------------------------------------------


class Streams:
    """One stream per try: its items in order; an exception among them is raised."""

    def __init__(self, *tries: list[Any]) -> None:
        self.tries, self.begun, self.closed = list(tries), 0, 0

    def __call__(self) -> Iterator[str]:
        self.begun += 1
        return self._stream(self.tries.pop(0))

    def _stream(self, items: list[Any]) -> Iterator[str]:
        try:
            for item in items:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.closed += 1


def shown(item: str) -> bool:
    return not item.startswith("-")


def test_stream_retry() -> None:
    """A stream that fails before its first text is retried without a trace."""
    streams = Streams(["-start", aws("throttlingException")], ["-start", "-", "a", "-", "b", "-stop"])
    out = list(Time().retry().stream(streams, model=MODEL, shown=shown))
    assert out == ["-start", "-", "a", "-", "b", "-stop"]
    assert (streams.begun, streams.closed) == (2, 2)


def test_stream_cut() -> None:
    """A stream that fails after text is cut, and not retried."""
    streams = Streams(["-start", "a", "b", aws("throttlingException")], ["again"])
    out: list[str] = []
    with pytest.raises(GenerationError, match="the answer is cut here and not started again") as caught:
        for item in Time().retry().stream(streams, model=MODEL, shown=shown):
            out.append(item)
    assert out == ["-start", "a", "b"]
    assert caught.value.started
    assert caught.value.code == "ThrottlingException"
    assert streams.begun == 1


def test_invisible_stream() -> None:
    """A stream without visible items is passed on completely."""
    streams = Streams(["-start", "-stop"])
    assert list(Time().retry().stream(streams, model=MODEL, shown=shown)) == ["-start", "-stop"]


def test_abandoned_stream() -> None:
    """An abandoned stream is closed."""
    streams = Streams(["a", "b", "c"])
    stream = Time().retry().stream(streams, model=MODEL, shown=shown)
    assert next(stream) == "a"
    stream.close()  # type: ignore[attr-defined]
    assert (streams.begun, streams.closed) == (1, 1)


def test_reader_exception() -> None:
    """An exception of the reader is not the model's failure."""
    streams = Streams(["a", "b"], ["again"])
    stream = Time().retry().stream(streams, model=MODEL, shown=shown)
    next(stream)
    with pytest.raises(ConnectionError, match="the reader's own"):
        stream.throw(ConnectionError("the reader's own"))  # type: ignore[attr-defined]
    assert (streams.begun, streams.closed) == (1, 1)


def test_bug_in_stream() -> None:
    with pytest.raises(TypeError, match="a bug"):
        list(Time().retry().stream(Streams(["a", TypeError("a bug")]), model=MODEL, shown=shown))


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(["-x", "a", "b"]), max_size=4), st.booleans()),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_no_spliced_stream(
    tries: list[tuple[list[str], bool]],
) -> None:
    """The delivered items are always the beginning of one attempt."""
    streams = Streams(*[[*items, *([aws("throttlingException")] if fails else [])] for items, fails in tries])
    out: list[str] = []
    failed: GenerationError | None = None
    try:
        for item in Time().retry(attempts=len(tries)).stream(streams, model=MODEL, shown=shown):
            out.append(item)
    except GenerationError as error:
        failed = error
    items, fails = tries[streams.begun - 1]
    assert (failed is not None) == fails
    assert failed is None or failed.started == any(map(shown, items))
    assert out == (items if not fails or any(map(shown, items)) else [])
    assert streams.closed == streams.begun
    assert all(fails and not any(map(shown, items)) for items, fails in tries[: streams.begun - 1])


# --- which row of the table an error belongs to ----------------------------------------------------

KNOWN: list[tuple[Exception, str]] = [
    (ConnectionError("Incomplete Bedrock response stream: missing messageStop event."), "StreamCut"),
    (ConnectionResetError(104, "reset"), "ConnectionClosedError"),
    (ProtocolError("Connection broken"), "StreamCut"),
    (ResponseStreamingError(error=OSError("broken")), "StreamCut"),
    (Urllib3ReadTimeout(None, "", "Read timed out."), "ReadTimeoutError"),  # type: ignore[arg-type]
    (BotocoreReadTimeout(endpoint_url="http://x"), "ReadTimeoutError"),
    (EventStreamError({"Error": {"Code": "modelStreamErrorException"}}, "ConverseStream"), "ModelStreamErrorException"),
    (aws("ExpiredToken"), "ExpiredTokenException"),
    (ParamValidationError(report="Unknown parameter"), "ValidationException"),
    (BedrockContextOverflowError({"Error": {"Code": "ValidationException"}}, "Converse"), "ContextOverflow"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "code"), KNOWN, ids=[code for _, code in KNOWN])
def test_error_names(error: Exception, code: str) -> None:
    """Errors are recognised by all of their names."""
    assert code_of(error) == code
    assert fault_of(error) is FAULTS[code]
    assert is_fault(error)


def test_context_overflow() -> None:
    """The advice for a long context is to lower the budget."""
    overflow = BedrockContextOverflowError(
        {"Error": {"Code": "ValidationException", "Message": "prompt is too long: 210000 tokens"}}, "Converse"
    )
    with pytest.raises(GenerationError, match="lower the trimmer's budget") as caught:
        Time().retry().call(Script(overflow), model=MODEL)
    assert (caught.value.elsewhere, caught.value.strike) == (True, False)


@pytest.mark.parametrize(
    ("status", "like"),
    [(429, "ThrottlingException"), (500, "InternalServerException"), (503, "ServiceUnavailableException")],
)
def test_unknown_code(status: int, like: str) -> None:
    """An unknown code is classified by its HTTP status."""
    assert fault_of(aws("SomethingNew", status=status)) is FAULTS[like]
    assert fault_of(aws("SomethingNew", status=418)).again == "no"


def test_bug_is_no_fault() -> None:
    assert not is_fault(TypeError("a bug"))
    assert not is_fault(KeyError("a bug"))


def test_foreign_response() -> None:
    """Another library's error with a response is not a fault."""

    class ForeignError(Exception):
        response = object()

    assert not is_fault(ForeignError())
    assert code_of(ForeignError()) == "ForeignError"
