"""The bar of a terminal: it fits any width, and nothing of a task's name is obeyed."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from rag.core.progress import Task, Update
from rag.notebook.progress.terminal import TerminalBar, bar_line

BUILD = Update(
    "build", 12_345, 29_151, "file", {"chunks": 512_345, "bytes": 81_000_000}, "chunks", 180.0, 245.0
)


@pytest.mark.parametrize(("width", "line"), [
    (120, "build " + "━" * 24 + " 12,345 of 29,151 files  4 min 5 s left  2,846 chunks/s  512,345 chunks  81.0 MB"),
    (80, "build " + "━" * 16 + " 12,345 of 29,151 files  4 min 5 s left  2,846 chunks/s"),
    (40, "build ━━━━━━ 12,345 of 29,151 files"),
])  # fmt: skip
def test_the_figures_that_fit_are_shown_the_most_important_first(width: int, line: str) -> None:
    assert bar_line(BUILD, width).plain == line


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("update", [
    BUILD, Update("", 0), Update("forget", 0, detail="searching every file for pieces of them"),
    Update("12 of 48: chunker.max_tokens=64 retriever.k=8 trimmer.strategy=sentences: questions", 3, 229, "question"),
    Update("日本語" * 30, 1, 2, "日本"), Update("a\x1b[2J\nb\u202e", 1, 2, "file"),
    Update("pull", 0, 10**13, "byte", {"files": 10**6}),
])  # fmt: skip
def test_no_line_is_wider_than_the_terminal_or_obeyed(update: Update, width: int) -> None:
    text = bar_line(update, width, since_s=5).plain
    assert cell_len(text) < width
    assert not {"\x1b", "\n", "\u202e"} & set(text)


def test_the_bar_grows_with_what_is_done() -> None:
    spans = [
        bar_line(Update("x", done, 8, "file"), 80, plain=True).plain.partition(" ")[2].split(" ")[0]
        for done in (0, 4, 8)
    ]
    assert spans == ["-" * 16, "#" * 8 + "-" * 8, "#" * 16]


def console(width: int, *, terminal: bool) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=width, color_system=None, legacy_windows=False
    )


def test_the_bar_goes_at_the_end_and_an_interruption_stays() -> None:
    shown = console(60, terminal=True)
    bar = TerminalBar(shown)
    with Task(bar, "build", of=4, unit="file") as task:
        task.show(2)
    first = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "build ━━━━━━━━━━━ " in first and " of 4 files" in first
    assert "\x1b[?25l" in first and "\x1b[?25h" in first and first.endswith("\x1b[1A\x1b[2K")  # cursor, line
    with pytest.raises(KeyboardInterrupt), Task(bar, "build", of=4, unit="file", kept="build again"):
        raise KeyboardInterrupt
    last = shown.file.getvalue().splitlines()[-1]  # type: ignore[attr-defined]
    assert "build interrupted: 0 of 4 files" in last and last.endswith("; build again")
