"""Evaluations, comparisons and sweeps: their tables, in 80 columns, and as pandas'."""

from __future__ import annotations

import dataclasses

from rag.core.answers import Answer
from rag.core.calls import Usage
from rag.core.passages import Context
from rag.evaluation.answers import AnswerScored, summary
from rag.evaluation.checks import Check
from rag.evaluation.differences import Comparison, Difference
from rag.evaluation.evaluate import Evaluation, Scored
from rag.evaluation.golden_set import Question
from rag.evaluation.statistics import Estimate
from rag.evaluation.sweep import Sweep, Trial
from tests.notebook.objects import markup

MEAN = Estimate(0.75, 0.5, 0.9, 20)
BUDGETS = (1000, 8000)
METRICS = {f"{name}@{at}": MEAN for at in BUDGETS for name in ("recall", "precision", "iou")} | {
    "recall": MEAN
}
SCORED = tuple(
    Scored(
        Question(f"q{n}", f"How much leave {n}?"),
        None,
        {"recall": n / 2},
        (300, 2891),
        0.01,
        1,
        ("a.md:0-9",),
    )
    for n in range(3)
)
EVALUATION = Evaluation(
    "handbook",
    METRICS,
    SCORED,
    (386.0, 2891.4),
    BUDGETS,
    "chars",
    10,
    False,
    0,
    {"p50": 0.01},
    ("few questions",),
)


def test_an_evaluation_fits_eighty_columns_with_the_interval_of_its_recall() -> None:
    assert str(EVALUATION).splitlines() == [
        "Evaluation of handbook", "  handbook: evidence of 20 questions",
        "  chars                recall  precision    IoU  mean tokens",
        "  1,000  0.750 [0.500, 0.900]      0.750  0.750          386",
        "  8,000  0.750 [0.500, 0.900]      0.750  0.750        2,891",
        "  mean   0.750 [0.500, 0.900]", "  the worst questions:", "    0.00 q0: How much leave 0?",
        "    0.50 q1: How much leave 1?", "  note: few questions",
    ]  # fmt: skip


def test_its_card_has_a_bar_and_the_worst_questions() -> None:
    html = EVALUATION._repr_html_()
    assert 'style="width:75%"' in html and "<summary>the worst questions</summary>" in html
    assert "0.750 [0.500, 0.900]" in html and '<td class="n">2,891</td>' in html and "a.md:0-9" in html
    assert "q2" not in markup(html).text  # all of its evidence was sent


def test_a_comparison_and_a_sweep() -> None:
    comparison = Comparison("a", "b", {"recall": Difference(0.1, -0.05, 0.25, 0.031, 20)}, ("2 left out",))
    assert str(comparison).splitlines() == [
        "Comparison", "  a against b (above 0: a is better)",
        "  metric               difference      p  questions", "  recall  +0.100 [-0.050, +0.250]  0.031         20",
        "  note: 2 left out",
    ]  # fmt: skip
    trials = (Trial("k=8", {"k": 8}, "ix", 1200, 9, EVALUATION),)
    sweep = Sweep("out", "recall", "k=8", trials, 20)
    assert "1,200" in str(sweep) and "k=8" in sweep._repr_html_()
    assert comparison.to_pandas().to_dict("records")[0]["metric"] == "recall"
    assert sweep.to_pandas()[["k", "recall", "chunks"]].to_numpy().tolist() == [[8, 0.75, 1200]]


def test_an_evaluation_is_a_table_of_pandas() -> None:
    table = EVALUATION.to_pandas()
    assert table["id"].tolist() == ["q0", "q1", "q2"] and table["recall"].tolist() == [0.0, 0.5, 1.0]
    assert table["tokens"].tolist() == [2891] * 3 and table["lost"][0] == "a.md:0-9"
    assert dataclasses.replace(EVALUATION, questions=()).to_pandas().empty


def test_measured_answers_show_the_worst_of_them() -> None:
    usage = Usage(10, 2, cost_usd=0.01)
    answer = Answer("q?", "30 days", True, (), Context((), 0, 9, "chars"), usage, (), "m", "p")
    wrong = Check("numbers", 0.0, "30 is not expected")
    scored = AnswerScored(
        Question("q0", "How much?"), None, (wrong,), {"correct": 0.0, "numbers": 0.0}, answer
    )
    found = summary("handbook", [scored])
    assert "q0: numbers: 30 is not expected" in str(found)
    html = found._repr_html_()
    assert "<summary>the worst answers</summary>" in html and "30 days" in html
    assert found.to_pandas()[["id", "correct", "answer", "faults"]].to_numpy().tolist() == [
        ["q0", 0.0, "30 days", "numbers: 30 is not expected"]
    ]
