"""Progress of commands: a bar on a terminal's standard error, nothing in a log or with --quiet."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from rag.cli import main, output
from rag.cli.interrupts import message


class Screen(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.md").write_text(f"# Leave {number}\n\nStaff take {20 + number} days of leave.\n")
    return folder


def errors_of(monkeypatch: pytest.MonkeyPatch, words: list[str], stream: io.StringIO) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("sys.argv", ["rag", *words])
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(
        output, "_ERR", output._SafeConsole(stderr=True, highlight=False)
    )  # as at a start here
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 0
    return stream.getvalue()


def test_a_terminal_gets_a_bar_that_goes_again(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["build", str(docs), str(docs.parent / "ix"), "--embedder", "static"]
    shown = errors_of(monkeypatch, words, Screen())
    assert "build" in shown and "━" in shown
    assert shown.endswith("\x1b[1A\x1b[2K")  # the cursor goes up, and the line is cleared


@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_quiet_draws_none(docs: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    words = ["build", str(docs), str(docs.parent / "ix"), "--embedder", "static", option]
    assert errors_of(monkeypatch, words, Screen()) == ""
    assert "━" in errors_of(
        monkeypatch, [*words[:-1], "--rebuild"], Screen()
    )  # the next command is asked anew


def test_a_log_gets_none(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["plan", str(docs), str(docs.parent / "ix"), "--embedder", "static"]
    assert errors_of(monkeypatch, words, io.StringIO()) == ""


def test_what_an_interruption_leaves_is_said_once_by_the_command_line() -> None:
    assert message(["build", "docs", "ix"]).startswith("interrupted: readers keep the version they have")
