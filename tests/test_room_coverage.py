"""The table of coverage by room."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.room_coverage import main


def report(path: Path, **files: tuple[int, int, int, int]) -> str:
    names = ("num_statements", "covered_lines", "num_branches", "covered_branches")
    made = {
        name.replace("__", "/") + ".py": {"summary": dict(zip(names, counts, strict=True))}
        for name, counts in files.items()
    }
    path.write_text(json.dumps({"files": made}), encoding="utf-8")
    return str(path)


def test_a_room_is_the_sum_of_its_files_and_lines_count_as_branches_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = report(
        tmp_path / "c.json", rag__core__a=(90, 90, 0, 0), rag__core__b=(6, 3, 4, 2), rag__pipeline=(10, 10, 10, 10),
        rag__cli__main=(100, 0, 0, 0),
    )  # fmt: skip
    assert main(path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["pipeline", "10/10", "10/10", "100.0%"]
    assert lines[2].split() == ["core", "93/96", "2/4", "95.0%"]
    assert len(lines) == 3


def test_a_room_below_the_least_fails_and_so_does_a_report_of_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(report(tmp_path / "c.json", rag__usage__a=(100, 94, 0, 0))) == 1
    assert capsys.readouterr().out.endswith("below 95 %: usage\n")
    assert main(report(tmp_path / "c.json", rag__cli__main=(1, 1, 0, 0))) == 1
