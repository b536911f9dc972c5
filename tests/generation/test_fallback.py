"""One model standing in for another, and circuits that open and close."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import Field

from rag.core.errors import BudgetError, ConfigError, GenerationError
from rag.generation.circuit_breaker import Breaker, Circuit
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


def asked(fallback: Any, how: str) -> Any:
    return fallback.invoke("hello") if how == "invoke" else streamed(fallback)


BOTH = pytest.mark.parametrize("how", ["invoke", "stream"])


@BOTH
def test_the_first_model_answers_where_it_can_and_is_named(how: str) -> None:
    first, second = scripted("first"), scripted("second")
    message = asked(Fallback(models=[first, second]), how)
    assert message.text == "one two three"
    assert message.response_metadata["model_name"] == message.response_metadata["model_id"] == "first"
    assert message.response_metadata.get("notes") in (None, ["own"])
    assert message.usage_metadata["output_tokens"] == 3
    assert (len(first.calls), len(second.calls)) == (1, 0)


@BOTH
def test_the_second_answers_where_the_first_fails_and_a_note_says_why(how: str) -> None:
    first, second = scripted("first", error=throttled()), scripted("second", text="four five")
    message = asked(Fallback(models=[first, second]), how)
    assert message.text == "four five"
    assert message.response_metadata["model_name"] == "second"
    assert message.response_metadata["notes"][0] == (
        "second answered, as first failed: ThrottlingException: too many: try again"
    )
    assert message.response_metadata.get("tried") in (None, ["second"])
    assert (len(first.calls), len(second.calls)) == (1, 1)


@BOTH
def test_where_all_fail_each_is_named_with_its_reason(how: str) -> None:
    models = [scripted("first", error=throttled()), scripted("second", error=OSError("no route"))]
    with pytest.raises(GenerationError) as caught:
        asked(Fallback(models=models), how)
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
def test_what_another_model_cannot_mend_is_raised_as_it_is(how: str, error: Exception) -> None:
    first, second = scripted("first", error=error), scripted("second")
    fallback = Fallback(models=[first, second], breaker=Breaker(failures=1))
    with pytest.raises(type(error)) as caught:
        asked(fallback, how)
    assert caught.value is error
    assert second.calls == []
    assert fallback.states()[0] == ("first", "closed", 0)


def test_after_the_first_text_no_other_model_speaks() -> None:
    first = scripted("first", error=OSError("cut"), after=2)
    second = scripted("second")
    out = []
    with pytest.raises(GenerationError, match="first: OSError: cut; the answer is cut here") as caught:
        for piece in Fallback(models=[first, second]).stream("hello"):
            out.append(piece.text)
    assert "".join(out) == "one two"
    assert caught.value.started
    assert second.calls == []


def test_failures_in_mid_stream_open_the_circuit_too() -> None:
    fallback = Fallback(models=[scripted("first", error=OSError("cut"), after=1), scripted("second")])
    for _ in range(3):
        with pytest.raises(GenerationError):
            streamed(fallback)
    assert fallback.states()[0][1].startswith("open until ")
    assert streamed(fallback).response_metadata["model_name"] == "second"


def test_a_reader_who_leaves_early_says_nothing_of_the_models_health() -> None:
    fallback = Fallback(models=[scripted("first")], breaker=Breaker(failures=1))
    stream = fallback.stream("hello")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert fallback.states() == [("first", "closed", 0)]


@BOTH
def test_a_model_that_keeps_failing_is_passed_over_until_a_trial_succeeds(how: str) -> None:
    now = [0.0]
    breaker = Breaker(failures=3, cooldown_s=30, clock=lambda: now[0], uniform=lambda low, high: high)
    first, second = scripted("first", error=throttled()), scripted("second")
    fallback = Fallback(models=[first, second], breaker=breaker)
    for _ in range(5):
        assert asked(fallback, how).response_metadata["model_name"] == "second"
    assert len(first.calls) == 3
    assert "first failed: it is left alone: open until" in str(
        asked(fallback, how).response_metadata["notes"]
    )
    now[0] = 30.0
    assert fallback.states()[0][1].startswith("half-open")
    first.error = None
    assert asked(fallback, how).response_metadata["model_name"] == "first"
    assert fallback.states()[0] == ("first", "closed", 0)


def test_where_all_circuits_are_open_the_call_fails_at_once_and_says_until_when() -> None:
    first = scripted("first", error=throttled())
    fallback = Fallback(models=[first], breaker=Breaker(failures=1))
    with pytest.raises(GenerationError, match="too many"):
        fallback.invoke("hello")
    with pytest.raises(
        GenerationError, match=r"no model answered: first: it is left alone: open until \d\d:\d\d:\d\d"
    ):
        fallback.invoke("hello")
    assert len(first.calls) == 1


def test_a_fallback_may_stand_in_for_a_fallback() -> None:
    inner = Fallback(models=[scripted("second", error=throttled("second")), scripted("third")])
    outer = Fallback(models=[scripted("first", error=throttled()), inner])
    message = streamed(outer)
    assert message.response_metadata["model_name"] == "third"
    assert [note.partition(" failed")[0] for note in message.response_metadata["notes"][:2]] == [
        "third answered, as first", "third answered, as second",
    ]  # fmt: skip


def test_a_model_without_streaming_gives_its_message_in_one_piece() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("whole", id="m")]), disable_streaming=True)
    message = streamed(Fallback(models=[scripted("first", error=throttled()), model]))
    assert message.text == "whole"
    assert message.response_metadata["model_name"] == "generic-fake-chat-model"


def test_tools_are_bound_to_each_model_and_the_circuits_stay_the_same() -> None:
    fallback = Fallback(models=[scripted("first", error=throttled()), scripted("second")])
    bound: Any = fallback.bind_tools([{"name": "look", "parameters": {}}])
    assert [model.kwargs["tools"][0]["name"] for model in bound.bound.models] == ["look", "look"]
    assert bound.invoke("hello").response_metadata["model_name"] == "second"
    assert fallback.states()[0] == ("first", "closed", 1)


def test_a_model_that_cannot_call_tools_is_named() -> None:
    fallback = Fallback(models=[scripted("first"), GenericFakeChatModel(messages=iter([]))])
    with pytest.raises(NotImplementedError, match="generic-fake-chat-model cannot call tools"):
        fallback.bind_tools([])


def test_it_is_described_by_its_models_and_priced_by_the_first() -> None:
    fallback = Fallback(models=[scripted("first"), scripted("second")])
    assert fallback.description == "first, else second"
    assert fallback.model_id == "first"
    assert fallback.context_form == "text"


def test_callbacks_hear_of_each_token_once() -> None:
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


async def test_it_answers_asynchronously() -> None:
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


# --- the circuit -------------------------------------------------------------------------------------

FAILURES, WINDOW_S, COOLDOWN_S, LONGEST_S = 3, 60.0, 30.0, 120.0


class CircuitAgainstItsModel(RuleBasedStateMachine):
    """A circuit under calls that begin and end in any order, beside what its documentation says."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.circuit = Circuit(
            Breaker(
                FAILURES, WINDOW_S, COOLDOWN_S, LONGEST_S,
                clock=lambda: self.now, uniform=lambda low, high: high,
            )
        )  # fmt: skip
        self.strikes: list[float] = []
        self.until: float | None = None
        self.cooldown = COOLDOWN_S
        self.trial: int | None = None
        self.epoch = 0
        self.epochs: dict[int, int] = {}
        self.calls = 0

    def half_open(self) -> bool:
        return self.until is not None and self.now >= self.until

    @rule(seconds=st.sampled_from([0.0, 1.0, 29.0, 30.0, 61.0, 500.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=tickets)
    def a_call_begins(self) -> tuple[int, int | None]:
        ticket = self.circuit.enter()
        self.calls += 1
        if self.until is None:
            assert ticket is not None
        elif not self.half_open():
            assert ticket is None
        else:
            assert (ticket is None) == (self.trial is not None)
            if ticket is not None:
                self.epoch += 1
                self.trial = self.calls
        self.epochs[self.calls] = self.epoch
        return self.calls, ticket

    @rule(call=consumes(tickets), well=st.sampled_from([False, False, False, True, None]))
    def a_call_ends(self, call: tuple[int, int | None], well: bool | None) -> None:
        number, ticket = call
        if ticket is None:
            return
        self.circuit.leave(ticket, well=well)
        if self.epochs[number] != self.epoch:
            return
        was_trial = self.trial == number
        if was_trial:
            self.trial = None
        if well:
            self.strikes = []
            if was_trial:
                self.until, self.cooldown = None, COOLDOWN_S
                self.epoch += 1
        elif well is False:
            self.strikes = [at for at in self.strikes if self.now - at <= WINDOW_S] + [self.now]
            if was_trial:
                self.cooldown = min(2 * self.cooldown, LONGEST_S)
            if was_trial or len(self.strikes) >= FAILURES:
                self.until = self.now + self.cooldown
                self.epoch += 1

    @precondition(lambda self: self.until is not None)
    @rule()
    def it_is_waited_for(self) -> None:
        self.now += self.circuit.open_s
        assert self.circuit.state == "half-open"

    @invariant()
    def the_state_is_what_is_documented(self) -> None:
        expected = "closed" if self.until is None else "half-open" if self.half_open() else "open"
        assert self.circuit.state == expected
        assert self.circuit.strikes == len(self.strikes)


TestCircuit = CircuitAgainstItsModel.TestCase
TestCircuit.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_circuit_opens_after_exactly_so_many_strikes_in_a_row() -> None:
    circuit = Circuit(Breaker(failures=3))
    for well in (False, False, True, False, False, None):
        circuit.leave(circuit.enter() or 0, well=well)
        assert circuit.state == "closed"
    circuit.leave(circuit.enter() or 0, well=False)
    assert circuit.state == "open"
    assert circuit.enter() is None


def test_strikes_that_lie_far_apart_do_not_open_it() -> None:
    now = [0.0]
    circuit = Circuit(Breaker(failures=2, window_s=60, clock=lambda: now[0]))
    for _ in range(5):
        circuit.leave(circuit.enter() or 0, well=False)
        now[0] += 61
    assert circuit.state == "closed"


def test_a_call_that_began_before_the_circuit_opened_does_not_close_it() -> None:
    now = [0.0]
    circuit = Circuit(Breaker(failures=1, clock=lambda: now[0]))
    early, other = circuit.enter(), circuit.enter()
    assert early is not None
    assert other is not None
    circuit.leave(early, well=False)
    circuit.leave(other, well=True)
    assert circuit.state == "open"


def test_a_call_that_outlasts_the_opening_neither_ends_nor_joins_the_trial() -> None:
    now = [0.0]
    circuit = Circuit(Breaker(failures=1, clock=lambda: now[0]))
    early, late = circuit.enter(), circuit.enter()
    circuit.leave(early or 0, well=False)
    now[0] = 1000.0
    trial = circuit.enter()
    assert trial is not None
    circuit.leave(late or 0, well=True)
    assert circuit.state == "half-open"
    assert circuit.enter() is None
    circuit.leave(trial, well=True)
    assert circuit.state == "closed"


def test_each_failed_trial_doubles_the_cooldown_up_to_the_longest() -> None:
    now = [0.0]
    breaker = Breaker(
        failures=1, cooldown_s=30, longest_s=100, clock=lambda: now[0], uniform=lambda low, high: low
    )
    circuit = Circuit(breaker)
    waits = []
    for _ in range(4):
        circuit.leave(circuit.enter() or 0, well=False)
        waits.append(circuit.open_s)
        now[0] += circuit.open_s
    assert waits == [15, 30, 50, 50]


def test_of_many_threads_one_alone_makes_the_trial() -> None:
    now = [0.0]
    circuit = Circuit(Breaker(failures=1, clock=lambda: now[0]))
    circuit.leave(circuit.enter() or 0, well=False)
    for _ in range(20):
        now[0] += 1000.0
        together = threading.Barrier(16)

        def enter(together: threading.Barrier = together) -> int | None:
            together.wait()
            return circuit.enter()

        with ThreadPoolExecutor(16) as pool:
            tickets = [ticket for ticket in pool.map(lambda _: enter(), range(16)) if ticket is not None]
        assert len(tickets) == 1
        circuit.leave(tickets[0], well=None)


def test_a_breaker_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="failures is 0: set it to 1 or more"):
        Breaker(failures=0)
