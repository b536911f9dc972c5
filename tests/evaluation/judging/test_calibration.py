"""A judge that agrees with people is trusted; one with a bias is found out, and which bias it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rag.bedrock.chat.claude import ClaudeBedrock
from rag.config.stages import meter
from rag.core.errors import BudgetError, SourceError, UsageError
from rag.emulator import Emulator
from rag.evaluation.judging.calibration import calibrate, trusted
from rag.evaluation.judging.graders import Spending
from rag.evaluation.judging.judge import Judge
from rag.evaluation.judging.labels import read_labels
from rag.evaluation.judging.verdict_log import VerdictLog
from tests.evaluation.judging.planted import LABELS, Reads, fair, found, judge, noisy, quality


def test_a_fair_judge_agrees_and_has_no_bias(emulator: Emulator) -> None:
    result = found(emulator, noisy)
    assert 0.85 < result.kappa.low < result.kappa.value < 1 and result.kappa.name == "almost perfect"
    assert result.plain.value < result.kappa.value  # one off is no great disagreement
    assert result.found == [] and trusted({"faithfulness": result}, ["faithfulness"], 0.6) == []
    assert sum(sum(row) for row in result.table_of) == 60


@pytest.mark.parametrize(
    ("bias", "score", "better"),
    [
        ("position", noisy, lambda first, second: "first"),
        ("length", lambda text: min(1 + len(text.split()) // 4, 5), fair),
        ("verbosity", lambda text: min(quality(text) + (text.count("quality") > 1), 5), fair),
        ("one verdict", lambda text: 5, fair),
        ("leniency", lambda text: min(quality(text) + 1, 5), fair),
    ],
)
def test_a_biased_judge_is_found_out(
    emulator: Emulator, bias: str, score: Reads, better: Callable[[str, str], str]
) -> None:
    result = found(emulator, score, better)
    assert bias in [each.name for each in result.found]
    expected = {"one verdict": {"leniency"}, "length": {"leniency", "verbosity"}}.get(bias, set())
    assert {each.name for each in result.found} - {bias} <= expected


def test_a_judge_that_always_says_5_decides_no_gate(emulator: Emulator) -> None:
    result = found(emulator, lambda text: 5)
    assert result.kappa.value == 0 and result.kappa.name == "poor"
    (line,) = trusted({"faithfulness": result}, ["faithfulness"], 0.6)
    assert line.startswith("faithfulness: the judge's kappa is 0.00 [")
    assert trusted({}, ["safety"], 0.1) == [
        "safety: the judge is not calibrated by this rubric: give --labels"
    ]


def test_labels_that_pass_or_fail_are_compared_with_scores_from_4_on(emulator: Emulator) -> None:
    rows = [{**row, "label": row["label"] >= 4} for row in LABELS]
    result = calibrate(judge(emulator, quality, fair), read_labels(rows), probes=0)["faithfulness"]
    assert result.categories == (False, True) and result.kappa.value == 1
    assert result.table_of == ((36, 0), (0, 24))


def test_a_judge_may_prefer_its_own_answers(emulator: Emulator) -> None:
    made = judge(emulator, lambda text: min(quality(text) + 2 * ("mine" in text), 5), fair)
    rows = [
        {**row, "answer": row["answer"] + (" mine" if n % 3 == 0 else ""), "model": "sonnet" if n % 3 == 0 else "other"}
        for n, row in enumerate(LABELS)
    ]  # fmt: skip
    result = calibrate(made, read_labels(rows), probes=0)["faithfulness"]
    assert "own model" in [each.name for each in result.found]


def test_labels_are_refused_where_they_cannot_mean_anything() -> None:
    with pytest.raises(SourceError, match="label 1: label is 6: write a score from 1 to 5"):
        read_labels([{**LABELS[0], "label": 6}])
    with pytest.raises(SourceError, match="label 1: 'lable' is no key: did you mean 'label'"):
        read_labels([{**LABELS[0], "lable": 1}])
    with pytest.raises(SourceError, match="of the labels of faithfulness, l0 and l1 are of two kinds"):
        read_labels([LABELS[0], {**LABELS[1], "label": True}])
    with pytest.raises(SourceError, match="there are no labels"):
        read_labels([])


def test_labels_without_what_their_rubric_needs_are_refused_before_any_is_paid(emulator: Emulator) -> None:
    rows = [*LABELS, {**LABELS[0], "id": "bare", "context": []}]
    with pytest.raises(UsageError, match="the rubric faithfulness needs context: label bare lacks it"):
        calibrate(judge(emulator, noisy, fair), read_labels(rows))
    assert sum(emulator.counts.values()) == 0
    assert read_labels([{**LABELS[0], "context": "One text."}])[0].case.passages == ("One text.",)


def test_a_verdict_that_fails_is_told_and_spoils_no_other(emulator: Emulator) -> None:
    made = judge(emulator, lambda text: quality(text) if "quality 3" not in text else 9, fair)
    result = calibrate(made, read_labels(LABELS))["faithfulness"]
    assert (result.failed, result.kappa.count, result.kappa.value) == (12, 48, 1.0)
    broken = judge(emulator, lambda text: 9 if text.count("quality") > 1 else quality(text), fair)
    result = calibrate(broken, read_labels(LABELS))["faithfulness"]
    assert (result.failed, result.unprobed, result.found) == (0, 20, [])


def test_labels_of_other_rubrics_alone_are_refused(emulator: Emulator) -> None:
    with pytest.raises(UsageError, match="no label is of the rubrics faithfulness; there are safety"):
        calibrate(judge(emulator, noisy, fair), read_labels([{**LABELS[0], "rubric": "safety"}]))


def test_the_same_model_with_other_parameters_is_another_judge(emulator: Emulator, tmp_path: Path) -> None:
    case, log = read_labels(LABELS)[0].case, tmp_path / "verdicts.jsonl"
    judge(emulator, quality, fair)
    for arguments, calls in (({}, 1), ({}, 1), ({"max_tokens": 900}, 2)):
        made = Judge(ClaudeBedrock(**arguments), ["faithfulness"], log=VerdictLog(log))
        assert made.verdict(case, "faithfulness").score == 1
        assert sum(emulator.counts.values()) == calls


def test_a_budget_refuses_a_judge(emulator: Emulator, tmp_path: Path) -> None:
    spent = meter({"path": str(tmp_path / "ledger.sqlite"), "stop_usd": 0.0001}, None, tmp_path)
    with pytest.raises(BudgetError, match="stop_usd"):
        calibrate(judge(emulator, noisy, fair), read_labels(LABELS), spending=Spending(spent))
    assert sum(emulator.counts.values()) == 0
