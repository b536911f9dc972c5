"""One client for threads, tasks and processes: no reply reaches another question."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import rag
from rag.core.errors import UsageError

QUESTIONS = [f"How many days of annual leave, case {n}?" for n in range(24)]


def test_threads(client: rag.Client) -> None:
    with ThreadPoolExecutor(12) as pool:
        assert [answer.question for answer in pool.map(client.ask, QUESTIONS)] == QUESTIONS
        streams = pool.map(lambda question: [*client.stream(question)][-1].value.question, QUESTIONS)
        assert list(streams) == QUESTIONS


async def test_tasks_with_kept_connections_and_without(address: str) -> None:
    async with rag.Client(address) as client:
        answers = await asyncio.gather(*map(client.aask, QUESTIONS))
        assert [answer.question for answer in answers] == QUESTIONS
    with pytest.raises(UsageError, match="this client is closed"):
        await client.aask(QUESTIONS[0])
    client = rag.Client(address)
    answers = await asyncio.gather(*map(client.aask, QUESTIONS))
    assert [answer.question for answer in answers] == QUESTIONS


def test_event_loops_one_after_another(address: str) -> None:
    client = rag.Client(address)

    async def kept() -> str:
        async with client:
            return (await client.aask(QUESTIONS[0])).question

    async def asked() -> str:
        return (await client.aask(QUESTIONS[1])).question

    assert asyncio.run(asked()) == QUESTIONS[1] == asyncio.run(asked())
    assert asyncio.run(kept()) == QUESTIONS[0]


def _child(client: rag.Client, questions: list[str], queue: Any) -> None:
    queue.put([client.ask(question).question for question in questions])
    client.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_processes_have_connections_of_their_own(client: rag.Client) -> None:
    client.ask(QUESTIONS[0])  # a connection is open, and stays in use here
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=_child, args=(client, QUESTIONS[n::3], queue)) for n in range(3)]
    for child in children:
        child.start()
    assert [client.ask(question).question for question in QUESTIONS] == QUESTIONS
    found = sorted(question for _ in children for question in queue.get(timeout=60))
    for child in children:
        child.join(30)
    assert found == sorted(QUESTIONS) and [child.exitcode for child in children] == [0, 0, 0]
    assert client.ask(QUESTIONS[0]).question == QUESTIONS[0]  # a child that closes closes its own


def test_a_closed_client(address: str) -> None:
    with rag.Client(address) as client:
        assert client.health().status == "ok"
    with pytest.raises(UsageError, match="this client is closed: make another one"):
        client.health()
    client.close()


def test_connections_are_kept(address: str) -> None:
    """A second question needs no second connection, of whichever thread."""
    opened: list[object] = []
    with rag.Client(address) as client:
        for _ in range(3):
            client.ask(QUESTIONS[0])
            list(client.stream(QUESTIONS[0]))
            thread = threading.Thread(target=client.health)
            thread.start()
            thread.join()
        pool: Any = client._connections.sync()._transport
        opened += pool._pool.connections
    assert len(opened) == 1
