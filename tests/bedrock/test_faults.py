"""Every fault of the table, at every moment of a call, with and without a fallback.

`Expected` derives the expectation from the table; the calls go through `rag.Pipeline`, unmodified AWS
clients and the emulator.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import botocore.session
import pytest
from botocore.config import Config

import rag
from rag.bedrock.chat.claude import ClaudeBedrock
from rag.bedrock.runtime.faults import FAULTS, Fault, table
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import GenerationError
from rag.emulator import Behaviour, Emulator
from rag.generation.circuit_breaker import Breaker
from rag.generation.citations import UNSUPPORTED
from rag.generation.fallback import Fallback

FIRST, SECOND = "global.anthropic.claude-sonnet-5-5", "global.anthropic.claude-haiku-5-5"
REPLY = "Staff in Europe take 28 days of annual leave, and tell their manager when they are ill."
RETRY = Retry(attempts=3, base_s=0.001)
Moment = Literal["before", "opened", "stream", "after"]
#: Instead of a reply; behind a stream's opening; behind its first text; behind its last.
MOMENTS: tuple[Moment, ...] = ("before", "opened", "stream", "after")
CUTS = ("ConnectionClosedError", "StreamCut")
_STREAM = (
    botocore.session.get_session().get_service_model("bedrock-runtime").shape_for("ConverseStreamOutput")
)
IN_STREAMS = {
    name[0].upper() + name[1:] for name, shape in _STREAM.members.items() if shape.metadata.get("exception")
}
IN_STREAMS |= {"ReadTimeoutError"}
ON_THE_WIRE = [code for code, fault in FAULTS.items() if fault.status or code in (*CUTS, "ReadTimeoutError")]


@dataclass(frozen=True)
class Expected:
    """What the table's documentation says of a call that meets one fault, again and again."""

    code: str
    moment: Moment
    stand_in: bool

    @property
    def fault(self) -> Fault:
        """As it is seen: once there is a stream, by its service model; what that lacks has no name."""
        if self.moment == "before":
            return FAULTS["ConnectionClosedError" if self.code in CUTS else self.code]
        return FAULTS[self.code if self.code in IN_STREAMS else "StreamCut"]

    @property
    def started(self) -> bool:
        return self.moment in ("stream", "after")

    @property
    def tries(self) -> int:
        """Of the first model."""
        return 1 if self.started else {"yes": RETRY.attempts, "once": 2, "no": 1}[self.fault.again]

    @property
    def answered(self) -> bool:
        """Whether the other model answers."""
        return self.stand_in and self.fault.elsewhere and not self.started

    @property
    def models(self) -> list[str]:
        return [FIRST] * self.tries + [SECOND] * self.answered


