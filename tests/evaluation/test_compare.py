"""`compare`: paired differences over shared questions."""

from __future__ import annotations

from pathlib import Path

import pytest

import rag
from rag.core.errors import UsageError
from rag.evaluation import compare, evaluate
from tests.evaluation.conftest import docs


def test_comparison_with_itself_is_zero(evaluation) -> None:
    same = compare(evaluation, evaluation)
    assert set(same.differences) == set(evaluation.metrics)
    for difference in same.differences.values():
        assert (difference.mean, difference.low, difference.high, difference.p) == (0.0, 0.0, 0.0, 1.0)
    assert same.notes == ()


def test_difference_counted_by_hand(tmp_path: Path) -> None:
    pipe = docs(tmp_path, a="# Leave\n\nTake 28 days of leave.", b="# Pay\n\nPaid on the 25th of the month.")
    rows = [
        {"id": 1, "question": "leave", "gold": ["a.md"]},
        {"id": 2, "question": "pay", "gold": ["b.md"]},
        {"id": 3, "question": "leave and days", "gold": ["a.md"]},
    ]
    right = evaluate(pipe, rows, name="right")
    # Under a filter that leaves a.md out, the first and the third question find nothing.
    wrong = evaluate(pipe, rows, name="wrong", where="source == 'b.md'")
    difference = compare(right, wrong).differences["mrr@10"]
    # 1, 0 and 1: of the four sign changes of the two that differ, two are as far from 0.
    assert (difference.mean, difference.p, difference.count) == (pytest.approx(2 / 3), 0.5, 3)
    assert compare(wrong, right).differences["mrr@10"].mean == pytest.approx(-2 / 3)
    assert (difference.low, difference.high) == (0.0, 1.0)


def test_only_shared_questions_are_compared(pipe: rag.Pipeline, few: list[dict]) -> None:
    rows = [row for row in few if row["evidence"]][:6]
    altered = [*rows[1:4], {**rows[4], "question": "something else"}]
    a = evaluate(pipe, rows, name="a", budgets=(1000,))
    b = evaluate(pipe, altered, name="b", budgets=(1000, 2000))
    comparison = compare(a, b)
    assert set(comparison.differences) == {"recall@1000", "precision@1000", "iou@1000"}
    assert comparison.differences["recall@1000"].count == 3
    assert comparison.notes == (
        "2 questions are only in a: left out",
        "1 questions have the same id in both, but another text, filter, evidence or gold: left out",
    )
    with pytest.raises(UsageError, match="share no question or no metric"):
        compare(evaluate(pipe, rows[:1]), b)
    with pytest.raises(UsageError, match=r"unit='chars', .* unit='tokens'"):
        compare(a, evaluate(pipe, rows, unit="tokens", budgets=(1000,)))


def test_html_is_escaped(pipe: rag.Pipeline, few: list[dict]) -> None:
    evaluation = evaluate(pipe, few[:6], budgets=(1000,), name="<b>")
    assert "&lt;b&gt;: evidence of" in evaluation._repr_html_()
    assert "<b>" not in compare(evaluation, evaluation)._repr_html_()
