"""Whoever leaves a stream closes its connection, and the server ends the model's reply."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.emulator import Behaviour, Emulator
from rag.emulator.pytest_plugin import point_at
from rag.serving.app import create_app
from rag.serving.keys import OpenAuthenticator
from rag.serving.service import Service
from tests.serving.served import running

pytestmark = pytest.mark.slow
WORDS = 400
LEAVE = "How many days of annual leave do staff in EU take?"


@pytest.fixture
def long(
    leave: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[rag.Client, Callable[[], int]]]:
    """A client of a server whose model writes for eight seconds, and the tokens of the ledger's call once it has ended."""
    with Emulator(Behaviour(reply=" ".join(["word"] * WORDS), token_s=0.02)) as emulator:
        point_at(monkeypatch, emulator.environment())
        settings = {"generator": "claude", "ledger": str(tmp_path / "ledger.sqlite")}
        served = Service(leave, lambda: rag.Pipeline(leave, settings=settings))

        def tokens() -> int:
            deadline = time.monotonic() + 6
            ledger = served.pipeline.meter.ledger
            while not ledger.rows() or not ledger.rows()[0].calls:
                assert time.monotonic() < deadline, "the model goes on"
                time.sleep(0.05)
            return int(ledger.rows()[0].output_tokens)

        with running(create_app(served, OpenAuthenticator())) as url, rag.Client(url) as client:
            yield client, tokens


def first_text(events: Any) -> None:
    for event in events:
        if event.kind == "text":
            return


def test_a_loop_that_is_left(long: tuple[rag.Client, Callable[[], int]]) -> None:
    client, tokens = long
    first_text(client.stream(LEAVE))
    gc.collect()
    assert 0 < tokens() < WORDS


def test_an_iterator_that_is_closed(long: tuple[rag.Client, Callable[[], int]]) -> None:
    client, tokens = long
    with contextlib.closing(client.stream(LEAVE)) as events:
        first_text(events)
    assert 0 < tokens() < WORDS


def test_a_question_of_a_conversation(long: tuple[rag.Client, Callable[[], int]]) -> None:
    client, tokens = long
    chat = client.chat()
    with contextlib.closing(chat.stream(LEAVE)) as events:
        first_text(events)
    assert 0 < tokens() < WORDS and chat.messages == []


async def test_an_asynchronous_iterator_that_is_closed(long: tuple[rag.Client, Callable[[], int]]) -> None:
    client, tokens = long
    async with contextlib.aclosing(client.astream(LEAVE)) as events:
        async for event in events:
            if event.kind == "text":
                break
    assert 0 < await asyncio.to_thread(tokens) < WORDS


@pytest.mark.parametrize("way", ["stream", "ask"])
async def test_a_task_that_is_cancelled(long: tuple[rag.Client, Callable[[], int]], way: str) -> None:
    client, tokens = long
    began = asyncio.Event()

    async def streaming() -> None:
        async for event in client.astream(LEAVE):
            if event.kind == "text":
                began.set()

    async def asking() -> None:
        began.set()
        await client.aask(LEAVE)

    task = asyncio.create_task(streaming() if way == "stream" else asking())
    await began.wait()
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 0 < await asyncio.to_thread(tokens) < WORDS


def test_an_exception_in_the_loop(long: tuple[rag.Client, Callable[[], int]]) -> None:
    client, tokens = long

    def reading() -> None:
        for event in client.stream(LEAVE):
            if event.kind == "text":
                raise KeyboardInterrupt

    thread_error: list[BaseException] = []

    def run() -> None:
        try:
            reading()
        except BaseException as error:
            thread_error.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert isinstance(thread_error.pop(), KeyboardInterrupt)
    gc.collect()
    assert 0 < tokens() < WORDS
