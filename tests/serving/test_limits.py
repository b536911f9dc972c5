"""Limits of callers: in requests, tokens and dollars, for all processes together, and closed where in doubt."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.core.calls import Usage
from rag.core.errors import BudgetError, RagError, TooManyError
from rag.serving import limits
from rag.serving.callers import Caller, Limits
from rag.serving.limits import Limiter, OverBudgetError
from rag.usage.budget import Budget
from rag.usage.collector import Collector, paid_call
from rag.usage.ledger import Ledger
from rag.usage.meter import Meter
from rag.usage.prices import PriceTable

#: A million tokens of input cost a dollar.
PRICES = PriceTable.from_settings({"my-model": {"input": 1, "output": 5}})


@pytest.fixture
def limiter(tmp_path: Path) -> Limiter:
    return Limiter(tmp_path / "callers")


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., None]:
    """A question of a pipeline: one call, which may cost more than it does."""
    meter = Meter(Ledger(tmp_path / "ledger.sqlite"), Budget(), prices=PRICES)

    def call(most: int, used: int, model: str, pause_s: float) -> None:
        with paid_call(model, "generate", input_tokens=most) as paid:
            time.sleep(pause_s)
            paid.usage = Usage(used)

    def question(most: int, used: int | None = None, model: str = "my-model", pause_s: float = 0.0) -> None:
        Collector(meter).run(call, most, most if used is None else used, model, pause_s)

    return question


def test_a_caller_without_room_is_told_when_there_is_some(limiter: Limiter) -> None:
    caller = Caller("a", limits=Limits(requests_per_minute=3))
    for _ in range(3):
        limiter.admit(caller)
    with pytest.raises(TooManyError, match="3 requests a minute is reached by a") as refused:
        limiter.admit(caller)
    assert 1 <= refused.value.retry_after_s <= 20
    limiter.admit(Caller("b", limits=Limits(requests_per_minute=3)))


@given(st.integers(1, 120), st.lists(st.floats(0, 30), min_size=1, max_size=40))
def test_requests_are_never_more_than_a_minutes_and_what_came_since(rate: int, waits: list[float]) -> None:
    import sqlite3

    file = sqlite3.connect(":memory:")
    limits._create(file)
    began = now = 1_000_000.0
    taken = 0
    for wait in waits:
        now += wait
        try:
            limits._take(file, "a", rate, now)
            taken += 1
        except TooManyError as error:  # there is room when it says so
            limits._take(file, "a", rate, now + error.retry_after_s)
            now += error.retry_after_s
            taken += 1
        assert taken <= rate + (now - began) * rate / 60 + 1e-6
    file.close()


def test_tokens_of_a_day_are_those_of_all_calls(limiter: Limiter, ask: Callable[..., None]) -> None:
    caller = Caller("a", limits=Limits(tokens_per_day=100))
    for _ in range(2):
        limiter.admit(caller)
        with limiter.spending(caller) as spending:
            spending.run(ask, 60)
    assert limiter.spent(caller).tokens == 120
    with pytest.raises(TooManyError, match="100 tokens a day") as refused:
        limiter.admit(caller)
    assert 0 < refused.value.retry_after_s <= 86_400
    limiter.admit(Caller("b", limits=Limits(tokens_per_day=100)))


def test_dollars_are_set_aside_before_a_call(limiter: Limiter, ask: Callable[..., None]) -> None:
    caller = Caller("a", limits=Limits(usd_per_day=0.5))
    with limiter.spending(caller) as spending:
        spending.run(ask, 400_000, 100_000)  # at most $0.40, in the end $0.10
        spending.run(ask, 400_000, 400_000)
        assert limiter.spent(caller).usd == pytest.approx(0.5)
        with pytest.raises(OverBudgetError, match=r"above its limit of \$0\.5000 a day") as refused:
            spending.run(ask, 1_000)
    assert 5 < refused.value.retry_after_s <= 86_400
    with pytest.raises(OverBudgetError):
        limiter.admit(caller)
    with limiter.spending(Caller("b", limits=Limits(usd_per_day=0.5))) as other:
        other.run(ask, 400_000)


def test_calls_under_way_leave_no_room_for_a_while(limiter: Limiter, ask: Callable[..., None]) -> None:
    caller = Caller("a", limits=Limits(usd_per_day=0.5))
    inside = threading.Event()

    def slow() -> None:
        with limiter.spending(caller) as spending:
            threading.Timer(0.1, inside.set).start()
            spending.run(ask, 400_000, 1_000, pause_s=0.5)

    with ThreadPoolExecutor() as pool:
        running = pool.submit(slow)
        inside.wait()
        with limiter.spending(caller) as spending, pytest.raises(OverBudgetError) as refused:
            spending.run(ask, 200_000)
        assert refused.value.retry_after_s == 5  # not tomorrow: that call may cost less
        running.result()
    with limiter.spending(caller) as spending:
        spending.run(ask, 200_000)


def test_at_once_never_more_than_the_limit(limiter: Limiter, ask: Callable[..., None]) -> None:
    caller = Caller("a", limits=Limits(usd_per_day=1.0))

    def one(_: int) -> bool:
        try:
            with limiter.spending(caller) as spending:
                spending.run(ask, 90_000, pause_s=0.01)
        except OverBudgetError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        done = sum(pool.map(one, range(40)))
    assert done == 11 and limiter.spent(caller).usd == pytest.approx(0.99)


def test_processes_count_together(tmp_path: Path) -> None:
    code = (
        "import sys; from rag.serving.limits import *; from rag.serving.callers import *\n"
        "limiter, caller = Limiter(sys.argv[1]), Caller('a', limits=Limits(requests_per_minute=20, usd_per_day=1.0))\n"
        "done = held = 0\n"
        "for _ in range(15):\n"
        "    try: limiter.admit(caller); done += 1\n"
        "    except TooManyError: pass\n"
        "    limit = CallerLimit(limiter._ledger, caller)\n"
        "    try: limit.hold(0.09); limit.settle(0.09, 0.09); held += 1\n"
        "    except OverBudgetError: pass\n"
        "print(done, held)"
    )
    Limiter(tmp_path).admit(Caller("b", limits=Limits(1)))
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    counts = [tuple(map(int, process.communicate()[0].split())) for process in both]
    admitted, held = (sum(column) for column in zip(*counts, strict=True))
    assert held == 11  # of 11.1
    assert admitted <= 22  # 20, and what came back while they ran


def test_what_a_process_held_that_died_is_free_again(tmp_path: Path) -> None:
    code = (
        "import os, sys; from rag.serving.limits import *; from rag.serving.callers import *\n"
        "CallerLimit(Limiter(sys.argv[1])._ledger, Caller('a', limits=Limits(usd_per_day=1.0))).hold(0.9)\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    limiter = Limiter(tmp_path)
    limits.CallerLimit(limiter._ledger, Caller("a", limits=Limits(usd_per_day=1.0))).hold(0.9)


def test_a_model_without_a_price_is_refused_where_dollars_are_limited(
    limiter: Limiter, ask: Callable[..., None]
) -> None:
    with (
        limiter.spending(Caller("a", limits=Limits(usd_per_day=5.0))) as spending,
        pytest.raises(BudgetError, match="refuses a model without a price"),
    ):
        spending.run(ask, 10, model="of nobody")
    with limiter.spending(Caller("b", limits=Limits(tokens_per_day=5))) as spending:
        spending.run(ask, 10, model="of nobody")


def test_a_call_of_unknown_cost_counts_with_what_was_held(limiter: Limiter) -> None:
    caller = Caller("a", limits=Limits(usd_per_day=1.0))
    limit = limits.CallerLimit(limiter._ledger, caller)
    limit.hold(0.4)
    limit.hold(0.2)
    limit.settle(0.4, None)
    limit.settle(0.2, 0.0)  # it was not made
    assert limiter.spent(caller).usd == pytest.approx(0.4)


def test_limits_that_cannot_be_kept_refuse(tmp_path: Path) -> None:
    (tmp_path / "limits.sqlite").write_bytes(b"no database" * 1000)
    (tmp_path / "callers.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(RagError, match="the limits of callers cannot be read and written"):
        Limiter(tmp_path).admit(Caller("a", limits=Limits(5)))
    with pytest.raises(BudgetError, match="cannot be checked") as refused:
        limits.CallerLimit(Limiter(tmp_path)._ledger, Caller("a", limits=Limits(usd_per_day=1.0))).hold(0.1)
    assert str(tmp_path) not in str(refused.value)  # it may go to the caller


def test_only_the_owner_reads_who_spent_what(
    limiter: Limiter, tmp_path: Path, ask: Callable[..., None]
) -> None:
    caller = Caller("a", limits=Limits(5, 1000, 1.0))
    limiter.admit(caller)
    with limiter.spending(caller) as spending:
        spending.run(ask, 10)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "callers").iterdir()}
    assert {"limits.sqlite", "callers.sqlite"} <= set(modes) and set(modes.values()) == {0o600}
