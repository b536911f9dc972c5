"""A chat model with fallbacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import Field

from rag.core.errors import BudgetError, ConfigError, GenerationError
from rag.generation.circuit_breaker import Breaker
from rag.generation.fallback import Fallback


class Scripted(BaseChatModel):
    """A chat model that says `text` word by word, or fails as it is told."""

    model: str
    text: str = "one two three"
    error: Any = None
    after: int = 0
    calls: list[int] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.calls.append(1)
        if self.error is not None:
            raise self.error
        usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
        message = AIMessage(self.text, usage_metadata=usage, response_metadata={"model_name": self.model})
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        self.calls.append(1)
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", response_metadata={"tried": [self.model]})
        )
        words = self.text.split(" ")
        for number, word in enumerate(words):
            if self.error is not None and number == self.after:
                raise self.error
            yield ChatGenerationChunk(message=AIMessageChunk(content=(" " if number else "") + word))
        if self.error is not None:
            raise self.error
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                usage_metadata={"input_tokens": 5, "output_tokens": 3, "total_tokens": 8},
                response_metadata={"model_name": self.model, "stop_reason": "end_turn", "notes": ["own"]},
            )
        )

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=tools, **kwargs)


def scripted(model: str, **settings: Any) -> Scripted:
    return Scripted(model=model, **settings)


def throttled(model: str = "first", **flags: Any) -> GenerationError:
    return GenerationError(
        f"{model}: ThrottlingException: too many: try again", code="ThrottlingException", **flags
    )


def streamed(fallback: Any) -> Any:
    pieces = list(fallback.stream("hello"))
    return pieces[0] + pieces[1:]


def reply_of(fallback: Any, how: str) -> Any:
    return fallback.invoke("hello") if how == "invoke" else streamed(fallback)


BOTH = pytest.mark.parametrize("how", ["invoke", "stream"])


@BOTH
def test_first_model_answers(how: str) -> None:
    """The first model answers and is named."""
    first, second = scripted("first"), scripted("second")
    message = reply_of(Fallback(models=[first, second]), how)
    assert message.text == "one two three"
    assert message.response_metadata["model_name"] == message.response_metadata["model_id"] == "first"
    assert message.response_metadata.get("notes") in (None, ["own"])
    assert message.usage_metadata["output_tokens"] == 3
    assert (len(first.calls), len(second.calls)) == (1, 0)


@BOTH
def test_second_model_answers(how: str) -> None:
    """After a failure the second model answers, and a note says why."""
    first, second = scripted("first", error=throttled()), scripted("second", text="four five")
    message = reply_of(Fallback(models=[first, second]), how)
    assert message.text == "four five"
    assert message.response_metadata["model_name"] == "second"
    assert message.response_metadata["notes"][0] == (
        "second answered, as first failed: ThrottlingException: too many: try again"
    )
    assert message.response_metadata.get("tried") in (None, ["second"])
    assert (len(first.calls), len(second.calls)) == (1, 1)


@BOTH
def test_all_fail(how: str) -> None:
    """If all models fail, the error gives the reason for every one."""
    models = [scripted("first", error=throttled()), scripted("second", error=OSError("no route"))]
    with pytest.raises(GenerationError) as caught:
        reply_of(Fallback(models=models), how)
    assert str(caught.value) == (
        "no model answered: first: ThrottlingException: too many: try again; second: OSError: no route"
    )


@BOTH
@pytest.mark.parametrize(
    "error",
    [
        GenerationError("first: ValidationException: wrong", elsewhere=False, strike=False),
        GenerationError("first: cut", started=True, strike=False),
        TypeError("a bug"), AttributeError("a bug"), BudgetError("too dear"), ConfigError("wrong"),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_raised_unchanged(how: str, error: Exception) -> None:
    """An error that another model cannot avoid is raised unchanged."""
    first, second = scripted("first", error=error), scripted("second")
    fallback = Fallback(models=[first, second], breaker=Breaker(failures=1))
    with pytest.raises(type(error)) as caught:
        reply_of(fallback, how)
    assert caught.value is error
    assert second.calls == []
    assert fallback.states()[0] == ("first", "closed", 0)


def test_cut_answer() -> None:
    """After the first text no other model is called."""
    first = scripted("first", error=OSError("cut"), after=2)
    second = scripted("second")
    out = []
    with pytest.raises(GenerationError, match="first: OSError: cut; the answer is cut here") as caught:
        for piece in Fallback(models=[first, second]).stream("hello"):
            out.append(piece.text)
    assert "".join(out) == "one two"
    assert caught.value.started
    assert second.calls == []


def test_mid_stream_strikes() -> None:
    """Failures in mid-stream count as strikes."""
    fallback = Fallback(models=[scripted("first", error=OSError("cut"), after=1), scripted("second")])
    for _ in range(3):
        with pytest.raises(GenerationError):
            streamed(fallback)
    assert fallback.states()[0][1].startswith("open until ")
    assert streamed(fallback).response_metadata["model_name"] == "second"


def test_abandoned_stream() -> None:
    """An abandoned stream says nothing about the model's health."""
    fallback = Fallback(models=[scripted("first")], breaker=Breaker(failures=1))
    stream = fallback.stream("hello")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert fallback.states() == [("first", "closed", 0)]


