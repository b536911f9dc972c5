"""The file in which a batch keeps its questions and replies."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.answer_batches.journal import Journal
from rag.core.errors import StoreCorruptError


def test_a_journal_drops_the_line_that_was_being_written_and_refuses_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "replies"
    with Journal(path) as journal:
        journal.append("a", {"text": "å\n"})
        journal.append("b", {"text": "two"})
    path.write_bytes(path.read_bytes() + b'c\t{"text": "thr')
    with Journal(path) as journal:
        assert list(journal) == ["a", "b"] and journal["a"] == {"text": "å\n"}
        journal.append("c", {"text": "three"})
    with Journal(path) as journal:
        assert [journal[key]["text"] for key in journal] == ["å\n", "two", "three"]
    path.write_bytes(path.read_bytes().replace(b'"two"', b"two"))
    with Journal(path) as journal, pytest.raises(StoreCorruptError, match="replies is damaged: stop"):
        assert journal["b"]
    path.write_bytes(b"no record\n")
    with pytest.raises(StoreCorruptError, match="is damaged"):
        Journal(path)
