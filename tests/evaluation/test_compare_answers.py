"""Configurations compared by their answers: values by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableLambda

import rag
from rag.core.errors import BudgetError, UsageError
from rag.evaluation import compare_answers, compare_prompts
from rag.evaluation.compare_answers import compared
from rag.evaluation.statistics import holm
from tests.evaluation.answered import correct, evaluation
from tests.evaluation.conftest import docs

TEXT = "# Leave\n\nStaff in Europe take 28 days of annual leave.\n"
GOLDEN = [
    {"id": "1", "question": "How many days of annual leave?", "gold": ["eu.md"], "numbers": [28]},
    {"id": "2", "question": "Annual leave of staff in Europe?", "gold": ["eu.md"]},
    {"id": "3", "question": "Annual leave on Mars?"},
    {"id": "4", "question": "Which leave is broken?", "gold": ["eu.md"]},
]  # fmt: skip


def reply(messages: list[BaseMessage]) -> AIMessage:
    """With the careful prompt every answer is right; with the other one none cites, and none refuses."""
    question = messages[-1].text
    if "broken" in question:
        raise ValueError("the model is down")
    if "careless" in messages[0].text:
        return AIMessage("It is 20 days.")
    if "Mars" in question:
        return AIMessage("<no_answer/>Nothing is said of Mars.")
    return AIMessage('It is 28 days.<cite doc="1">Staff in Europe take 28 days of annual leave.</cite>')


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    return docs(tmp_path_factory.mktemp("compared"), eu=TEXT).index


def test_prompts_are_compared_question_by_question(index: rag.Index) -> None:
    pipes = [
        rag.Pipeline(index, generator=RunnableLambda(reply), prompt=rag.Prompt(name, system=f"Be {name}."))
        for name in ("careful", "careless")
    ]
    result = compare_prompts(pipes, GOLDEN)
    careful, careless = result.evaluations
    assert careful.name == f"careful (custom)#{pipes[0].prompt.version}" == result.best
    assert [careful.values[name]["correct"] for name in "1234"] == [1.0, 1.0, 1.0, 0.0]
    assert [careless.values[name]["correct"] for name in "1234"] == [0.0, 1.0, 0.0, 0.0]
    assert (careful.metrics["cite_recall"].mean, careless.metrics["cite_recall"].mean) == (1.0, 0.0)
    assert (careful.failed, careless.failed) == (1, 1)
    difference = result.against_first[0].differences["correct"]
    assert (difference.mean, difference.count, difference.p) == (-0.5, 4, 0.5)  # 2 of 4 sign changes
    assert result.against_first == result.against_best
    assert [name for name, _ in result.disagreements()] == ["1", "3"]
    assert result.disagreements()[0][1] == {careful.name: 1.0, careless.name: 0.0}
    assert f"{careless.name} gave no answer to 1 questions: run again to ask these again" in result.notes
    with pytest.raises(UsageError, match="two are the same"):
        compare_prompts([pipes[0], pipes[0]], GOLDEN)
    with pytest.raises(UsageError, match="one prompt cannot be compared"):
        compare_prompts(pipes[:1], GOLDEN)


def test_holm_corrects_for_all_comparisons_of_a_metric() -> None:
    right = correct("right", [1] * 12)
    good, bad = correct("good", [1] * 6 + [0] * 6), correct("bad", [0] * 12)
    result = compared([bad, good, right], "correct", 0.02)
    first = {pair.a: pair.differences["correct"] for pair in result.against_first}
    best = {pair.a: pair.differences["correct"] for pair in result.against_best}
    # Six or twelve differences of one sign: 2 of 2 ** 6, 2 of 2 ** 12 sign changes.
    raw = {"good": 2 / 2**6, "right": 2 / 2**12}
    assert {name: found.p for name, found in first.items()} == pytest.approx(raw)
    assert best["good"].p == pytest.approx(2 / 2**6) and best["bad"].p == pytest.approx(2 / 2**12)
    # Three comparisons: good and right against bad, good against right; bad against right is not another one.
    corrected = holm([raw["good"], raw["right"], 2 / 2**6])
    assert [first["good"].p_holm, first["right"].p_holm, best["good"].p_holm] == pytest.approx(corrected)
    assert (first["right"].mean, best["bad"].mean) == (1.0, -1.0)
    assert best["bad"].p_holm == first["right"].p_holm
    assert (best["bad"].low, best["bad"].high) == (-first["right"].high, -first["right"].low)


def test_the_cheapest_that_is_not_worse() -> None:
    marks = [1] * 380 + [0] * 20
    large, twin = correct("large", marks, usd=0.02), correct("twin", marks, usd=0.005)
    unsure = correct("unsure", [0] * 6 + marks[6:], usd=0.001)  # loses 1.5 points, up to 2.75
    small = correct("small", [0] * 60 + marks[60:], usd=0.0001)  # loses 15 points
    result = compared([large, twin, unsure, small], "correct", 0.02)
    assert (result.best, result.cheapest) == ("twin", "twin")  # of equal ones the cheaper
    assert [loss.name for loss in result.undecided] == ["unsure"]
    assert {loss.name: loss.beyond(0.02) for loss in result.losses} == {
        "large": False,
        "unsure": False,
        "small": True,
    }
    lines = result.verdict()
    assert lines[0] == f"best by correct: twin, {twin.metrics['correct']}"
    assert lines[1].endswith(
        "by more than 2.0 points: twin, $ 0.005000 [0.005000, 0.005000] a question; the best itself"
    )
    assert lines[2].startswith(
        "too few questions to tell whether unsure is within 2.0 points: its loss is 1.5 points ["
    )
    assert "400 questions see a loss of 1.7 points or more (80 % power)" in lines[2] and len(lines) == 3
    assert compared([large, twin, unsure, small], "correct", 0.04).cheapest == "unsure"


def test_without_prices_nothing_is_the_cheapest() -> None:
    free = evaluation("a", {"1": {"correct": 1.0}, "2": {"correct": 1.0}})
    bare = evaluation("b", {"1": None, "2": None})
    assert compared([free, bare], "correct", 0.5).cheapest == "a"
    unpriced = compared([bare], "correct", 0.5)
    assert unpriced.cheapest is None and "not known, as there are no prices" in unpriced.verdict()[1]
    assert "b has no known price: enter it in [prices] of rag.toml" in unpriced.notes


def test_weights_count() -> None:
    def weighted(name: str, *marks: float) -> Any:
        values = {str(n): {"correct": mark} for n, mark in enumerate(marks)}
        return evaluation(name, values, weights={"0": 3.0})

    result = compared([weighted("a", 1, 0, 0), weighted("b", 0, 1, 1)], "correct", 0.5)
    assert result.best == "a"
    assert result.against_first[0].differences["correct"].mean == pytest.approx((-3 + 1 + 1) / 5)


def test_tables_and_plain_values() -> None:
    result = compared([correct("a", [1, 0, 1], usd=0.02), correct("b", [1, 1, 1])], "correct", 0.02)
    overview, every, changes = result.tables()
    assert overview.caption == "3 questions answered with each of 2 configurations"
    assert overview.rows[0] == ("a", "0.667 [0.000, 1.000]", "0.0200 [0.0200, 0.0200]", "1.00", "1.00", "0")
    assert every.head == ("metric", "a", "b") and [row[0] for row in every.rows][-2:] == [
        "usd ($)",
        "seconds (s)",
    ]
    assert changes.head == ("metric", "configuration", "minus a", "p (Holm)", "minus b", "p (Holm)")
    rows = [tuple(each) for each in changes.rows]
    assert rows[:2] == [
        ("correct", "a", "", "", "-0.333 [-1.000, +0.000]", "1.000"),
        ("correct", "b", "+0.333 [+0.000, +1.000]", "1.000", "", ""),
    ]
    assert [row[0] for row in rows[2:]] == ["usd", "usd", "seconds", "seconds"]
    values = json.loads(json.dumps(result.to_dict()))
    assert (values["best"], values["cheapest"], values["losses"][0]["within"]) == ("b", "b", False)
    assert values["configurations"][0]["latency_s"] == {"p50": 1.0, "p95": 1.0}
    assert "minus a" in result._repr_html_()


def test_what_cannot_be_compared_is_refused(index: rag.Index) -> None:
    pipes = {"a": rag.Pipeline(index)}
    with pytest.raises(UsageError, match="answers are not compared by 'corect': did you mean 'correct'"):
        compare_answers(pipes, GOLDEN, metric="corect")
    with pytest.raises(UsageError, match="not compared by 'usd'"):
        compare_answers(pipes, GOLDEN, metric="usd")
    with pytest.raises(UsageError, match="the margin is 2: write a share above 0 and below 1"):
        compare_answers(pipes, GOLDEN, margin=2)
    with pytest.raises(UsageError, match="a: no answer has a value of 'f1'"):
        compared([correct("a", [1])], "f1", 0.02)


def test_a_model_without_a_price_is_refused_under_a_budget_before_any_is_asked(
    index: rag.Index, tmp_path: Path
) -> None:
    def never(_: Any) -> AIMessage:
        raise AssertionError("it was asked")

    ledger = {"path": tmp_path / "ledger.sqlite", "stop_usd": 5}
    pipes = {
        name: rag.Pipeline(index, generator=generator, ledger=ledger)
        for name, generator in (("free", "local"), ("paid", RunnableLambda(never)))
    }
    with pytest.raises(
        BudgetError, match="paid: a budget with stop_usd refuses a model without a price: no price"
    ):
        compare_answers(pipes, GOLDEN)


def test_a_set_that_says_nothing_of_answers_is_named() -> None:
    (note,) = compared([correct("a", [1, 1])], "correct", 0.02).notes
    assert note.startswith("no question says what its answer must contain")
