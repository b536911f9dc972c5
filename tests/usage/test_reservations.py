"""Reservations: no mix of threads, processes, models, tags and stages spends more than stop_usd."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.core.calls import Call, Usage
from rag.core.errors import BudgetError
from rag.usage.budget import Budget, Request
from rag.usage.ledger import HOURS_ELSEWHERE, HOURS_HERE, Ledger
from rag.usage.meter import Meter, Reservation
from rag.usage.prices import PriceTable

MODELS = ("global.anthropic.claude-sonnet-5-5", "my-model", "unpriced", "stranger")
PRICES = PriceTable.from_settings({"my-model": {"input": 1, "output": 5}})
#: Estimates and costs are multiples of 2**-10 dollars, so that their sums are exact.
UNIT = 1 / 1024
CALLS = st.lists(
    st.tuples(
        st.sampled_from(MODELS), st.integers(0, 300), st.floats(0, 1), st.sampled_from(["", "alice", "bob"]),
        st.sampled_from(["generate", "embed", "rerank"]), st.sampled_from(["settle", "release", "unknown"]),
    ),
    max_size=12,
)  # fmt: skip


def meter(path: Path, stop: float, account: str = "") -> Meter:
    return Meter(Ledger(path), Budget((), stop, "ever", account), prices=PRICES)


def reserved(limited: Meter, entry) -> Reservation | None:
    model, most, _, tag, purpose, _ = entry
    try:
        usd = None if model in ("unpriced", "stranger") else most * UNIT
        return limited.tagged(tag).reserve(model, usd=usd, purpose=purpose)
    except BudgetError:
        return None


@settings(max_examples=25, deadline=None)
@given(
    st.lists(CALLS, min_size=1, max_size=5),
    st.integers(0, 1500),
    st.booleans(),
    st.sampled_from(["", "desk"]),
)
def test_threads_never_spend_more_than_the_limit_and_use_the_room_there_is(
    plans, units, shared, account
) -> None:
    stop = units * UNIT
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        one = meter(path, stop, account)
        paid: list[float] = []
        errors: list[BaseException] = []
        start = threading.Barrier(len(plans))

        def work(plan) -> None:
            mine = one if shared else meter(path, stop, account)
            start.wait()
            try:
                for at in range(0, len(plan), 3):  # three calls under way in each thread
                    calls = [(entry, reserved(mine, entry)) for entry in plan[at : at + 3]]
                    for (model, most, share, _, purpose, end), held in reversed(calls):
                        cost = int(most * share) * UNIT
                        if held is None:
                            continue
                        if end == "release":
                            held.release()
                        elif end == "settle" or not cost:
                            held.settle(Call(model, purpose, Usage(1, 1, cost_usd=cost)))
                            paid.append(cost)
                        else:  # the reply names no tokens: it counts at its most
                            held.settle(Call("stranger", purpose, Usage()))
                            paid.append(most * UNIT)
            except BaseException as error:
                errors.append(error)
            if not shared:
                mine.ledger.close()

        threads = [threading.Thread(target=work, args=(plan,)) for plan in plans]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        spent = Ledger(path).spent()
        assert spent == sum(paid) <= stop
        rest = stop - spent  # nothing is left reserved: what remains may be spent, to the last unit
        one.reserve(MODELS[0], usd=rest).release()
        with pytest.raises(BudgetError):
            one.reserve(MODELS[0], usd=rest + UNIT)
        one.ledger.close()


@settings(max_examples=60, deadline=None)
@given(CALLS, st.integers(0, 1500))
def test_one_after_the_other_a_call_is_refused_only_where_there_is_no_room(plan, units) -> None:
    with tempfile.TemporaryDirectory() as folder:
        limited, spent = meter(Path(folder) / "ledger.sqlite", units * UNIT), 0
        for model, most, share, tag, purpose, _ in plan:
            if model in ("unpriced", "stranger"):
                with pytest.raises(BudgetError):
                    limited.reserve(model, purpose=purpose)
                continue
            try:
                held = limited.tagged(tag).reserve(model, usd=most * UNIT, purpose=purpose)
            except BudgetError:
                assert spent + most > units
                continue
            assert spent + most <= units
            spent += int(most * share)
            held.settle(Call(model, purpose, Usage(1, 1, cost_usd=int(most * share) * UNIT)))
        assert limited.ledger.spent() == spent * UNIT
        limited.ledger.close()


def spend(path: Path, seed: int, stop: float, results) -> None:
    """One process: some calls at random, two threads at a time."""
    mine, paid, lock = meter(path, stop), [], threading.Lock()

    def work(number: int) -> None:
        chance = random.Random(seed * 10 + number)
        for _ in range(20):
            most = chance.randint(1, 100)
            try:
                held = mine.reserve(MODELS[0], usd=most * UNIT)
            except BudgetError:
                continue
            time.sleep(chance.random() / 500)
            cost = chance.randint(1, most)
            assert held.settle(Call(MODELS[0], "generate", Usage(1, 1, cost_usd=cost * UNIT))) is None
            with lock:
                paid.append(cost)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put((sum(paid), len(paid)))


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_share_a_limit(tmp_path: Path, method: str) -> None:
    path, stop = tmp_path / "ledger.sqlite", 600 * UNIT
    Ledger(path).spent()
    context = multiprocessing.get_context(method)
    results = context.Queue()
    workers = [context.Process(target=spend, args=(path, seed, stop, results)) for seed in range(3)]
    for worker in workers:
        worker.start()
    sums = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    ledger = Ledger(path)
    assert ledger.spent() == sum(units for units, _ in sums) * UNIT <= stop
    assert ledger.rows()[0].calls == sum(calls for _, calls in sums)
    assert ledger.spent() > stop - 100 * UNIT  # 120 calls of up to 100 units: the room was used


def test_forty_at_once_spend_no_more_than_one_call(tmp_path: Path) -> None:
    limited = meter(tmp_path / "ledger.sqlite", 1.0)
    results: list[str] = []

    def ask() -> None:
        try:
            held = limited.reserve(MODELS[0], usd=0.9)
        except BudgetError as error:
            results.append(str(error))
        else:
            time.sleep(0.3)
            held.settle(Call(MODELS[0], "generate", Usage(1, 1, cost_usd=0.5)))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 39
    assert any("$0.9000 for calls under way" in text for text in results)
    assert limited.ledger.spent() == 0.5


def test_to_settle_or_release_twice_changes_nothing_and_a_late_settle_is_written(tmp_path: Path) -> None:
    limited = meter(tmp_path / "ledger.sqlite", 1.0)
    call = Call(MODELS[0], "generate", Usage(1, 1, cost_usd=0.25))
    held = limited.reserve(MODELS[0], usd=1.0)
    settlers = [threading.Thread(target=held.settle, args=(call,)) for _ in range(8)]
    for thread in settlers:
        thread.start()
    for thread in settlers:
        thread.join()
    held.release()
    assert (limited.ledger.spent(), limited.ledger.rows()[0].calls) == (0.25, 1)
    late = limited.reserve(MODELS[0], usd=0.75)
    late.release()
    late.release()
    limited.reserve(MODELS[0], usd=0.75).release()
    late.settle(call)  # it was paid for after all
    assert limited.ledger.spent() == 0.5
    with limited.reserve(MODELS[0], usd=0.5):
        pass  # an error between would release it, too
    limited.reserve(MODELS[0], usd=0.5)


def test_what_a_killed_process_set_aside_is_free_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom rag.usage.ledger import Ledger, Request\n"
        "Ledger(Path(sys.argv[1])).reserve(Request(0.9, '', None, 'ever', 1.0))\nprint('held', flush=True)\n"
        "time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"held\n"
    with pytest.raises(BudgetError):
        meter(path, 1.0).reserve(MODELS[0], usd=0.5)
    other.kill()
    other.wait()
    meter(path, 1.0).reserve(MODELS[0], usd=0.5)


def test_reservations_age_and_those_of_other_machines_sooner(tmp_path: Path) -> None:
    import sqlite3

    path, now = tmp_path / "ledger.sqlite", dt.datetime.now(dt.UTC)
    ledger = Ledger(path)
    for hours in (HOURS_HERE + 1, HOURS_ELSEWHERE + 1):
        ledger.reserve(Request(1.0, "", None, "ever"), now - dt.timedelta(hours=hours))
    with sqlite3.connect(path) as file:  # a container that can no longer be seen
        file.execute(
            "INSERT INTO reservations (at, account, usd, machine, pid, started) SELECT at, '', 8.0, 'other', "
            "pid, started FROM reservations"
        )
        file.execute(
            "INSERT INTO reservations (at, account, usd, machine, pid, started) "
            "VALUES (?, '', 32.0, 'other', 1, '5')",
            (int((now - dt.timedelta(hours=1)).timestamp() * 1e6),),
        )
    file.close()
    assert ledger.reserve(Request(0.5, "", None, "ever"), now).reserved == 32.0 + 1.0


def test_a_fork_settles_what_its_parent_reserved_and_writes_nothing_twice(tmp_path: Path) -> None:
    limited = meter(tmp_path / "ledger.sqlite", 1.0)
    held = limited.reserve(MODELS[0], usd=1.0)
    child = os.fork()
    if not child:
        note = held.settle(Call(MODELS[0], "generate", Usage(1, 1, cost_usd=0.5)))
        os._exit(note is not None)
    assert os.waitpid(child, 0)[1] == 0
    limited.reserve(MODELS[0], usd=0.5).release()
    assert (limited.ledger.spent(), limited.ledger.rows()[0].calls) == (0.5, 1)
