"""`rag eval`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import rag
from tests.cli.test_main import error_of, run
from tests.evaluation.conftest import write


@pytest.fixture(scope="module")
def questions(few: list[dict], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("questions") / "few.jsonl", few)


def test_prints_tables_and_explain_commands(pipe: rag.Pipeline, questions: Path, evaluation) -> None:
    path = pipe.index.path
    shown = run("eval", path, questions, "--budgets", "1000,4000").stdout
    lines = shown.splitlines()
    count = len(evaluation.questions)
    assert lines[0] == (
        f"{path}: evidence of {count} questions ({evaluation.unanswerable} without an answer are left out)"
    )
    assert lines[2].split()[:4] == ["1000", *str(evaluation.metrics["recall@1000"]).split()]
    command = next(line.strip() for line in lines if line.startswith("  rag explain "))
    explained = run(*shlex.split(command)[1:]).stdout
    assert explained.split(":")[0] in ("retriever", "trimmer", "filter", "not loaded")


def test_prints_json_and_writes_every_question(
    pipe: rag.Pipeline, questions: Path, evaluation, tmp_path: Path
) -> None:
    output = tmp_path / "each.jsonl"
    done = run("eval", pipe.index.path, questions, "--budgets", "1000,4000", "--json", "--output", output)
    row = json.loads(done.stdout)
    assert row["metrics"]["recall@1000"]["mean"] == evaluation.metrics["recall@1000"].mean
    assert row["metrics"]["recall"]["count"] == len(evaluation.questions)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [item["id"] for item in rows] == [scored.question.id for scored in evaluation.questions]
    assert rows[3]["values"] == dict(evaluation.questions[3].values)
    assert len(row["worst"]) == 5


def test_against_another_index_or_config(pipe: rag.Pipeline, questions: Path, tmp_path: Path) -> None:
    path = pipe.index.path
    done = run("eval", path, questions, "--budgets", 1000, "--against", path, "--json")
    same = json.loads(done.stdout)["comparison"]["differences"]["recall@1000"]
    assert (same["mean"], same["p"]) == (0.0, 1.0)
    settings = tmp_path / "other.toml"
    settings.write_text('[retriever]\nk = 1\n[generator]\nuse = "claude"\n')
    shown = run("eval", path, questions, "--budgets", 1000, "--against-config", settings).stdout
    assert f"{path} against {path} with {settings} (above 0: {path} is better)" in shown


def test_prints_rankings_for_gold_documents(pipe: rag.Pipeline, tmp_path: Path) -> None:
    rows = [{"id": 1, "question": "parental leave in the US", "gold": ["people/leave-policy-us.html"]}]
    shown = run("eval", pipe.index.path, write(tmp_path / "g.jsonl", rows), "-k", 3).stdout
    assert "nDCG@3" in shown and "recall@3" in shown and "MRR@3" in shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["INDEX", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["nowhere", "QUESTIONS"], "there is no index in nowhere"),
        (["INDEX", "QUESTIONS", "--budgets", "1k"], "--budgets is '1k': write numbers with commas"),
        (["INDEX", "QUESTIONS", "--budgets", "0"], "at least 1"),
        (["INDEX", "QUESTIONS", "--against", "nowhere"], "there is no index in nowhere"),
        (["INDEX", "QUESTIONS", "--against", "x", "--against-config", "y"], "give either --against or"),
        (["INDEX", "QUESTIONS", "--where", "yeer == 1"], "did you mean 'year'"),
    ],
)
def test_wrong_usage_exits_2(
    pipe: rag.Pipeline, questions: Path, tmp_path: Path, arguments: list[str], expected: str
) -> None:
    names = {"INDEX": str(pipe.index.path), "QUESTIONS": str(questions)}
    assert expected in error_of("eval", *(names.get(a, a) for a in arguments), code=2, cwd=tmp_path)
