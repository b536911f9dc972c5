"""The bar of a notebook: one output that is drawn in place, at a bounded rate, in which nothing is markup."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("IPython")
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import RichOutput, capture_output

import rag
from rag.core.progress import Task, Update
from rag.notebook.progress import cell
from rag.notebook.progress.cell import CellBar, bar_html
from tests.notebook.objects import HOSTILE, markup


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    made = InteractiveShell.instance()
    yield made
    InteractiveShell.clear_instance()


def outputs(shell: InteractiveShell, run: object) -> list[RichOutput]:
    with capture_output() as caught:
        run()  # type: ignore[operator]
    return list(caught.outputs)


def test_one_output_is_drawn_in_place(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell, "EVERY_S", 0.0)
    bar = CellBar()

    def work() -> None:
        for name in ("index", "questions"):
            with Task(bar, name, of=2, unit="file") as task:
                task.show(1)

    drawn = outputs(shell, work)
    assert [each.update for each in drawn] == [False, True, True, True, True, True]
    assert len({each.transient["display_id"] for each in drawn}) == 1
    assert "questions: 2 of 2 files" in drawn[-1].data["text/plain"]
    shell.execution_count += 1
    assert next(each.update for each in outputs(shell, work)) is False  # another cell has a bar of its own


def test_it_is_drawn_so_often_and_no_more(shell: InteractiveShell) -> None:
    def work() -> None:
        with Task(CellBar(), "build", of=1000, unit="file") as task:
            for number in range(1000):
                task.show(number)

    drawn = outputs(shell, work)
    assert len(drawn) < 100
    assert 'aria-valuenow="100"' in drawn[-1].data["text/html"]


def test_an_interruption_says_what_is_kept(shell: InteractiveShell) -> None:
    def work() -> None:
        with (
            pytest.raises(KeyboardInterrupt),
            Task(CellBar(), "build", of=2, unit="file", kept="build again"),
        ):
            raise KeyboardInterrupt

    html = outputs(shell, work)[-1].data["text/html"]
    assert "interrupted at 0 of 2 files" in html and '<p class="warn">build again</p>' in html


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_task_is_markup_or_obeyed(text: str) -> None:
    html = bar_html(Update(text, 1, 2, text, {text: 3}, detail=text, state="interrupted", kept=text))
    assert "mathjax_ignore" in html
    markup(html)


def test_a_log_gets_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Task(rag.progress_bar(), "build", of=2, unit="file") as task:
        task.show(1)
    assert capsys.readouterr() == ("", "")
