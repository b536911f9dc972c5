"""Processes that share a queue: of two reviewers one wins, and equal answers are queued once."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from rag.review.desk import ReviewDesk
from rag.review.sqlite_store import SqliteReviews
from tests.review.items import added, adder, answer_of, decider
from tests.scale import scale

pytestmark = pytest.mark.soak


def test_processes_that_decide_at_once(tmp_path: Path) -> None:
    path = tmp_path / "q.sqlite"
    desk = ReviewDesk(SqliteReviews(path))
    ids = [added(desk.store, answer_of(str(n))).id for n in range(scale(6, 60))]
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        names = ["ana", "bo", "cy", "dee"]
        results = {id: [pool.submit(decider, str(path), id, name) for name in names] for id in ids}
        for id, futures in results.items():
            said = [future.result(120) for future in futures]
            (winner,) = [name for name, result in zip(names, said, strict=True) if result == "won"]
            assert all(f"was approved by {winner}" in result for result in said if result != "won")
            assert [each.by for each in desk.item(id).decisions] == [winner]


def test_processes_that_add_at_once(tmp_path: Path) -> None:
    path = tmp_path / "q.sqlite"
    count = scale(10, 200)
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = [pool.submit(adder, str(path), "the same", count, name) for name in "abcd"]
        ids = [future.result(120) for future in runs]
    assert len({same for same, *_ in ids}) == 1
    items = [item.id for item in ReviewDesk(SqliteReviews(path)).items()]
    assert len(items) == len(set(items)) == 1 + 4 * count
    assert set(items) == {id for each in ids for id in each}
