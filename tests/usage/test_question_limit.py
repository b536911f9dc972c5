"""What one question may cost holds for the questions that its tools ask, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rag.core.calls import Usage
from rag.core.errors import BudgetError
from rag.usage.budget import Budget
from rag.usage.collector import Collector, limit_usd, paid_call
from rag.usage.ledger import Ledger
from rag.usage.meter import Meter
from rag.usage.prices import PriceTable

#: A million tokens of input cost a dollar, of output five.
PRICES = PriceTable.from_settings({"my-model": {"input": 1, "output": 5}})


@pytest.fixture
def collector(tmp_path: Path) -> Callable[[], Collector]:
    meter = Meter(Ledger(tmp_path / "ledger.sqlite"), Budget(), prices=PRICES)
    return lambda: Collector(meter)


def call(input_tokens: int, used: int | None = None, model: str = "my-model") -> None:
    with paid_call(model, "generate", input_tokens=input_tokens) as paid:
        paid.usage = Usage(input_tokens if used is None else used)


def test_the_cost_of_a_question_that_a_tool_asks_counts(collector: Callable[[], Collector]) -> None:
    outer = collector()

    def ask() -> None:
        assert limit_usd(1.0)
        call(100_000)
        collector().run(call, 600_000)  # by a tool
        call(300_000)
        call(10_000)

    refusal = r"could bring the question's cost to \$1\.0100 \(\$0\.0100 for it\), above max_usd"
    with pytest.raises(BudgetError, match=refusal):
        outer.run(ask)
    assert [each.usage.input_tokens for each in outer.calls] == [100_000, 600_000, 300_000]


def test_a_question_that_a_tool_asks_cannot_pass_the_limit_itself(
    collector: Callable[[], Collector],
) -> None:
    outer = collector()

    def ask() -> None:
        limit_usd(1.0)
        inner = collector()
        with pytest.raises(BudgetError, match=r"cost to \$1\.5000 .* above max_usd \(\$1\.0000\)"):
            inner.run(call, 1_500_000)
        with pytest.raises(BudgetError, match="max_usd refuses a model without a price"):
            inner.run(call, 10, model="stranger")
        inner.run(limit_usd, 0.5)
        with pytest.raises(BudgetError, match=r"cost to \$0\.6000 .* above max_usd \(\$0\.5000\)"):
            inner.run(call, 600_000)
        inner.run(call, 400_000, used=100_000)
        inner.run(call, 400_000)
        call(500_000)  # exactly what is left: refused calls hold nothing, and those that end their cost

    outer.run(ask)
    assert sum(each.usage.cost_usd or 0 for each in outer.calls) == pytest.approx(1.0)


def test_a_limit_that_is_set_later_counts_what_was_spent(collector: Callable[[], Collector]) -> None:
    def ask() -> None:
        collector().run(call, 700_000)
        limit_usd(1.0)
        call(400_000)

    with pytest.raises(BudgetError, match=r"cost to \$1\.1000"):
        collector().run(ask)
