"""What answers will cost: priced without asking for any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

import rag
from rag.core.errors import BudgetError
from rag.evaluation import evaluate_answers
from rag.evaluation.answer_plan import REPLY_TOKENS, plan_answers, table, total
from rag.generation.fallback import Fallback
from rag.generation.reply import texts
from rag.usage.model_calls import MOST_OUTPUT_TOKENS
from rag.usage.tokens import estimate_all
from tests.evaluation.conftest import docs
from tests.response_cache.models import PRICES, Echo

GOLDEN = [
    {"id": "1", "question": "How many days of annual leave?", "gold": ["eu.md"]},
    {"id": "2", "question": "Annual leave of staff in America?", "gold": ["eu.md"]},
    {"id": "3", "question": "And there?", "gold": ["eu.md"], "turns": ["How many days of annual leave?"]},
]  # fmt: skip


@pytest.fixture
def pipe(tmp_path: Path) -> Any:
    docs(tmp_path, eu="# Leave\n\nStaff in Europe take 28 days of annual leave.\n")

    def made(**stages: Any) -> rag.Pipeline:
        stages = {
            "generator": Echo(log=str(tmp_path / "calls")),
            "ledger": tmp_path / "ledger.sqlite",
            **stages,
        }
        return rag.Pipeline(tmp_path / "ix", **{"prices": PRICES, **stages})

    return made


def test_the_tokens_are_those_of_the_messages(pipe: Any, tmp_path: Path) -> None:
    one = pipe()
    (plan,) = plan_answers({"echo": one}, GOLDEN[:1])
    context = one.context(GOLDEN[0]["question"])
    sent = texts(one.prompt.messages(GOLDEN[0]["question"], context.hits))
    read = sum(estimate_all(sent, "echo-1"))
    assert (plan.calls, plan.again, plan.input_tokens, plan.output_tokens) == (1, 0, read, REPLY_TOKENS)
    # A dollar per million tokens in, ten out.
    assert plan.usd == pytest.approx((read + 10 * REPLY_TOKENS) / 1e6)
    assert plan.most_usd == pytest.approx((read + 10 * MOST_OUTPUT_TOKENS) / 1e6)
    assert plan.notes == (f"a reply is taken to have {REPLY_TOKENS} tokens, as the log has none of echo",)
    assert not (tmp_path / "calls").exists() and not (tmp_path / "ledger.sqlite").exists()


def test_what_the_log_holds_costs_nothing_and_tells_how_long_replies_are(pipe: Any, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    evaluate_answers(pipe(), GOLDEN[:1], log=log)
    (plan,) = plan_answers({"echo": pipe()}, GOLDEN, log=log)
    assert (plan.calls, plan.again, plan.output_tokens) == (
        3,
        1,
        300,
    )  # two questions, one with a turn before it
    assert plan.notes == ()
    evaluate_answers(pipe(), GOLDEN, log=log)
    (plan,) = plan_answers({"echo": pipe()}, GOLDEN, log=log)
    assert (plan.calls, plan.again, plan.usd, plan.most_usd) == (0, 3, 0.0, 0.0)


def test_the_local_answerer_is_free(pipe: Any) -> None:
    plans = plan_answers({"local": pipe(generator="local"), "echo": pipe()}, GOLDEN)
    assert (plans[0].usd, plans[0].most_usd, plans[0].calls) == (0.0, 0.0, 4)
    assert total(plans) == plans[1].usd
    rows = [tuple(row) for row in table(plans).rows]
    assert rows[0][:3] == ("local", "4", "0") and rows[0][5:] == ("$0.0000", "$0.0000")
    assert rows[2][0] == "total" and rows[2][1] == "8"


def test_of_several_models_the_first_and_the_dearest_count(pipe: Any, tmp_path: Path) -> None:
    dear = Echo(log=str(tmp_path / "calls"), model_id="echo-9")
    both = pipe(
        generator=Fallback(models=[Echo(log=str(tmp_path / "calls")), dear]),
        prices={**PRICES, "echo-9": {"input": 100.0, "output": 1000.0}},
    )
    (one,), (two,) = plan_answers({"a": pipe()}, GOLDEN[:1]), plan_answers({"a": both}, GOLDEN[:1])
    assert two.usd == pytest.approx(one.usd, rel=0.1)
    assert two.most_usd == pytest.approx(100 * one.most_usd, rel=0.1)
    assert "a: `about` is by its first model, `at most` by the dearest" in two.notes


def test_a_model_without_a_price_is_named_and_under_a_budget_refused(pipe: Any, tmp_path: Path) -> None:
    bare = pipe(prices={})
    (plan,) = plan_answers({"echo": bare}, GOLDEN)
    assert (plan.usd, plan.most_usd, total([plan])) == (None, None, None)
    assert any(note.startswith("no price is known for echo-1: enter it in rag.toml") for note in plan.notes)
    assert table([plan]).rows[0][5] == "no known price"
    with pytest.raises(BudgetError, match="echo: a budget with stop_usd refuses a model without a price"):
        plan_answers({"echo": pipe(prices={}, ledger={"stop_usd": 1})}, GOLDEN)


def test_retrieval_that_costs_money_is_not_done(pipe: Any) -> None:
    """A reranker without a price would be a call: the contexts are taken to be full."""
    from rag.usage.collector import paid_call

    asked = []

    class Paid:
        reports_calls = True

        def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Any:
            with paid_call("cohere.rerank-v3-5:0", "rerank", documents=len(documents)):
                asked.append(query)
                return documents

    (plan,) = plan_answers(
        {"echo": pipe(retriever={"reranker": Paid()}, trimmer={"budget": 2000})}, GOLDEN[:1]
    )
    assert asked == []
    assert (
        plan.notes[-1]
        == "retrieving or trimming costs money, which is not in these figures: contexts are taken to be full"
    )
    assert 2000 / 6 < plan.input_tokens < 2000


def test_a_runnable_is_priced_by_its_class(pipe: Any) -> None:
    (plan,) = plan_answers({"mine": pipe(generator=RunnableLambda(lambda messages: "no"))}, GOLDEN[:1])
    assert plan.usd is None and "no price is known for RunnableLambda" in plan.notes[0]