@dataclass
class World:
    """An emulator, an index, and both models."""

    emulator: Emulator
    index: rag.Index
    first: ClaudeBedrock
    second: ClaudeBedrock
    impatient: ClaudeBedrock

    def pipeline(self, code: str, stand_in: bool) -> rag.Pipeline:
        first = self.impatient if code == "ReadTimeoutError" else self.first
        return rag.Pipeline(
            self.index, generator=Fallback(models=[first, self.second]) if stand_in else first
        )

    def fail(self, code: str, times: int, moment: Moment) -> None:
        self.emulator.requests.clear()
        if moment in ("before", "after"):
            self.emulator.fail_next(code, times, moment=moment)  # type: ignore[arg-type]
        else:
            self.emulator.fail_next(code, times, moment="stream", events=0 if moment == "opened" else 3)

    def asked(self) -> list[str]:
        """The models that were called, in order."""
        return [request.params["modelId"] for request in self.emulator.requests]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "docs").mkdir()
    (folder / "docs" / "leave.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    rag.build(folder / "docs", folder / "index", embedder="static")
    with Emulator(Behaviour(reply=REPLY)) as emulator, pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environment().items():
            patch.setenv(name, value)
        yield World(
            emulator,
            rag.Index.open(folder / "index"),
            ClaudeBedrock(FIRST, retry=RETRY),
            ClaudeBedrock(SECOND, retry=RETRY),
            ClaudeBedrock(FIRST, retry=RETRY, timeout_s=0.4),
        )


def listened(pipeline: rag.Pipeline) -> tuple[str, Any, GenerationError | None]:
    """Ask, and return the text that was given out, the answer or None, and the error or None."""
    text, answer = "", None
    try:
        for event in pipeline.stream("How many days of leave are there in Europe?"):
            if event.kind == "text":
                text += event.value
            elif event.kind == "answer":
                answer = event.value
    except GenerationError as error:
        return text, answer, error
    return text, answer, None


@pytest.mark.parametrize("stand_in", [False, True], ids=["alone", "with a stand-in"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("code", ON_THE_WIRE)
def test_fault(world: World, code: str, moment: Moment, stand_in: bool) -> None:
    """A call that meets a fault ends as the table says."""
    expected = Expected(code, moment, stand_in)
    world.fail(code, expected.tries, moment)
    text, answer, error = listened(world.pipeline(code, stand_in))
    assert world.asked() == expected.models
    assert REPLY.startswith(text)
    if expected.answered:
        assert error is None
        assert text == answer.text == REPLY
        assert f"{SECOND} answered, as {FIRST} failed: {expected.fault.code}: " in answer.notes[0]
        return
    assert answer is None
    assert error is not None
    assert (error.code, error.started) == (expected.fault.code, expected.started)
    assert bool(text) == expected.started
    assert ("the answer is cut here" in str(error)) == expected.started
    assert expected.fault.code in str(error)
    assert expected.fault.advice in str(error)
    assert (f"after {expected.tries} attempts" in str(error)) == (expected.tries > 1)
    assert "\n" not in str(error)


@pytest.mark.parametrize("moment", ["before", "opened"])
@pytest.mark.parametrize("code", [code for code in ON_THE_WIRE if FAULTS[code].again != "no"])
def test_transient_fault(world: World, code: str, moment: Moment) -> None:
    """A transient fault has no visible effect."""
    expected = Expected(code, moment, stand_in=True)
    world.fail(code, expected.tries - 1, moment)
    text, answer, error = listened(world.pipeline(code, stand_in=True))
    assert error is None
    assert text == answer.text == REPLY
    assert world.asked() == [FIRST] * expected.tries
    assert answer.notes == (UNSUPPORTED,)  # the reply cites nothing
    assert answer.usage.output_tokens > 0


def test_fallback_cost(world: World) -> None:
    """A fallback's answer has the fallback's price."""
    world.fail("AccessDeniedException", 1, "before")
    _, answer, _ = listened(world.pipeline("AccessDeniedException", stand_in=True))
    _, dear, _ = listened(world.pipeline("", stand_in=False))
    assert answer.usage.output_tokens == dear.usage.output_tokens
    assert 0 < answer.usage.cost_usd < dear.usage.cost_usd


def test_without_streaming(world: World) -> None:
    """Calls without streaming are retried and fall back in the same way."""
    model = Fallback(models=[world.first, world.second])
    world.fail("ServiceUnavailableException", 2, "before")
    assert model.invoke("hello").text == REPLY
    assert world.asked() == [FIRST] * 3
    world.fail("ModelErrorException", 2, "before")
    message = model.invoke("hello")
    assert message.text == REPLY
    assert message.response_metadata["model_name"] == SECOND
    assert world.asked() == [FIRST, FIRST, SECOND]


def test_random_failures(world: World) -> None:
    """Under random failures in many threads no answer is spliced or repeated."""
    replies = {FIRST: f"The first model speaks. {REPLY}", SECOND: f"It is the other one now. {REPLY}"}
    before = world.emulator.behaviour
    world.emulator.behaviour = Behaviour(
        reply=lambda request: replies[request.params["modelId"]], fail=0.6, stream_fail=0.3, seed=7
    )
    fallback = Fallback(models=[world.first, world.second], breaker=Breaker(failures=10**6))
    pipeline = rag.Pipeline(world.index, generator=fallback)
    try:
        with ThreadPoolExecutor(8) as pool:
            heard = list(pool.map(lambda _: listened(pipeline), range(160)))
    finally:
        world.emulator.behaviour = before
    ends: Counter[str] = Counter()
    for text, answer, error in heard:
        if answer is not None:
            stood_in = any(note.startswith(f"{SECOND} answered, as {FIRST} failed") for note in answer.notes)
            assert text == answer.text == replies[SECOND if stood_in else FIRST]
            ends["stood in" if stood_in else "whole"] += 1
        else:
            assert error is not None
            assert error.started == bool(text)
            assert any(reply.startswith(text) for reply in replies.values())
            ends["cut" if text else "failed"] += 1
    assert set(ends) == {"whole", "stood in", "cut", "failed"}


def test_unreachable_endpoint(world: World) -> None:
    """An unreachable endpoint triggers the fallback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        nowhere = ClaudeBedrock(FIRST, endpoint_url=url, retry=RETRY)
        with pytest.raises(GenerationError, match=r"check the network.*after 3 attempts") as caught:
            nowhere.invoke("hello")
        message = Fallback(models=[nowhere, world.second]).invoke("hello")
    assert caught.value.code == "EndpointConnectionError"
    assert message.response_metadata["model_name"] == SECOND


def test_connect_timeout(world: World) -> None:
    """A host that accepts no connections is retried."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for other in (one, two):  # what a backlog of 0 still takes; more is not answered
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        patient = ClaudeBedrock(
            FIRST, endpoint_url=url, retry=Retry(attempts=2, base_s=0.001), config=Config(connect_timeout=0.2)
        )
        with pytest.raises(GenerationError, match=r"check the network and the region.*2 attempts") as caught:
            patient.invoke("hello")
    assert caught.value.code == "ConnectTimeoutError"


def test_no_credentials(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without credentials there is neither a retry nor a fallback."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    models: list[Any] = [ClaudeBedrock(FIRST, retry=RETRY), ClaudeBedrock(SECOND, retry=RETRY)]
    world.emulator.requests.clear()
    with pytest.raises(GenerationError, match="set AWS_PROFILE") as caught:
        Fallback(models=models).invoke("hello")
    assert (caught.value.code, caught.value.strike) == ("NoCredentialsError", False)
    assert world.asked() == []


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_consistent_rows(fault: Fault) -> None:
    assert fault.advice
    assert "\n" not in fault.advice
    if fault.again != "no":  # what may pass by itself may pass elsewhere, and says the model is unwell
        assert fault.elsewhere
        assert fault.strike
    if fault.strike:
        assert fault.elsewhere
    if fault.slower:
        assert fault.again == "yes"


def test_readme_table() -> None:
    """The README holds the current table."""
    readme = (Path(__file__).parents[2] / "rag" / "bedrock" / "README.md").read_text(encoding="utf-8")
    assert table() in readme, "print it with `python -m rag.bedrock.runtime.faults`"
