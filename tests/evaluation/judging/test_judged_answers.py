"""Judged figures stand beside the checks with the judge's kappa; a plan pays nothing; a gate takes no judge
that is not measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.emulator import Behaviour, Emulator
from rag.evaluation import evaluate_answers
from rag.evaluation.judging.graders import FunctionGrader, JudgeGrader, Spending
from tests.command import run
from tests.evaluation.conftest import docs, write
from tests.evaluation.judging.planted import LABELS, fair, found, judge, noisy
from tests.evaluation.judging.planted import brief as brief_of

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
    assert f"kappa {result.kappa}" in scored.table().to_markdown()
    assert "agrees with people at kappa 0.9" in scored.notes[0] and "(60 labels)" in scored.notes[0]
    assert [call.purpose for call in grader.spending.calls] == ["judge"] * 2 and grader.spending.usd > 0
    by = {row.group: row for row in pipe.meter.ledger.rows(["purpose"])}
    assert by["judge",].calls == 2 and by["judge",].usd == pytest.approx(grader.spending.usd)


def test_the_command_calibrates_and_a_gate_takes_no_unmeasured_judge(
    emulator: Emulator, tmp_path: Path
) -> None:
    def counted() -> int:
        return sum(emulator.counts.values())

    docs(tmp_path, eu="# Leave\n\nStaff in Europe take 28 days.\n", us="# Pay\n\nPaid on the 25th.\n")
    write(tmp_path / "labels.jsonl", LABELS)
    write(tmp_path / "golden.jsonl", GOLDEN)
    judge(emulator, noisy, lambda first, second: "first")
    words = ("judge", "calibrate", "labels.jsonl", "--judge", "haiku", "--log", "verdicts.jsonl")
    done = run(*words, "--min-kappa", "0.6", cwd=tmp_path)
    assert "weighted kappa  0.9" in done.stdout and "almost perfect" in done.stdout
    assert "position bias: beside itself, an answer wins 20 of 20 times as the first" in done.stdout
    count = counted()
    assert json.loads(run(*words, "--json", cwd=tmp_path).stdout)["calls"] == 0
    assert counted() == count  # every verdict was in the log
    gate = ("gate", "ix", "golden.jsonl", "--judge", "haiku", "--rubrics", "faithfulness", "--min")
    refused = run(*gate, "judge:faithfulness=0.5", cwd=tmp_path, code=1)
    assert "haiku must not judge here, as it is not measured: give --labels FILE.jsonl" in refused.stderr
    measured = ("--labels", "labels.jsonl", "--log", "verdicts.jsonl", "--min-kappa")
    low = run(*gate, "judge:faithfulness=0.5", *measured, "0.99", cwd=tmp_path, code=1)
    assert "must not judge here: faithfulness: the judge's kappa is 0.9" in low.stderr
    judge(emulator, lambda text: 2, fair)
    failed = run(*gate, "judge:faithfulness=0.5", *measured, "0.6", cwd=tmp_path, code=4)
    assert "judge:faithfulness is 0.25, at least 0.5 is asked for" in failed.stdout
    assert "agrees with people at kappa 0.9" in failed.stderr
    before = counted()
    wrong = run(*gate, "judge.faithfulness=0.5", *measured, "0.6", cwd=tmp_path, code=2)
    assert "did you mean 'judge:faithfulness'" in wrong.stderr and counted() == before
    without = run("gate", "ix", "golden.jsonl", "--min", "judge:safety=0.5", cwd=tmp_path, code=2)
    assert "the gate asks for judge:safety, which no judge or metric gives" in without.stderr
    before = counted()
    plan = run(
        "eval", "ix", "golden.jsonl", "--answers", "--judge", "sonnet", "--votes", "3", "--plan", "--json",
        "--labels", "labels.jsonl", cwd=tmp_path,
    )  # fmt: skip
    row = json.loads(plan.stdout)["configurations"][-1]
    assert row["name"].startswith("judge ") and row["calls"] == (60 + 3 + 2) * 3 and row["usd"] > 0
    assert counted() == before  # a plan pays nothing, and measures no judge


def test_a_judge_or_metric_that_fails_has_no_score_and_counts_as_worst_in_a_gate(
    emulator: Emulator, tmp_path: Path
) -> None:
    pipe = docs(tmp_path, eu="# Leave\n\nStaff in Europe take 28 days.\n", us="# Pay\n\nPaid on the 25th.\n")
    made = judge(emulator, noisy, fair)
    emulator.behaviour = Behaviour(reply="It is great!")

    def broken(answer: str) -> float:
        raise ValueError(f"no connection\nfor {len(answer)} characters")

    for strict, judged in ((False, None), (True, 0.0)):
        graders = [JudgeGrader(made, strict=strict), FunctionGrader("mine:broken", broken, strict=strict)]
        (scored,) = evaluate_answers(pipe, GOLDEN, graders=graders, parallel=1).values()
        means = [scored.metrics.get(name) for name in ("judge:faithfulness", "mine:broken")]
        assert [None if each is None else each.mean for each in means] == [judged] * 2
        so = "count as the worst" if strict else "have no score"
        assert any(f"2 verdicts failed, so those answers {so}: " in note for note in scored.notes)
        assert any("ValueError: no connection for" in note for note in scored.notes)
        assert scored.metrics["correct"].mean == 1  # the other checks are not touched


@pytest.mark.slow
def test_a_gate_of_the_settings_has_a_judge_and_metrics_of_ones_own(
    emulator: Emulator, tmp_path: Path
) -> None:
    docs(tmp_path, eu="# Leave\n\nStaff in Europe take 28 days.\n", us="# Pay\n\nPaid on the 25th.\n")
    write(tmp_path / "labels.jsonl", LABELS)
    write(tmp_path / "golden.jsonl", GOLDEN)
    brief = f"{brief_of.__module__}:{brief_of.__name__}"
    settings = (
        f'[gate]\ngolden = "golden.jsonl"\nmin = {{"judge:relevance" = 0.5, "{brief}" = 0.9}}\n'
        f'judge = "haiku"\nrubrics = ["relevance"]\ngrade = ["{brief}"]\n'
    )
    config = tmp_path / "rag.toml"
    config.write_text(settings)
    build = ("build", "docs", "ix", "--gate", "--config", "rag.toml")
    (tmp_path / "docs" / "uk.md").write_text("# UK\n\nStaff in the UK take 25 days.\n")
    refused = run(*build, cwd=tmp_path, code=1)
    assert "haiku must not judge here, as it is not measured" in refused.stderr
    config.write_text(settings + 'labels = "labels.jsonl"\nmin_kappa = 0.6\n')
    write(tmp_path / "labels.jsonl", [{**row, "rubric": "relevance"} for row in LABELS])
    judge(emulator, lambda text: noisy(text) if "quality" in text else 1, fair)
    held = run(*build, cwd=tmp_path, code=4)
    assert "judge:relevance is 0.00" in " ".join(held.stdout.split())
    judge(emulator, lambda text: noisy(text) if "quality" in text else 5, fair)
    passed = run("gate", "ix", "--config", "rag.toml", cwd=tmp_path)
    assert "the gate is passed" in passed.stdout and brief in passed.stdout


@pytest.mark.slow
def test_a_judge_compares_the_answers_of_two_models_side_by_side(emulator: Emulator, tmp_path: Path) -> None:
    docs(tmp_path, eu="# Leave\n\nStaff in Europe take 28 days.\n", us="# Pay\n\nPaid on the 25th.\n")
    write(tmp_path / "golden.jsonl", GOLDEN)
    judge(emulator, lambda text: 5, lambda first, second: "first" if "28" in first else "tie")
    words = ("eval", "ix", "golden.jsonl", "--models", "haiku,opus", "--judge", "sonnet", "--pairs",
             "--rubrics", "relevance", "--log", "answers.jsonl")  # fmt: skip
    (planned,) = [
        row for row in json.loads(run(*words, "--plan", "--json", cwd=tmp_path).stdout)["configurations"]
        if row["name"].startswith("judge ")
    ]  # fmt: skip
    assert planned["calls"] == 3 * 2 + 2 * 2  # three answers of two models, and two pairs in both orders
    done = run(*words, cwd=tmp_path)
    assert "on 2 pairs, each in both orders" in done.stdout
    assert "judge:relevance, not calibrated" in done.stdout
    (pairs,) = json.loads(run(*words, "--json", cwd=tmp_path).stdout)["pairs"]
    assert (pairs["a"], pairs["b"], pairs["inconsistent"], pairs["ties"]) == ("haiku", "opus", 1, 1)
    alone = run(
        "eval", "ix", "golden.jsonl", "--answers", "--judge", "sonnet", "--pairs", cwd=tmp_path, code=2
    )
    assert "--pairs compares two systems: add --baseline, or --models or --prompts" in alone.stderr
    contexts = run("eval", "ix", "golden.jsonl", "--judge", "sonnet", cwd=tmp_path, code=2)
    assert "--judge and --grade are about answers: add --answers" in contexts.stderr
