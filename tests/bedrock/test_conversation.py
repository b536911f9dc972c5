"""A conversation with Claude against the emulator: its prompt only grows, so that the cache is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.emulator import Behaviour, Emulator
from rag.usage.ledger import Ledger
from tests.bedrock.claude_calls import HAIKU_3, LONG, QUESTION, SONNET, claude, last

TURNS = (
    QUESTION,
    "and in America?",
    "When are backups made?",
    "since when?",
    "Are restores tested?",
    "how often?",
)


@pytest.mark.parametrize("citations", ["native", "text"])
def test_what_was_read_comes_from_the_cache(
    citations: Any, emulator: Emulator, pipe: Callable[..., rag.Pipeline]
) -> None:
    prompt = rag.Prompt(system=LONG, form="search_results" if citations == "native" else "text")
    chat = pipe(claude(prompt_cache="5m", citations=citations), prompt=prompt).chat()
    usages = [chat.ask(question).usage for question in TURNS]
    read = [usage.cache_read_input_tokens for usage in usages]
    assert read == sorted(read) and len(set(read[1:])) == len(read) - 1, read
    for before, after in zip(usages[1:], usages[2:], strict=False):
        # All that the turn before sent has been read, or written to the cache, once.
        assert (
            after.cache_read_input_tokens >= before.cache_read_input_tokens + before.cache_write_input_tokens
        )
    sent = last(emulator)["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant"] * 5 + ["user"]


def test_numbers_of_native_citations_count_through_the_conversation(
    emulator: Emulator, pipe: Callable[..., rag.Pipeline]
) -> None:
    chat = pipe(claude(), retriever={"k": 1}).chat()
    assert [each.source for each in chat.ask(QUESTION).citations] == ["leave.md"]
    answer = chat.ask("When are backups made?")
    assert [(each.source, each.verified) for each in answer.citations] == [("backup.txt", True)]


def test_questions_at_once_on_one_loop(
    emulator: Emulator, pipe: Callable[..., rag.Pipeline], tmp_path: Path
) -> None:
    async def all_of_them() -> list[Any]:
        answering = pipe(claude(HAIKU_3))
        return await asyncio.gather(*(answering.aask(QUESTION) for _ in range(40)))

    emulator.behaviour = Behaviour(latency_s=0.2)
    started = time.perf_counter()
    answers = asyncio.run(all_of_them())
    assert {answer.text for answer in answers} == {"Staff in Europe take 28 days of annual leave. [1]"}
    assert all(len(answer.calls) == 1 for answer in answers)
    rows = list(Ledger(tmp_path / "ledger.sqlite").rows())
    assert sum(row.calls for row in rows) == 40
    assert time.perf_counter() - started < 40 * 0.2  # not one after the other


def test_who_leaves_ends_the_models_stream_and_pays_for_it(
    emulator: Emulator, pipe: Callable[..., rag.Pipeline], tmp_path: Path
) -> None:
    emulator.behaviour = Behaviour(reply="word " * 400, token_s=0.02)

    async def leave() -> None:
        async with asyncio.timeout(10):
            events = pipe(claude(SONNET)).astream(QUESTION)
            async for event in events:
                if event.kind == "text":
                    break
            await events.aclose()

    async def cancelled() -> None:
        task = asyncio.create_task(pipe(claude(SONNET)).aask(QUESTION))
        while len(emulator.requests) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    started = time.perf_counter()
    asyncio.run(leave())
    asyncio.run(cancelled())
    assert time.perf_counter() - started < 6  # the whole replies take 8 seconds each
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for _ in range(100):
        (row,) = ledger.rows() or [None]
        if row is not None and row.calls == 2:
            break
        time.sleep(0.05)
    assert row is not None and row.calls == 2 and row.input_tokens > 0
    assert 0 < row.output_tokens < 600