@BOTH
def test_open_circuit(how: str) -> None:
    """A failing model is skipped until a trial succeeds."""
    now = [0.0]
    breaker = Breaker(failures=3, cooldown_s=30, clock=lambda: now[0], uniform=lambda low, high: high)
    first, second = scripted("first", error=throttled()), scripted("second")
    fallback = Fallback(models=[first, second], breaker=breaker)
    for _ in range(5):
        assert reply_of(fallback, how).response_metadata["model_name"] == "second"
    assert len(first.calls) == 3
    assert "first failed: its circuit is open until" in str(
        reply_of(fallback, how).response_metadata["notes"]
    )
    now[0] = 30.0
    assert fallback.states()[0][1].startswith("half-open")
    first.error = None
    assert reply_of(fallback, how).response_metadata["model_name"] == "first"
    assert fallback.states()[0] == ("first", "closed", 0)


def test_all_circuits_open() -> None:
    """If all circuits are open the call fails at once, and says until when."""
    first = scripted("first", error=throttled())
    fallback = Fallback(models=[first], breaker=Breaker(failures=1))
    with pytest.raises(GenerationError, match="too many"):
        fallback.invoke("hello")
    with pytest.raises(
        GenerationError, match=r"no model answered: first: its circuit is open until \d\d:\d\d:\d\d"
    ):
        fallback.invoke("hello")
    assert len(first.calls) == 1


def test_nested_fallback() -> None:
    inner = Fallback(models=[scripted("second", error=throttled("second")), scripted("third")])
    outer = Fallback(models=[scripted("first", error=throttled()), inner])
    message = streamed(outer)
    assert message.response_metadata["model_name"] == "third"
    assert [note.partition(" failed")[0] for note in message.response_metadata["notes"][:2]] == [
        "third answered, as first", "third answered, as second",
    ]  # fmt: skip


def test_model_without_streaming() -> None:
    """A model without streaming yields its message in one piece."""
    model = GenericFakeChatModel(messages=iter([AIMessage("whole", id="m")]), disable_streaming=True)
    message = streamed(Fallback(models=[scripted("first", error=throttled()), model]))
    assert message.text == "whole"
    assert message.response_metadata["model_name"] == "generic-fake-chat-model"


def test_tools() -> None:
    """Tools are bound to all models; the circuits are shared."""
    fallback = Fallback(models=[scripted("first", error=throttled()), scripted("second")])
    bound: Any = fallback.bind_tools([{"name": "look", "parameters": {}}])
    assert [model.kwargs["tools"][0]["name"] for model in bound.bound.models] == ["look", "look"]
    assert bound.invoke("hello").response_metadata["model_name"] == "second"
    assert fallback.states()[0] == ("first", "closed", 1)


def test_model_without_tools() -> None:
    fallback = Fallback(models=[scripted("first"), GenericFakeChatModel(messages=iter([]))])
    with pytest.raises(NotImplementedError, match="generic-fake-chat-model cannot call tools"):
        fallback.bind_tools([])


def test_description() -> None:
    """The description names all models, model_id the first."""
    fallback = Fallback(models=[scripted("first"), scripted("second")])
    assert fallback.description == "first, else second"
    assert fallback.model_id == "first"
    assert fallback.context_form == "text"


def test_callbacks() -> None:
    """Callbacks receive every token once."""

    class Heard(BaseCallbackHandler):
        tokens: list[str]

        def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            self.tokens.append(str(token))

    heard = Heard()
    heard.tokens = []
    fallback = Fallback(models=[scripted("first", error=throttled()), scripted("second")])
    for _ in fallback.stream("hello", config={"callbacks": [heard]}):
        pass
    assert "".join(heard.tokens) == "one two three"


async def test_async() -> None:
    fallback = Fallback(models=[scripted("first", error=throttled()), scripted("second")])
    assert (await fallback.ainvoke("hello")).text == "one two three"
    assert "".join([piece.text async for piece in fallback.astream("hello")]) == "one two three"


class TestAsALangChainChatModel(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return Fallback

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"models": [scripted("first"), scripted("second")]}
