"""Answers of pipelines measured on a golden set: costs, failures, several pipelines, and the log."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.errors import BudgetError, GenerationError, UsageError, WhereError
from rag.evaluation import evaluate_answers
from tests.command import run
from tests.evaluation.conftest import docs, write
from tests.response_cache.models import PRICES, USD, Echo

LEAVE = "# Leave\n\nStaff in Europe take 28 days of annual leave.\n"
GOLDEN = [
    {"id": "1", "question": "How many days of annual leave?", "gold": ["eu.md"], "numbers": [28], "tags": ["hr"],
     "weight": 3},
    {"id": "2", "question": "Annual leave of staff in America?", "answer": "22 days", "must_include": ["22"]},
    {"id": "3", "question": "Annual leave on Mars?"},
]  # fmt: skip


@pytest.fixture
def pipe(tmp_path: Path) -> Any:
    """Makes a pipeline over one document, with the model `Echo`, which answers every question."""
    docs(tmp_path, eu=LEAVE)

    def made(**stages: Any) -> rag.Pipeline:
        stages.setdefault("generator", Echo(log=str(tmp_path / "calls"), extra=", 28"))
        return rag.Pipeline(tmp_path / "ix", ledger=tmp_path / "ledger.sqlite", prices=PRICES, **stages)

    return made


def calls(tmp_path: Path) -> int:
    path = tmp_path / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_values_costs_and_weights(pipe: Any) -> None:
    (result,) = evaluate_answers(pipe(), GOLDEN).values()
    assert [each.correct for each in result.questions] == [True, False, False]
    assert result.metrics["correct"].mean == pytest.approx(3 / 5)  # by weight
    assert result.metrics["usd"].mean == pytest.approx(USD)
    assert (result.metrics["tokens"].mean, result.metrics["numbers"].count) == (1100, 1)
    assert [each.faults for each in result.questions[1:]] == [
        ("must_include: it lacks '22'",), ("answered: it answers, though there is no answer",),
    ]  # fmt: skip
    assert [each.question.id for each in result.worst(9)] == ["2", "3"]
    assert [(tag, len(each.questions)) for tag, each in result.by_tag().items()] == [("hr", 1)]
    assert json.loads(json.dumps(result.to_dict()))["questions"][0]["values"]["numbers"] == 1.0
    assert ("correct", "0.600 [0.000, 1.000]", "3") in [tuple(row) for row in result.table().rows]


def test_a_failed_question_is_not_correct(pipe: Any, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    broken = pipe(generator=Echo(log=str(tmp_path / "calls"), fails=True))
    (result,) = evaluate_answers(broken, GOLDEN[:1], log=log).values()
    assert (result.failed, result.metrics["correct"].mean, result.metrics["answered"].mean) == (1, 0.0, 0.0)
    assert "the model is down" in result.questions[0].faults[0] and not log.exists()


def test_nothing_in_the_log_is_asked_twice(pipe: Any, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    first = evaluate_answers({"a": pipe()}, GOLDEN[:2], log=log)["a"]
    second = evaluate_answers({"b": pipe()}, GOLDEN, log=log)["b"]
    assert (first.again, second.again, calls(tmp_path)) == (0, 2, 3)
    assert [each.answer for each in second.questions[:2]] == [each.answer for each in first.questions]
    assert second.questions[0].values == first.questions[0].values
    assert log.stat().st_mode & 0o777 == 0o600
    other = evaluate_answers(pipe(prompt=rag.Prompt(system="Else.")), GOLDEN, log=log).values()
    assert next(iter(other)).again == 0 and calls(tmp_path) == 6
    evaluate_answers(pipe(), [{**GOLDEN[0], "turns": ["Hello?"]}], log=log)
    assert calls(tmp_path) == 8  # another conversation is another question


def test_a_cut_line_of_the_log_is_asked_again(pipe: Any, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    evaluate_answers(pipe(), GOLDEN, log=log)
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    (result,) = evaluate_answers(pipe(), GOLDEN, log=log).values()
    assert (result.again, calls(tmp_path)) == (2, 4)
    (result,) = evaluate_answers(pipe(), GOLDEN, log=log).values()
    assert (result.again, calls(tmp_path)) == (3, 4)


def test_several_pipelines_take_turns(pipe: Any, tmp_path: Path) -> None:
    first, second = (Echo(log=str(tmp_path / "calls"), extra=extra) for extra in ("", "28"))
    results = evaluate_answers({"a": pipe(generator=first), "b": pipe(generator=second)}, GOLDEN, parallel=1)
    assert [*results] == ["a", "b"] and calls(tmp_path) == 6
    assert results["a"].values.keys() == results["b"].values.keys() == {"1", "2", "3"}


def test_a_schema_is_asked_for_and_turns_come_first(pipe: Any, tmp_path: Path) -> None:
    row = {**GOLDEN[0], "schema": {"type": "object"}}
    with pytest.raises(GenerationError):
        pipe().ask(row["question"], schema=row["schema"], repairs=0)
    (result,) = evaluate_answers(pipe(), [row]).values()
    assert result.failed == 1
    (result,) = evaluate_answers(pipe(), [{**GOLDEN[0], "turns": ["Who?", "And where?"]}]).values()
    asked = (tmp_path / "calls").read_text().splitlines()
    assert asked[-1].endswith(GOLDEN[0]["question"]) and result.questions[0].correct


def test_what_is_wrong_is_told_before_anything_is_paid(pipe: Any, tmp_path: Path) -> None:
    with pytest.raises(WhereError, match="question '2': "):
        evaluate_answers(pipe(), [GOLDEN[0], {**GOLDEN[1], "where": "colour == 1"}])
    with pytest.raises(UsageError, match="no question has one of the tags law"):
        evaluate_answers(pipe(), GOLDEN, tags=["law"])
    with pytest.raises(UsageError, match="parallel is 0"):
        evaluate_answers(pipe(), GOLDEN, parallel=0)
    assert calls(tmp_path) == 0


def test_a_budget_ends_it(pipe: Any, tmp_path: Path) -> None:
    """Calls under way end; what they gave is in the log."""
    log = tmp_path / "log.jsonl"
    poor = rag.Pipeline(
        tmp_path / "ix", generator=Echo(log=str(tmp_path / "calls")), prices=PRICES,
        ledger={"path": tmp_path / "ledger.sqlite", "stop_usd": 1.5 * USD},
    )  # fmt: skip
    with pytest.raises(BudgetError):
        evaluate_answers(poor, GOLDEN, log=log, parallel=1)
    kept = log.read_text().splitlines() if log.exists() else []
    assert len(kept) == calls(tmp_path) < 3
    assert threading.active_count() < 20


def test_the_command_shows_faults_and_keeps_answers(pipe: Any, tmp_path: Path) -> None:
    questions = write(tmp_path / "golden.jsonl", GOLDEN)
    words = ("eval", tmp_path / "ix", questions, "--answers", "--log", tmp_path / "log.jsonl")
    done = run(*words, "--output", tmp_path / "out.jsonl")
    lines = done.stdout.splitlines()
    assert "answers to 3 questions" in lines[0]
    assert any(line.split()[:1] == ["correct"] for line in lines)
    assert [json.loads(line)["id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        "1",
        "2",
        "3",
    ]
    again = json.loads(run(*words, "--json").stdout)
    assert again["again"] == 3 and again["metrics"]["correct"]["count"] == 3
    refused = run(*words, "--against", tmp_path / "ix", code=2).stderr
    assert "--against compares contexts: compare answers with --models and --prompts" in refused
