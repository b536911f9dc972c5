"""A judge that agrees with people is trusted; one with a bias is found out, and which bias it is."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.bedrock.chat.claude import ClaudeBedrock
from rag.config.stages import meter
from rag.core.errors import BudgetError, SourceError, UsageError
from rag.emulator import Behaviour, Emulator
from rag.emulator.pytest_plugin import point_at
from rag.emulator.wire import Request
from rag.evaluation import evaluate_answers
from rag.evaluation.judging.calibration import Calibration, calibrate, trusted
from rag.evaluation.judging.graders import FunctionGrader, JudgeGrader, Spending
from rag.evaluation.judging.judge import Judge
from rag.evaluation.judging.labels import read_labels
from rag.evaluation.judging.verdict_log import VerdictLog
from tests.command import run
from tests.evaluation.conftest import docs, write

Reads = Callable[[str], float]


def label(number: int) -> dict[str, Any]:
    """An answer whose quality stands in it, as a person sees it; long and short ones of each quality."""
    quality, words = 1 + number % 5, 3 + 15 * (number // 5 % 2)
    return {
        "id": f"l{number}", "rubric": "faithfulness", "question": f"Question {number}?", "label": quality,
        "answer": f"quality {quality}: " + " ".join(["word"] * words), "passages": ["The passage."],
    }  # fmt: skip


LABELS = [label(number) for number in range(60)]


def text_of(request: Request) -> tuple[str, str]:
    return str(request.params["system"]), request.params["messages"][-1]["content"][0]["text"]


def part(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>\n")[2].partition(f"\n</{tag}>")[0]


def quality(answer: str) -> int:
    return int(answer.partition("quality ")[2][:1])


def noisy(answer: str) -> float:
    """Mostly the quality, sometimes one off: how careful people differ."""
    off = random.Random(answer).choice([0, 0, 0, 0, 1, -1])
    return min(max(quality(answer) + off, 1), 5)


def judge(emulator: Emulator, score: Reads, better: Callable[[str, str], str]) -> Judge:
    def reply(request: Request) -> str:
        _, text = text_of(request)
        if "<first_answer>" in text:
            choice = better(part(text, "first_answer"), part(text, "second_answer"))
            return json.dumps({"reason": "so", "better": choice})
        return json.dumps({"reason": "so", "score": int(score(part(text, "answer")))})

    emulator.behaviour = Behaviour(reply=reply)
    return Judge(ClaudeBedrock(), ["faithfulness"])


def fair(first: str, second: str) -> str:
    a, b = quality(first), quality(second)
    return "tie" if a == b else "first" if a > b else "second"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as server:
        point_at(monkeypatch, server.environment())
        yield server


def found(emulator: Emulator, score: Reads, better: Callable[[str, str], str] = fair) -> Calibration:
    return calibrate(judge(emulator, score, better), read_labels(LABELS))["faithfulness"]


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
        {**row, "answer": row["answer"] + (" mine" if n % 3 == 0 else ""), "model": made.name if n % 3 == 0 else "other"}
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


GOLDEN = [
    {"id": "a", "question": "How long is leave in Europe?", "gold": ["eu.md"], "answer": "28 days"},
    {"id": "b", "question": "When is pay day?", "gold": ["us.md"], "answer": "the 25th"},
    {"id": "c", "question": "Who is the king of Spain?", "answerable": False},
]  # fmt: skip


def test_judged_figures_stand_beside_the_checks_with_their_kappa_and_cost(
    emulator: Emulator, tmp_path: Path
) -> None:
    pipe = docs(tmp_path, eu="# Leave\n\nStaff in Europe take 28 days.\n", us="# Pay\n\nPaid on the 25th.\n")
    made = judge(emulator, lambda text: 5 if "28" in text else 2, fair)
    result = found(emulator, noisy)
    judge(emulator, lambda text: 5 if "28" in text else 2, fair)
    grader = JudgeGrader(made, Spending(pipe.meter), {"faithfulness": result.kappa})
    brief = FunctionGrader(
        "mine:brief", lambda answer, contexts: float(len(answer) < 200 and len(contexts) > 0)
    )
    (scored,) = evaluate_answers(pipe, GOLDEN, graders=[grader, brief], parallel=2).values()
    assert scored.metrics["judge:faithfulness"].mean == pytest.approx((1 + 0.25) / 2)
    assert scored.metrics["mine:brief"].mean == 1
    assert [*scored.metrics].index("judge:faithfulness") < [*scored.metrics].index("seconds")
    assert any("judge:faithfulness: faithfulness 2 of 5: so" in each for each in scored.questions[1].faults)
    assert "agrees with people at kappa 0.9" in scored.notes[0] and "(60 labels)" in scored.notes[0]
    assert [call.purpose for call in grader.spending.calls] == ["judge"] * 2 and grader.spending.usd > 0
    by = {row.group: row for row in pipe.meter.ledger.rows(["purpose"])}
    assert by["judge",].calls == 2 and by["judge",].usd == pytest.approx(grader.spending.usd)


def test_the_command_calibrates_and_a_gate_takes_no_unmeasured_judge(
    emulator: Emulator, tmp_path: Path
) -> None:
    docs(tmp_path, eu="# Leave\n\nStaff in Europe take 28 days.\n", us="# Pay\n\nPaid on the 25th.\n")
    write(tmp_path / "labels.jsonl", LABELS)
    write(tmp_path / "golden.jsonl", GOLDEN)
    judge(emulator, noisy, lambda first, second: "first")
    words = ("judge", "calibrate", "labels.jsonl", "--judge", "haiku", "--log", "verdicts.jsonl")
    done = run(*words, "--min-kappa", "0.6", cwd=tmp_path)
    assert "weighted kappa  0.9" in done.stdout and "almost perfect" in done.stdout
    assert "position bias: beside itself, an answer wins 20 of 20 times as the first" in done.stdout
    count = sum(emulator.counts.values())
    assert json.loads(run(*words, "--json", cwd=tmp_path).stdout)["calls"] == 0
    assert sum(emulator.counts.values()) == count  # every verdict was in the log
    gate = ("gate", "ix", "golden.jsonl", "--judge", "haiku", "--rubrics", "faithfulness", "--min")
    refused = run(*gate, "judge:faithfulness=0.5", cwd=tmp_path, code=2)
    assert "a judge that decides a gate must be measured: give --labels and --min-kappa" in refused.stderr
    measured = ("--labels", "labels.jsonl", "--log", "verdicts.jsonl", "--min-kappa")
    low = run(*gate, "judge:faithfulness=0.5", *measured, "0.99", cwd=tmp_path, code=1)
    assert "must not judge here: faithfulness: the judge's kappa is 0.9" in low.stderr
    judge(emulator, lambda text: 2, fair)
    failed = run(*gate, "judge:faithfulness=0.5", *measured, "0.6", cwd=tmp_path, code=4)
    assert "judge:faithfulness is 0.25, at least 0.5 is asked for" in failed.stdout
    without = run("gate", "ix", "golden.jsonl", "--min", "judge:safety=0.5", cwd=tmp_path, code=2)
    assert (
        "the gate asks for judge:safety, which no judge or metric gives: add --judge or --grade"
        in without.stderr
    )
    plan = run(
        "eval", "ix", "golden.jsonl", "--answers", "--judge", "sonnet", "--votes", "3", "--plan", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    row = json.loads(plan.stdout)["configurations"][-1]
    assert row["name"].startswith("judge ") and row["calls"] == 2 * 2 * 3 and row["usd"] > 0
    assert rag.Index.open(tmp_path / "ix").path.name == "ix"
