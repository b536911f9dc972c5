"""JSON-lines files are read alike by every command, with the line's number in every error."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.core.errors import SourceError
from rag.core.json_lines import read_json_lines


def read(path: Path, data: bytes) -> list[tuple[str, object]]:
    path.write_bytes(data)
    return list(read_json_lines(path, '{"a": …}', "the table"))


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = read(path, '\ufeff{"a": "one\u2028two\u0085\x7fthree"}\r\n \n["b"]'.encode())
    assert rows == [(f"{path}, line 1", {"a": "one\u2028two\u0085\x7fthree"}), (f"{path}, line 3", ["b"])]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1}\n\n{"a": \n', 'PATH, line 3 is not JSON (Expecting value: line 1 column 7 (char 6)): write {"a": …}'),
        (b'"\xff"', "cannot read the table PATH: it is not UTF-8"),
    ],
    ids=["a broken line", "not UTF-8"],
)  # fmt: skip
def test_an_error_names_the_file_and_the_line(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(SourceError) as failure:
        read(path, data)
    assert str(failure.value) == reason.replace("PATH", str(path))


def test_nesting_without_end_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="line 1 is not JSON"):
        read(tmp_path / "a.jsonl", b"[" * 200_000)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.jsonl"
    with pytest.raises(SourceError) as failure:
        list(read_json_lines(path, "{}"))
    assert str(failure.value) == f"cannot read {path}: No such file or directory"
