"""Trying again: how often, after which waits, and never after text has been given out."""

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
def test_a_call_is_made_as_often_as_the_table_says(code: str) -> None:
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


def test_a_model_that_recovers_answers_and_the_user_hears_nothing_of_it() -> None:
    time = Time()
    script = Script(aws("ThrottlingException"), aws("InternalServerException"))
    assert time.retry().call(script, model=MODEL) == "answer"
    assert script.calls == 3
    assert time.waits == [0.25, 0.5]


def test_what_is_retried_once_is_so_beside_other_failures() -> None:
    busy, broken = aws("ThrottlingException"), aws("ModelErrorException")
    recovers = Script(busy, busy, broken)
    assert Time().retry().call(recovers, model=MODEL) == "answer"
    with pytest.raises(GenerationError, match="ModelErrorException"):
        Time().retry().call(Script(busy, broken, busy, broken), model=MODEL)


def test_an_error_says_how_many_tries_were_made_and_how_long_they_took() -> None:
    time = Time(each_call_s=2.0)
    script = Script(*[aws("ThrottlingException")] * 9, time=time)
    with pytest.raises(GenerationError, match=r"ThrottlingException.*\(after 3 attempts in 6.75 s\)"):
        time.retry(attempts=3).call(script, model=MODEL)


def test_an_embedders_failure_is_raised_as_an_embedding_error() -> None:
    with pytest.raises(EmbeddingError, match="AccessDeniedException"):
        Time().retry().call(Script(aws("AccessDeniedException")), model="titan", error=EmbeddingError)


@given(tries=st.integers(2, 80), base=st.floats(0.001, 5), cap=st.floats(0.001, 60), seed=st.integers())
def test_each_wait_is_drawn_from_zero_to_the_doubled_base_and_never_above_the_cap(
    tries: int, base: float, cap: float, seed: int
) -> None:
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
def test_no_try_begins_after_the_deadline(deadline: float, call_s: float, attempts: int) -> None:
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


def test_a_wait_that_would_pass_the_deadline_is_not_begun() -> None:
    time = Time()
    script = Script(aws("ThrottlingException", **{"retry-after": "90"}))
    with pytest.raises(GenerationError, match="another attempt would exceed the deadline of 60 s"):
        time.retry(deadline_s=60).call(script, model=MODEL)
    assert (script.calls, time.waits) == (1, [])


def test_retry_after_is_waited_for_as_seconds_and_as_a_date() -> None:
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
def test_what_is_no_failure_of_aws_passes_unchanged(error: Exception) -> None:
    script = Script(error)
    with pytest.raises(type(error)) as caught:
        Time().retry().call(script, model=MODEL)
    assert caught.value is error
    assert script.calls == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_an_interrupt_passes_at_once(kind: type[BaseException]) -> None:
    script = Script(kind())
    with pytest.raises(kind):
        Time().retry().call(script, model=MODEL)
    assert script.calls == 1


def test_settings_that_make_no_sense_are_refused() -> None:
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


def test_a_stream_that_fails_before_its_first_text_is_begun_again_and_leaves_no_trace() -> None:
    streams = Streams(["-start", aws("throttlingException")], ["-start", "-", "a", "-", "b", "-stop"])
    out = list(Time().retry().stream(streams, model=MODEL, shown=shown))
    assert out == ["-start", "-", "a", "-", "b", "-stop"]
    assert (streams.begun, streams.closed) == (2, 2)


def test_a_stream_that_fails_after_text_is_cut_and_never_begun_again() -> None:
    streams = Streams(["-start", "a", "b", aws("throttlingException")], ["again"])
    out: list[str] = []
    with pytest.raises(GenerationError, match="the answer is cut here and not started again") as caught:
        for item in Time().retry().stream(streams, model=MODEL, shown=shown):
            out.append(item)
    assert out == ["-start", "a", "b"]
    assert caught.value.started
    assert caught.value.code == "ThrottlingException"
    assert streams.begun == 1


def test_a_stream_that_shows_nothing_is_passed_on_whole() -> None:
    streams = Streams(["-start", "-stop"])
    assert list(Time().retry().stream(streams, model=MODEL, shown=shown)) == ["-start", "-stop"]


def test_a_stream_that_is_left_is_closed() -> None:
    streams = Streams(["a", "b", "c"])
    stream = Time().retry().stream(streams, model=MODEL, shown=shown)
    assert next(stream) == "a"
    stream.close()  # type: ignore[attr-defined]
    assert (streams.begun, streams.closed) == (1, 1)


def test_what_the_reader_of_a_stream_throws_is_not_taken_for_the_models_failure() -> None:
    streams = Streams(["a", "b"], ["again"])
    stream = Time().retry().stream(streams, model=MODEL, shown=shown)
    next(stream)
    with pytest.raises(ConnectionError, match="the reader's own"):
        stream.throw(ConnectionError("the reader's own"))  # type: ignore[attr-defined]
    assert (streams.begun, streams.closed) == (1, 1)


def test_a_bug_in_mid_stream_passes_unchanged() -> None:
    with pytest.raises(TypeError, match="a bug"):
        list(Time().retry().stream(Streams(["a", TypeError("a bug")]), model=MODEL, shown=shown))


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(["-x", "a", "b"]), max_size=4), st.booleans()),
        min_size=1, max_size=6,
    )
)  # fmt: skip
def test_what_was_given_out_is_always_the_beginning_of_one_try(
    tries: list[tuple[list[str], bool]],
) -> None:
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
def test_an_error_is_known_by_whatever_name_it_comes(error: Exception, code: str) -> None:
    assert code_of(error) == code
    assert fault_of(error) is FAULTS[code]
    assert is_fault(error)


def test_a_context_that_is_too_long_says_to_lower_the_budget() -> None:
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
def test_an_unknown_code_is_judged_by_its_http_status(status: int, like: str) -> None:
    assert fault_of(aws("SomethingNew", status=status)) is FAULTS[like]
    assert fault_of(aws("SomethingNew", status=418)).again == "no"


def test_a_bug_is_no_fault() -> None:
    assert not is_fault(TypeError("a bug"))
    assert not is_fault(KeyError("a bug"))


def test_another_librarys_error_that_keeps_a_response_is_no_fault() -> None:
    class ForeignError(Exception):
        response = object()

    assert not is_fault(ForeignError())
    assert code_of(ForeignError()) == "ForeignError"
