"""Claude against the emulator: streams, stop reasons, and what an answer reports."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

import rag
from rag.core.answers import Answer
from rag.core.errors import GenerationError
from rag.emulator import Behaviour, Emulator, Request
from rag.generation import reply as replies
from rag.generation.citations import UNSUPPORTED
from rag.usage.ledger import Ledger
from tests.bedrock.claude_calls import (
    QUESTION,
    SONNET,
    claude,
    last,
)


def test_stream(emulator: Emulator, built: Path, tmp_path: Path) -> None:
    """Events arrive in order; the answer and the ledger hold usage, cost and trace of both calls."""
    titan = {"use": "titan", "dimensions": 256}
    rag.build(built / "docs", tmp_path / "ix", embedder=titan)
    ledger = Ledger(tmp_path / "mine.sqlite")
    pipe = rag.Pipeline(tmp_path / "ix", embedder=titan, generator="claude", ledger=ledger.path)
    emulator.counts.clear()
    events = list(pipe.stream(QUESTION))
    kinds = [event.kind for event in events]
    answer: Answer = events[-1].value
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("context", "answer", {"text", "citation"})
    assert "".join(event.value for event in events if event.kind == "text") == answer.text
    assert tuple(event.value for event in events if event.kind == "citation") == answer.citations
    assert answer.text == "Staff in Europe take 28 days of annual leave. [1]"
    assert [step.name for step in answer.trace] == ["retrieve", "trim", "assemble", "generate", "cite"]
    generate = answer.trace[3]
    assert 0 < generate.detail["first_token_s"] <= generate.seconds
    used = answer.usage
    assert used.input_tokens > 100 > used.output_tokens > 5
    assert used.cost_usd == pytest.approx((2 * used.input_tokens + 10 * used.output_tokens) / 1e6)
    assert (answer.stop_reason, answer.answered, answer.supported, answer.notes) == (
        "end_turn",
        True,
        1.0,
        (),
    )
    assert answer.generator == f"ClaudeBedrock {SONNET}"
    embedded, generated = answer.calls
    assert (embedded.model, embedded.purpose) == ("amazon.titan-embed-text-v2:0", "embed")
    assert (generated.model, generated.purpose, generated.usage) == (SONNET, "generate", used)
    assert emulator.counts == {"InvokeModel": 1, "ConverseStream": 1}
    assert last(emulator)["inferenceConfig"] == {"maxTokens": 2048}
    rows = {row.group: row for row in ledger.rows(("purpose", "model", "prompt", "index"))}
    prompt = f"answer-native-v1#{answer.prompt_hash[:8]}"
    kept = rows["generate", SONNET, prompt, "ix"]
    assert (kept.calls, kept.input_tokens, kept.output_tokens) == (1, used.input_tokens, used.output_tokens)
    assert kept.usd == pytest.approx(used.cost_usd)
    assert rows["embed", embedded.model, prompt, "ix"].usd == embedded.usage.cost_usd
    assert len(rows) == 2


def test_abandoned_stream(emulator: Emulator) -> None:
    """A stream that is closed early frees its connection."""
    emulator.behaviour = Behaviour(reply="word " * 50)
    model = claude(connections=1)
    for _ in range(5):
        pieces = model.stream("Go on.")
        next(pieces)
        pieces.close()
    assert model.invoke("Go on.").text.startswith("word word")


def test_thirty_concurrent_questions(emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """Threads that share a model get the answers to their questions."""

    def echo(request: Request) -> str:
        text = request.params["messages"][-1]["content"][-1]["text"]
        return f"{text.removeprefix('<question>').removesuffix('</question>')} " * 8

    emulator.behaviour = Behaviour(reply=echo, token_s=0.001)
    pipeline = pipe(claude(connections=30))
    questions = [f"What of leave number {n}?" for n in range(30)]
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(pipeline.ask, questions))
    assert [answer.text for answer in answers] == [" ".join([question] * 8) for question in questions]
    assert [answer.question for answer in answers] == questions
    assert emulator.problems == []
    assert pipeline.meter.ledger.rows()[0].calls == 30


# The replies cite nothing, so an answer that is shown gets a note about that, too.
WHOLE = (True, (UNSUPPORTED,), None)
ENDINGS = {
    "end_turn": WHOLE, "stop_sequence": WHOLE,
    "tool_use": (True, ("the model requests a tool before it answers", UNSUPPORTED), None),
    "max_tokens": (True, ("the answer is cut: it reached the limit of tokens", UNSUPPORTED), None),
    "model_context_window_exceeded": (
        True, ("the answer is cut: the model's context window is full", UNSUPPORTED), None,
    ),
    "content_filtered": (False, ("the model's content filter withheld the answer",), None),
    "guardrail_intervened": (False, ("a guardrail blocked the answer",), "blocked"),
}  # fmt: skip


@pytest.mark.parametrize("reason", ENDINGS)
def test_stop_reasons(reason: str, emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """An answer reports its stop reason, and a note if it is incomplete."""
    emulator.behaviour = Behaviour(reply="It is 28 days.", stop_reason=reason)
    answer = pipe().ask(QUESTION)
    answered, notes, guardrail = ENDINGS[reason]
    assert (answer.text, answer.stop_reason) == ("It is 28 days.", reason)
    assert (answer.answered, answer.guardrail, len(answer.notes)) == (answered, guardrail, len(notes))
    assert all(noted.startswith(begins) for noted, begins in zip(answer.notes, notes, strict=True))


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_malformed_reply(reason: str, emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """A malformed reply is an error, and is recorded as paid for."""
    emulator.behaviour = Behaviour(reply="It is", stop_reason=reason)
    pipeline = pipe()
    with pytest.raises(GenerationError, match=f"{SONNET}: {reason}: .*: ask again") as raised:
        pipeline.ask(QUESTION)
    assert (raised.value.code, raised.value.started) == (reason, True)
    (spent,) = pipeline.meter.ledger.rows(("model",))
    assert (spent.group, spent.calls) == ((SONNET,), 1)
    assert spent.usd > 0


@pytest.mark.parametrize(("does", "text", "answered"), [
    ("blocked", "Sorry, the guardrail of this emulator blocks this.", False),
    ("masked", "It is {NUMBER} days.", True),
])  # fmt: skip
def test_blocked_and_masked(
    does: Any, text: str, answered: bool, emulator: Emulator, pipe: Callable[..., rag.Pipeline]
) -> None:
    """A blocked answer is distinguished from a masked one."""
    emulator.behaviour = Behaviour(reply="It is 28 days.", guardrail=does)
    answer = pipe(claude(guardrail="gr1a2b3c:2")).ask(QUESTION)
    assert (answer.text, answer.guardrail, answer.answered) == (text, does, answered)
    assert answer.stop_reason == "guardrail_intervened"
    note, *others = answer.notes
    assert note.startswith(f"a guardrail {does}")
    assert others == ([UNSUPPORTED] if answered else [])


def test_reply_without_usage(
    pipe: Callable[..., rag.Pipeline],
) -> None:
    """A reply without usage has no cost, rather than the cost 0."""

    class Silent:
        model_id = SONNET

        def stream(self, messages: Any) -> Any:
            yield AIMessageChunk("It is 28 days.")

    pipeline = pipe(Silent())
    assert pipeline.ask(QUESTION).usage.cost_usd is None
    assert pipeline.meter.ledger.rows()[0].unpriced == 1


def test_empty_filter(emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """A filter that matches nothing causes no call."""
    answer = pipe().ask(QUESTION, where="source == 'nowhere.md'")
    assert (answer.answered, answer.stop_reason, answer.supported) == (False, "nothing_found", None)
    assert answer.notes == ("nothing in the index fits: is the filter right?",)
    assert (answer.usage.input_tokens, answer.usage.cost_usd) == (0, 0.0)
    assert emulator.counts["ConverseStream"] == 0


def test_unknown_stop_reason() -> None:
    """An unknown stop reason is named in a note."""
    end = replies.ending(AIMessage("x", response_metadata={"stopReason": "brand_new"}), object())
    assert end.notes == ("the model stopped for an unknown reason (brand_new): the answer may be cut",)
