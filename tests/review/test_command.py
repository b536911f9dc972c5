"""``rag review`` as a reviewer sees it: a queue from questions, decisions, a golden set, and mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.command import run

LEAVE = "How many days of annual leave do staff in Europe take?"
MOON = "How tall is the moon?"
EVERYTHING = "[review]\nrefused = true\nunsupported = true\nsample = 1\n"


@pytest.fixture
def place(folder: Path, tmp_path: Path) -> Path:
    """A folder with ``rag.toml``, and in ``indexes`` an index with two items in its queue."""
    shutil.copytree(folder / "ix", tmp_path / "indexes" / "ix")
    (tmp_path / "rag.toml").write_text(EVERYTHING)
    for question in (LEAVE, MOON):
        run("ask", "indexes/ix", question, "--tag", "desk", cwd=tmp_path)
    return tmp_path


def items(place: Path, *options: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(run("review", "list", "--json", *options, cwd=place).stdout)
    return listed


def test_from_a_question_to_a_golden_set(place: Path) -> None:
    moon, leave = items(place)
    assert (leave["question"], moon["question"]) == (LEAVE, MOON)
    assert [each["name"] for each in moon["reasons"]] == ["refused", "sample"]
    shown = run("review", "list", cwd=place).stdout
    assert shown.startswith("indexes/ix/reviews.sqlite: 2 items\n") and leave["id"] in shown

    done = run("review", "approve", leave["id"], "--by", "ana", "--comment", "as written", cwd=place)
    assert done.stdout.startswith(f"{leave['id']}: approved by ana at ")
    run("review", "approve", moon["id"], "--by", "ana", cwd=place)
    assert items(place) == [] and len(items(place, "--state", "approved")) == 2
    assert run("review", "list", cwd=place).stdout == "indexes/ix/reviews.sqlite: no open items\n"

    done = run("review", "export", "--output", "golden.jsonl", cwd=place)
    assert (done.stdout, done.stderr) == ("golden.jsonl: 2 questions\n", "")
    rows = [json.loads(line) for line in (place / "golden.jsonl").read_text().splitlines()]
    assert [row["question"] for row in rows] == [LEAVE, MOON] and rows[1]["answerable"] is False
    measured = json.loads(run("eval", "indexes/ix", "golden.jsonl", "--json", cwd=place).stdout)
    assert measured["metrics"]["recall"]["mean"] == 1.0 and measured["unanswerable"] == 1
    assert run("review", "export", cwd=place).stdout == (place / "golden.jsonl").read_text()


def test_an_item_is_shown_whole(place: Path) -> None:
    _, leave = items(place)
    run("review", "reject", leave["id"], "--by", "ana", "--comment", "too short\nreally", cwd=place)
    shown = run("review", "show", leave["id"], cwd=place).stdout
    for text in (
        f"{leave['id']}: rejected, queued ", "reasons: sample (100 % of all questions)", f"question: {LEAVE}", "tag: desk",
        "index: ix, version 1", "[1] eu.md", '"Staff in Europe take 28 days of annual leave."', "passages:",
        "decision: rejected by ana at ", "too short\N{REPLACEMENT CHARACTER}really",
    ):  # fmt: skip
        assert text in shown, text
    whole = json.loads(run("review", "show", leave["id"], "--json", cwd=place).stdout)
    assert whole["answer"]["citations"][0]["source"] == "eu.md" and whole["decisions"][0]["by"] == "ana"
    run("review", "show", leave["id"], "--html", "page.html", cwd=place)
    page = (place / "page.html").read_text()
    assert LEAVE in page and "eu.md" in page and "too short" in page


def test_a_correction_cites_what_is_in_the_index(place: Path) -> None:
    _, leave = items(place)
    (place / "answer.txt").write_text("28 days in Europe [1], 22 in America [2].\n")
    wrong = run(
        "review",
        "correct",
        leave["id"],
        "--file",
        "answer.txt",
        "--cites",
        "us.md#23 days",
        cwd=place,
        code=2,
    )
    assert "us.md in version 1 does not hold the words '23 days'" in wrong.stderr
    run(
        "review",
        "correct",
        leave["id"],
        "--file",
        "answer.txt",
        "--cites",
        "us.md#22 days",
        "--by",
        "ana",
        cwd=place,
    )
    (row,) = map(json.loads, run("review", "export", cwd=place).stdout.splitlines())
    assert row["answer"] == "28 days in Europe, 22 in America."
    assert [span["source"] for span in row["evidence"]] == ["eu.md", "us.md"]
    run("review", "reopen", leave["id"], "--by", "bo", cwd=place)
    done = run("review", "correct", leave["id"], "--answer", "28.", "--by", "bo", cwd=place)
    assert "the corrected answer cites nothing" in done.stderr
    done = run("review", "export", cwd=place)
    assert "evidence" not in json.loads(done.stdout) and "1 without evidence" in done.stderr


def test_statistics(place: Path) -> None:
    moon, leave = items(place)
    run("review", "approve", leave["id"], "--by", "ana", cwd=place)
    run(
        "review",
        "correct",
        moon["id"],
        "--answer",
        "They do not say.",
        "--unanswerable",
        "--by",
        "ana",
        cwd=place,
    )
    lines = run("review", "stats", cwd=place).stdout.splitlines()
    assert lines[2].split() == "sample 0 2 0.50 [0.09, 0.91] 0.50 [0.09, 0.91] 0.00 [0.00, 0.66]".split()
    (group,) = json.loads(run("review", "stats", "--by", "reviewer", "--json", cwd=place).stdout)
    assert (group["group"], group["decided"], group["shares"]["corrected"]["share"]) == ("ana", 2, 0.5)


def test_items_are_erased(place: Path) -> None:
    assert run("review", "forget", "--where-like", "the MOON", cwd=place).stdout.endswith(": 1 item erased\n")
    assert run("review", "prune", cwd=place).stdout.endswith(": 0 items erased\n")
    assert run("review", "forget", "--source", "*.md", cwd=place).stdout.endswith(": 1 item erased\n")
    assert items(place, "--state", "any") == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("show", "nothing"), 2, "there is no item nothing in indexes/ix/reviews.sqlite: see `rag review list`"),
        (("approve", "evil\x1b[31m\n"), 2, "there is no item evil"),
        (("list", "--index", "nowhere"), 2, "there is no index at nowhere: name an index's folder"),
        (("list", "--since", "yesterday"), 2, "--since is a date such as 2026-11-01"),
        (("reject", "ID"), 2, "say what is wrong with the answer: --comment TEXT"),
        (("correct", "ID"), 2, "give the right answer with either --answer TEXT or --file FILE"),
        (("correct", "ID", "--file", "none.txt"), 2, "cannot read none.txt: No such file or directory"),
        (("correct", "ID", "--answer", "x [9]"), 2, "marks [9], which is no verified citation"),
        (("forget",), 2, "say what to erase: --source SOURCE or --where-like TEXT"),
        (("prune", "--state", "open"), 2, "--state needs --before"),
        (("list", "--config", "bad.toml"), 2, "bad.toml, [review]: the review queue 'sqlite' has no argument 'sampel'"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)  # fmt: skip
def test_a_mistake_is_one_line(place: Path, words: tuple[str, ...], code: int, message: str) -> None:
    (place / "bad.toml").write_text("[review]\nsampel = 1\n")
    id = items(place)[0]["id"]
    done = run("review", *(id if word == "ID" else word for word in words), cwd=place, code=code)
    assert message in done.stderr and done.stderr.count("\n") == 1 and "\x1b" not in done.stderr


def test_the_second_reviewer_is_told_who_was_first(place: Path) -> None:
    id = items(place)[0]["id"]
    run("review", "approve", id, "--by", "ana", cwd=place)
    done = run("review", "reject", id, "--by", "bo", "--comment", "no", cwd=place, code=1)
    assert (
        done.stderr.startswith(f"rag: item {id} was approved by ana at ")
        and "rag review reopen" in done.stderr
    )


def test_a_queue_must_be_named_where_there_are_several_or_none(place: Path) -> None:
    shutil.copytree(place / "indexes" / "ix", place / "indexes" / "other")
    done = run("review", "list", cwd=place, code=2)
    assert "name a review queue with --index INDEX" in done.stderr
    assert "there are indexes/ix, indexes/other" in done.stderr
    assert len(json.loads(run("review", "list", "--index", "indexes/other", "--json", cwd=place).stdout)) == 2
    (place / "empty").mkdir()
    done = run("review", "list", cwd=place / "empty", code=2)
    assert "no index in indexes/ here has one" in done.stderr


def test_a_file_that_is_no_queue_is_one_line(place: Path) -> None:
    path = place / "indexes" / "ix" / "reviews.sqlite"
    for each in path.parent.glob("reviews.sqlite*"):
        each.unlink()
    path.write_bytes(b"no database at all, but long enough to be read as one" * 40)
    done = run("review", "list", cwd=place, code=1)
    assert done.stderr.startswith(
        "rag: the review queue cannot be used (DatabaseError: file is not a database)"
    )
    answered = run("ask", "indexes/ix", LEAVE, cwd=place)
    assert "28 days" in answered.stdout and "the answer was not queued for review (" in answered.stderr


def test_evaluation_queues_nothing(place: Path) -> None:
    (place / "prompts").mkdir()
    for name in "ab":
        (place / "prompts" / f"{name}@1.md").write_text(
            f"---\nname: {name}\nversion: 1\ncite: true\n---\nAnswer as {name} would.\n"
        )
    row = {"id": 1, "question": LEAVE, "gold": ["eu.md"]}
    (place / "g.jsonl").write_text(json.dumps(row) + "\n")
    done = run("eval", "indexes/ix", "g.jsonl", "--prompts", "a@1,b@1", cwd=place)
    assert "1 questions answered with each of 2 configurations" in done.stdout
    run("eval", "indexes/ix", "g.jsonl", "--answers", cwd=place)
    assert len(items(place, "--state", "any")) == 2
