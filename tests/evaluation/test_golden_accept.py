"""Drafts are accepted one by one; the file is replaced as a whole."""

from __future__ import annotations

import datetime as dt
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import SourceError, UsageError
from rag.evaluation import read
from rag.evaluation.golden_accept import accept

AT = dt.datetime(2026, 3, 1, 10, 30, tzinfo=dt.timezone(dt.timedelta(hours=1)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "drafts.jsonl"
    path.write_text(
        '{"id": "a",  "question": "How long?", "gold": ["é.md"], "draft": true, "mine": 1}\n'
        '{"id": "b",  "question": "Why?", "gold": ["b.md"], "draft": true}\r\n\n'
        '{"id": "c",  "question": "Who?",  "gold": ["c.md"]}\n'
        '{"id": "d",  "question": "Where?", "draft": true}\n'
        '{"id": "e",  "question": "When?", "draft": true, "answerable": false}',
        encoding="utf-8",
    )
    return path


def test_accepted_drafts_say_who_and_when_and_other_lines_keep_every_byte(path: Path) -> None:
    path.chmod(0o640)
    before = path.read_bytes().split(b"\n")
    accept(path, ["a", "b", "e", "a"], " Ann ", at=AT)
    after = path.read_bytes().split(b"\n")
    assert [n for n, text in enumerate(after) if text != before[n]] == [0, 1, 5]
    assert len(after) == len(before)
    row: dict[str, Any] = json.loads(after[0])
    assert row == {
        "id": "a", "question": "How long?", "gold": ["é.md"], "mine": 1, "accepted_by": "Ann",
        "accepted_at": "2026-03-01T09:30:00Z",
    }  # fmt: skip
    assert "é.md".encode() in after[0] and after[1].endswith(b"\r")
    assert [question.id for question in read(path)] == ["a", "b", "c", "e"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in path.parent.iterdir()] == ["drafts.jsonl"]


@pytest.mark.parametrize(
    ("ids", "by", "message"),
    [
        (["a", "x"], "Ann", "has no question 'x': check the id"),
        (["c"], "Ann", "line 4: 'c' is no draft: leave it out"),
        (["a", "d"], "Ann", "line 5: 'd' does not say what answers it: add \"evidence\""),
        (["a"], " ", "who accepts is not said"),
    ],
)
def test_what_cannot_be_accepted_changes_nothing(path: Path, ids: list[str], by: str, message: str) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageError, match=message):
        accept(path, ids, by)
    assert path.read_bytes() == before


def test_an_id_that_is_nearly_right_is_named(tmp_path: Path) -> None:
    path = tmp_path / "drafts.jsonl"
    path.write_text('{"id": "draft-1f0c2a9b3d", "question": "x", "gold": ["a"], "draft": true}\n')
    with pytest.raises(UsageError, match="did you mean 'draft-1f0c2a9b3d'"):
        accept(path, ["draft-1f0c2a9b3e"], "Ann")


def test_a_file_that_another_command_writes_is_left_alone(path: Path) -> None:
    (path.parent / "drafts.jsonl.new").write_text("of another command")
    before = path.read_bytes()
    with pytest.raises(SourceError, match=r"drafts.jsonl.new exists: another command is writing"):
        accept(path, ["a"], "Ann")
    assert path.read_bytes() == before
    assert (path.parent / "drafts.jsonl.new").read_text() == "of another command"


def test_a_change_meanwhile_is_not_overwritten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    synced = os.fsync

    def changed_while_writing(handle: int) -> None:
        synced(handle)
        with path.open("a") as file:
            file.write('\n{"id": "f", "question": "x", "gold": ["f"]}')

    monkeypatch.setattr(os, "fsync", changed_while_writing)
    with pytest.raises(SourceError, match="has changed meanwhile: run the command again"):
        accept(path, ["a"], "Ann")
    assert [question.id for question in read(path)][-1] == "f"
    assert not (path.parent / "drafts.jsonl.new").exists()
