"""Equal questions at once are one call: in threads, tasks and processes, and when one of them ends early."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import GenerationError
from rag.response_cache.flights import Flights
from rag.response_cache.sqlite_store import SqliteStore
from tests.command import _server
from tests.response_cache.models import Echo, worker
from tests.response_cache.test_answers import LEAVE, kept


def slow(tmp_path: Path, **fields: Any) -> Echo:
    return Echo(log=str(tmp_path / "calls"), delay_s=0.3, **fields)


def test_a_hundred_threads_are_one_call(pipe: Any, tmp_path: Path, calls: Any) -> None:
    asking = pipe(generator=slow(tmp_path))
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: asking.ask(LEAVE), range(100)))
    assert len(calls()) == 1
    assert Counter(answer.cached is None for answer in answers) == {False: 99, True: 1}
    assert all(kept(answer) == kept(answers[0]) for answer in answers)


def test_a_hundred_tasks_are_one_call(pipe: Any, tmp_path: Path, calls: Any) -> None:
    asking = pipe(generator=slow(tmp_path))

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(asking.aask(LEAVE) for _ in range(100)))

    answers = asyncio.run(all_at_once())
    assert len(calls()) == 1
    assert Counter(answer.cached is None for answer in answers) == {False: 99, True: 1}


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_processes_are_one_call(
    folder: Path, tmp_path: Path, calls: Any, kind: str, request: pytest.FixtureRequest
) -> None:
    settings: dict[str, Any] = {"path": str(tmp_path / "r.sqlite")}
    if kind == "redis":
        url = request.getfixturevalue("redis").url
        settings = {"use": "redis", "url": url, "prefix": tmp_path.name}
    with _server().Pool(3) as pool:
        arguments = [(str(folder / "ix"), settings, str(tmp_path / "calls"), LEAVE)] * 3
        results = pool.starmap(worker, arguments, chunksize=1)
    assert len(calls()) == 1
    assert sorted(result.split()[0] for result in results) == ["asked", "cached", "cached"]


def test_a_dead_holders_lease_ends_by_itself(pipe: Any, tmp_path: Path, calls: Any) -> None:
    settings = {"path": tmp_path / "r.sqlite", "lease_s": 0.4}
    asking = pipe(responses=settings)
    parts = asking.ask(LEAVE) and calls()
    asking.responses.store.clear()
    from rag.response_cache.key import parts_of

    key = parts_of(asking, LEAVE, {}).key
    assert SqliteStore(tmp_path / "r.sqlite").acquire(key, "somebody who was killed", 0.4)
    began = time.monotonic()
    assert asking.ask(LEAVE).cached is None
    assert 0.2 < time.monotonic() - began < 5 and len(parts) == 1 and len(calls()) == 2


def test_who_is_waited_for_too_long_is_waited_for_no_more(pipe: Any, tmp_path: Path, calls: Any) -> None:
    asking = pipe(responses={"path": tmp_path / "r.sqlite", "lease_s": 0.2, "wait_s": 10.0})
    stuck = asking.stream(LEAVE)
    next(stuck), next(stuck)  # the model has begun; its reader never goes on
    assert asking.ask(LEAVE).cached is None
    assert len(calls()) == 2 and asking.ask(LEAVE).cached
    stuck.close()


def test_another_one_leads_where_the_first_leaves(pipe: Any, tmp_path: Path, calls: Any) -> None:
    asking = pipe()
    left = asking.stream(LEAVE)
    next(left), next(left)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(asking.ask, LEAVE) for _ in range(8)]
        time.sleep(0.2)
        left.close()
        answers = [each.result(20) for each in waiting]
    assert len(calls()) == 2  # the one that was left, and one for the eight
    assert Counter(answer.cached is None for answer in answers) == {False: 7, True: 1}


def test_a_cancelled_task_ends_nobody_elses_wait(pipe: Any, tmp_path: Path, calls: Any) -> None:
    asking = pipe(generator=slow(tmp_path))

    async def scene() -> Any:
        first, second, third = (asyncio.create_task(asking.aask(LEAVE)) for _ in range(3))
        await asyncio.sleep(0.15)
        second.cancel()
        return await first, await third

    first, third = asyncio.run(scene())
    assert (first.cached is None) != (third.cached is None)
    assert len(calls()) <= 2  # two where the one that was cancelled had led


def test_where_the_one_that_leads_fails_each_asks_for_itself(pipe: Any, tmp_path: Path, calls: Any) -> None:
    asking = pipe(generator=slow(tmp_path, fails=True))
    failures = []

    def ask() -> None:
        with pytest.raises(GenerationError):
            asking.ask(LEAVE)
        failures.append(time.monotonic())

    began = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(failures) == 6 and max(failures) - began < 5  # not one after the other


def test_flights_end_once() -> None:
    flights = Flights()
    flight, leads = flights.join("a")
    assert leads and flights.join("a") == (flight, False) and flights.join("b")[1]
    flight.end(left=True)
    flight.end()
    assert flight.left and flight.ended.done() and not flight.ended.cancel()
    assert flights.join("a")[1]
