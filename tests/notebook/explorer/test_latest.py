"""Slow work: of what waits in a lane only the latest is done, and what runs ends at its next step."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from rag.notebook.explorer.latest import Latest


def test_only_the_latest_of_what_waits_is_done_and_what_runs_ends_early() -> None:
    done: list[str] = []
    begun, go = threading.Event(), threading.Event()

    def slow() -> Iterator[str]:
        begun.set()
        yield "first step"
        go.wait(10)
        yield "step that was overtaken, but had been computed"
        yield "never"

    latest: Latest[str] = Latest(done.append)
    latest.submit("a", slow)
    assert begun.wait(10)
    for number in range(5):
        latest.submit("a", lambda number=number: iter([f"search {number}"]))
    go.set()
    latest.wait(10)
    assert done[0] == "first step" and done[-1] == "search 4"
    assert not {"never", "search 0", "search 3"} & {*done}


def test_lanes_do_not_wait_for_each_other_and_submit_returns_at_once() -> None:
    done: list[str] = []
    go = threading.Event()

    def waits() -> Iterator[str]:
        go.wait(10)
        yield "answer"

    latest: Latest[str] = Latest(done.append)
    begun = time.perf_counter()
    latest.submit("answer", waits)
    latest.submit("look", lambda: iter(["hits"]))
    assert time.perf_counter() - begun < 5
    while not done:
        time.sleep(0.01)
    assert done == ["hits"]
    go.set()
    latest.wait(10)
    assert done == ["hits", "answer"]


def test_a_lane_works_again_after_it_was_empty() -> None:
    done: list[int] = []
    latest: Latest[int] = Latest(done.append)
    for number in range(20):
        latest.submit("a", lambda number=number: iter([number]))
        latest.wait(10)
    assert done == [*range(20)]
