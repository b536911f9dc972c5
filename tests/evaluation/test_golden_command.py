"""`rag golden check | suggest | accept`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rag
from rag.evaluation import read
from tests.cli.test_main import error_of, run
from tests.evaluation.conftest import docs, write

LEAVE = "Employees in Europe have 28 days of annual leave."


@pytest.fixture
def index(tmp_path: Path) -> Path:
    pipe: rag.Pipeline = docs(
        tmp_path, leave=f"# Leave\n\n{LEAVE}\n", pay="# Pay\n\nReceipts are kept for ten years.\n"
    )
    return Path(pipe.index.path)


def test_a_sound_golden_set_exits_with_0(index: Path, tmp_path: Path) -> None:
    start = (tmp_path / "docs" / "leave.md").read_text().index(LEAVE)
    evidence = [{"source": "leave.md", "start": start, "end": start + len(LEAVE), "quote": LEAVE}]
    path = write(tmp_path / "g.jsonl", [{"id": 1, "question": "How long is leave?", "evidence": evidence}])
    done = run("golden", "check", path, index)
    assert done.stdout == f"{path}: 1 question: 0 errors, 0 warnings\n"


def test_errors_exit_with_1_and_warnings_with_0(index: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "g.jsonl", [
        {"id": "a", "question": "How long is leave?", "answer": "28 days", "numbers": [30]},
        {"id": "b", "question": "Who decides?", "evidence": [{"source": "laeve.md", "start": 0, "end": 9}]},
    ])  # fmt: skip
    assert run("golden", "check", path, index, code=1).stdout.splitlines() == [
        f"error: {path}, line 1 (a): its own answer fails numbers: it lacks 30: correct the answer or numbers",
        f"error: {path}, line 2 (b): its evidence is in laeve.md, which is not in the index: "
        "did you mean 'leave.md'?",
        f"{path}: 2 questions: 2 errors, 0 warnings",
    ]
    values = json.loads(run("golden", "check", path, "--json", code=1).stdout)
    assert (values["errors"], [each["id"] for each in values["findings"]]) == (1, ["a"])
    warned = write(tmp_path / "w.jsonl", [{"id": "a", "question": "How long?", "answerable": True}])
    assert "warning: " in run("golden", "check", warned).stdout


def test_leaks_into_the_questions_held_out(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [{"id": "a", "question": "How long is leave?", "gold": ["a"]}])
    two = write(tmp_path / "two.jsonl", [{"id": "b", "question": "how long is leave", "gold": ["a"]}])
    shown = run("golden", "check", one, "--held-out", two, code=1).stdout
    assert f"error: {two}, line 1 (b): it asks what {one}, line 1 (a) asks: move it" in shown


def test_drafts_are_written_accepted_and_then_measured(index: Path, tmp_path: Path) -> None:
    path = tmp_path / "drafts.jsonl"
    shown = run("golden", "suggest", index, "--count", 2, "--output", path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {row["question"] for row in rows} == {
        "How many days of annual leave do employees in Europe have?", "For how many years are receipts kept?",
    }  # fmt: skip
    assert shown.stdout.splitlines() == [
        *(f"{row['id']}  {row['question']}" for row in rows),
        f"2 drafts in {path}: accept the good ones: rag golden accept {path} ID …",
    ]
    assert shown.stderr == ""
    assert read(path) == ()
    done = run("golden", "accept", path, rows[0]["id"], "--by", "Ann")
    assert done.stdout == f"{path}: 1 accepted\n"
    assert [question.id for question in read(path)] == [rows[0]["id"]]
    assert json.loads(path.read_text().splitlines()[0])["accepted_by"] == "Ann"
    assert (
        run("golden", "check", path, index).stdout == f"{path}: 2 questions (1 draft): 0 errors, 0 warnings\n"
    )
    answered = run("eval", index, path, "--answers", "--json", "--worst", 0)
    assert json.loads(answered.stdout)["metrics"]["correct"] == {
        **json.loads(answered.stdout)["metrics"]["correct"], "mean": 1.0, "count": 1,
    }  # fmt: skip


def test_drafts_on_standard_output_and_against_a_golden_set(index: Path, tmp_path: Path) -> None:
    known = write(tmp_path / "g.jsonl", [
        {"id": 1, "question": "For how many years are receipts kept?", "gold": ["pay.md"]},
    ])  # fmt: skip
    done = run("golden", "suggest", index, "--against", known, "--count", 5)
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["evidence"][0]["quote"] == LEAVE and row["numbers"] == [{"value": 28, "unit": "days"}]
    assert done.stderr == "note: 1 of 5 drafts; left out: 1 asked already\n"


def test_drafts_from_a_log(index: Path, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", [
        {"question": "How many days of leave do employees have? I am ann@example.com"},
        {"question": "how many days of leave do employees have, I am ann@example.com"},
    ])  # fmt: skip
    done = run("golden", "suggest", index, "--from-log", log, "--count", 1)
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["question"] == "How many days of leave do employees have? I am [e-mail]"
    assert (row["count"], row["draft"]) == (2, True)
    assert row["evidence"][0]["quote"] == LEAVE


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check", "nowhere.jsonl"], "cannot read nowhere.jsonl: No such file or directory"),
        (["check", "GOLDEN", "nowhere"], "there is no index in nowhere: build it"),
        (["check", "GOLDEN", "--held-out", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["suggest", "nowhere"], "there is no index in nowhere: build it"),
        (["suggest", "INDEX", "--output", "GOLDEN"], "exists: write to another file, or delete it"),
        (["suggest", "INDEX", "--output", "no/such/folder.jsonl"], "cannot write no/such/folder.jsonl"),
        (["suggest", "INDEX", "--from-log", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["suggest", "INDEX", "--against", "nowhere.jsonl"], "cannot read nowhere.jsonl"),
        (["suggest", "INDEX", "--generator", "clude"], "did you mean 'claude'?"),
        (["accept", "nowhere.jsonl", "a"], "cannot read nowhere.jsonl"),
        (["accept", "GOLDEN", "b"], "has no question 'b': "),
        (["accept", "GOLDEN", "a"], "'a' is no draft: leave it out"),
        (["accept", "GOLDEN", "a", "--by", ""], "who accepts is not said: give a name, as in --by Ann"),
    ],
)
def test_wrong_usage_exits_2(index: Path, tmp_path: Path, arguments: list[str], expected: str) -> None:
    golden = write(tmp_path / "g.jsonl", [{"id": "a", "question": "How long?", "gold": ["leave.md"]}])
    names = {"GOLDEN": str(golden), "INDEX": str(index)}
    line = error_of("golden", *(names.get(each, each) for each in arguments), code=2, cwd=tmp_path)
    assert expected in line
    assert json.loads(golden.read_text())["id"] == "a"
