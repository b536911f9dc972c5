"""Every kind of generator keeps the contract, and the suite sees what is wrong with one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda

import rag
from rag.bedrock.runtime.retry import Retry
from rag.config.stages import explain_failure
from rag.emulator import Behaviour, Emulator
from rag.emulator.pytest_plugin import point_at
from rag.generation.escalation import Escalation
from rag.generation.fallback import Fallback
from rag.generation.router import Router
from rag.testing import GeneratorSuite
from tests.testing.suites import failures

REPLY = 'Staff in Europe take 28 days.<cite doc="1">28 days of annual leave</cite>'


def broken_off(*_: Any, **__: Any) -> str:
    raise RuntimeError("the model\nis away")


class TestExtractive(GeneratorSuite):
    paid = False

    @pytest.fixture
    def generator(self) -> Any:
        return rag.ExtractiveAnswerer(embedder=rag.LocalEmbeddings(), threshold=0.0)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as emulator:
        point_at(monkeypatch, emulator.environment())
        yield emulator


class TestClaude(GeneratorSuite):
    @pytest.fixture
    def generator(self, emulator: Emulator) -> Any:
        return rag.ClaudeBedrock()

    @pytest.fixture
    def failing(self, emulator: Emulator) -> Any:
        emulator.behaviour = Behaviour(fail=1.0, fail_with=("ValidationException",))
        return rag.ClaudeBedrock(retry=Retry(attempts=1))

    @pytest.fixture
    def explain(self) -> Any:
        return explain_failure


class TestFallback(GeneratorSuite):
    """The first model fails; what is asked holds of the one that stands in for it."""

    @pytest.fixture
    def generator(self) -> Any:
        return Fallback(models=[RunnableLambda(broken_off), FakeListChatModel(responses=[REPLY])])

    @pytest.fixture
    def failing(self) -> Any:
        return Fallback(models=[RunnableLambda(broken_off), RunnableLambda(broken_off)])


class TestRouter(GeneratorSuite):
    """The reply is held back, judged and good; what is asked holds of the tier that wrote it."""

    @pytest.fixture
    def generator(self) -> Any:
        tiers = {"small": FakeListChatModel(responses=[REPLY]), "large": RunnableLambda(broken_off)}
        return Router(tiers=tiers, escalate=Escalation(on=("unsupported", "cut", "empty")))

    @pytest.fixture
    def failing(self) -> Any:
        return Router(tiers={"small": RunnableLambda(broken_off), "large": RunnableLambda(broken_off)})


class TestChatModel(GeneratorSuite):
    @pytest.fixture
    def generator(self) -> Any:
        return FakeListChatModel(responses=[REPLY])

    @pytest.fixture
    def failing(self) -> Any:
        return FakeListChatModel(responses=[REPLY], error_on_chunk_number=0)


class TestRunnable(GeneratorSuite):
    @pytest.fixture
    def generator(self) -> Any:
        return RunnableLambda(lambda messages: AIMessage(REPLY), name="mine")

    @pytest.fixture
    def failing(self) -> Any:
        return RunnableLambda(broken_off)


class Broken(BaseChatModel):
    """A chat model of its own that streams in two pieces."""

    pieces: tuple[str, ...] = ("28 days", " of leave.")

    @property
    def _llm_type(self) -> str:
        return "broken"

    def _generate(self, messages: Any, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("28 days of leave."))])

    def _stream(self, messages: Any, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        for piece in self.pieces:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))


class Forgetful(Broken):
    pieces: tuple[str, ...] = ("28 days",)


class Writing(Broken):
    def _generate(self, messages: Any, *_: Any, **__: Any) -> ChatResult:
        messages[-1].content = "?"
        return super()._generate(messages)

    def _stream(self, messages: Any, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        messages[-1].content = "?"
        yield from super()._stream(messages)


class Hiding(Broken):
    """Goes past LangChain's callbacks in ``invoke`` and is heard of once in three times."""

    asked: int = 0

    def _stream(self, messages: Any, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        self.asked += 1
        if self.asked % 2:
            list(Broken().stream(messages))
        yield from super()._stream(messages)


class Mixing(Broken):
    """Keeps a reply in itself."""

    def _stream(self, messages: Any, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        object.__setattr__(self, "left", list(self.pieces))
        while getattr(self, "left"):  # noqa: B009
            threading.Event().wait(0.002)
            try:
                yield ChatGenerationChunk(message=AIMessageChunk(content=getattr(self, "left").pop(0)))  # noqa: B009
            except IndexError:
                return


@pytest.mark.parametrize(
    ("broken", "tests"),
    [
        (Broken, set()),
        (Forgetful, {"pieces_add_up_to_the_reply", "many_threads_have_the_same_reply_and_a_call_each"}),
        (Writing, {"the_messages_stay_as_they_are"}),
        (Hiding, {"the_call_is_in_the_questions_collector", "a_stream_that_is_not_read_to_its_end_is_paid_for", "many_threads_have_the_same_reply_and_a_call_each"}),
        (Mixing, {"many_threads_have_the_same_reply_and_a_call_each"}),
    ],
)  # fmt: skip
def test_a_broken_generator_is_caught(broken: type[Broken], tests: set[str]) -> None:
    assert failures(GeneratorSuite, generator=lambda: broken()) == tests


def test_an_error_that_is_no_generation_error_is_caught() -> None:
    class Lost(Broken):
        def _stream(self, messages: Any, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
            raise rag.RagError("two\nlines")
            yield

    assert failures(GeneratorSuite, generator=Broken(), failing=Lost()) == {
        "a_failure_is_a_generation_error_in_one_line"
    }
