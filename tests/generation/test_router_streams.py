"""A router asked by many at once, in pieces, asynchronously; questions that are left."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import rag
from rag.emulator import Emulator
from rag.emulator.wire import Request
from rag.usage.ledger import Ledger
from tests.generation.routed import (
    GOOD,
    HAIKU,
    QUESTION,
    SONNET,
    UNSUPPORTED,
    models,
    replies,
    step,
)


def test_sixty_four_questions_on_sixteen_threads(
    pipe: Callable[..., rag.Pipeline], emulator: Emulator
) -> None:
    """Each question has its own tiers, steps, notes and calls; the ledger has their sum."""

    def reply(request: Request) -> str:
        number = int(str(request.params["messages"][-1]["content"]).rpartition("#")[2].split("<")[0])
        return UNSUPPORTED if number % 2 else GOOD

    replies(emulator, haiku=reply)
    pipeline = pipe(otherwise="small", escalate={"on": ["unsupported"]})
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(pipeline.ask, [f"{QUESTION} #{n}" for n in range(64)]))
    for number, answer in enumerate(answers):
        assert models(answer) == ["haiku", "sonnet"][: 1 + number % 2]
        assert [each.name for each in answer.trace].count("route") == 1
        assert (len(answer.notes), bool(step(answer, "escalate"))) == (number % 2, bool(number % 2))
    (row,) = Ledger(pipeline.meter.ledger.path).rows()
    assert row.calls == 96
    spent = sum(call.usage.cost_usd or 0 for answer in answers for call in answer.calls)
    assert row.usd == pytest.approx(spent)


def test_text_that_is_replaced_is_never_shown(pipe: Callable[..., rag.Pipeline], emulator: Emulator) -> None:
    """The events' text is the answer's; a conversation keeps the final reply alone."""
    replies(emulator, haiku=UNSUPPORTED)
    chat = pipe(otherwise="small", escalate=True).chat()
    events = list(chat.stream(QUESTION))
    kinds = [kind for kind, _ in itertools.groupby(event.kind for event in events)]
    assert kinds == ["context", "text", "citation", "text", "answer"]
    assert "".join(event.value for event in events if event.kind == "text") == events[-1].value.text
    assert [message.content for message in chat.messages] == [QUESTION, "It is 28 days. [1]"]


def test_a_reply_that_cannot_be_replaced_is_streamed(
    pipe: Callable[..., rag.Pipeline], emulator: Emulator
) -> None:
    """Text of the last tier, or without escalation, comes as it is written; other text when it is judged."""
    replies(
        emulator,
        haiku="word " * 20 + GOOD,
        sonnet="word " * 20 + GOOD,
        opus="word " * 20 + GOOD,
        token_s=0.02,
    )

    def delays(**router: Any) -> tuple[float, float]:
        pipeline = pipe(**router)
        started, first = time.perf_counter(), 0.0
        for event in pipeline.stream(QUESTION):
            first = first or (time.perf_counter() - started if event.kind == "text" else 0.0)
        return first, time.perf_counter() - started

    for router in ({"otherwise": "small"}, {"otherwise": "large", "escalate": True}):
        first, whole = delays(**router)
        assert first < 0.5 * whole
    first, whole = delays(otherwise="small", escalate={"on": ["unsupported"]})
    assert first > 0.8 * whole


async def test_a_question_that_is_left_ends_the_reply(
    pipe: Callable[..., rag.Pipeline], emulator: Emulator
) -> None:
    """A cancelled question's reply ends while it is held back, is paid for, and no tier is asked after it."""
    replies(emulator, haiku="word " * 400, token_s=0.02)
    pipeline = pipe(otherwise="small", escalate=True)
    task = asyncio.create_task(pipeline.aask(QUESTION))
    await asyncio.sleep(0.6)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):
        if rows := Ledger(pipeline.meter.ledger.path).rows(("model",)):
            break
        await asyncio.sleep(0.02)
    assert [(row.group, row.calls) for row in rows] == [((HAIKU,), 1)]
    assert rows[0].output_tokens < 200  # of 400 words
    assert [str(each.params["modelId"]) for each in emulator.requests] == [HAIKU]


def test_a_stream_that_is_left(pipe: Callable[..., rag.Pipeline], emulator: Emulator) -> None:
    replies(emulator, haiku=UNSUPPORTED, sonnet="word " * 200, token_s=0.001)
    pipeline = pipe(otherwise="small", escalate=True, max_calls=2)
    stream = pipeline.stream(QUESTION)
    assert [next(stream).kind, next(stream).kind] == ["context", "text"]
    stream.close()  # type: ignore[attr-defined]
    rows = Ledger(pipeline.meter.ledger.path).rows(("model",))
    assert {row.group[0]: row.calls for row in rows} == {HAIKU: 1, SONNET: 1}


async def test_asynchronously(pipe: Callable[..., rag.Pipeline], emulator: Emulator) -> None:
    replies(emulator, haiku=UNSUPPORTED, sort="small")
    pipeline = pipe(classify=True, escalate=True)
    answer = await pipeline.aask(QUESTION, tag="x")
    assert [(call.purpose, call.model) for call in answer.calls] == [
        ("route", HAIKU), ("generate", HAIKU), ("generate", SONNET),
    ]  # fmt: skip
    assert (answer.text, step(answer, "escalate")["to"]) == ("It is 28 days. [1]", "default")
