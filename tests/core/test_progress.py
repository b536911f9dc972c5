"""How far long work is: what is reported of it, and how it ended."""

from __future__ import annotations

from pathlib import Path

import pytest

import rag
from rag.core.errors import UsageError
from rag.core.progress import Task, Update, tracked, within
from tests.conftest import HANDBOOK


@pytest.mark.parametrize(("update", "text"), [
    (Update("build", 12, 40, "file", {"chunks": 345}, "chunks", 3.0, 7.0),
     "build: 12 of 40 files, 7 s left, 115 chunks/s, 345 chunks"),
    (Update("push", 2_000_000, 7_300_000, "byte", {"files": 1}, seconds=4.0, left_s=0.2),
     "push: 2.0 MB of 7.3 MB, under 1 s left, 500.0 kB/s, 1 file"),
    (Update("batch", 3, 100, "", detail="batch jobs: 1 InProgress"), "batch: batch jobs: 1 InProgress, 3 of 100"),
    (Update("questions", 1, 1, "question", seconds=2.5, state="done"), "questions: 1 of 1 question, 2.5 s"),
    (Update("build", 2, 4, "file", seconds=1.0, state="interrupted", kept="build again"),
     "build interrupted: 2 of 4 files, 1.0 s; build again"),
    (Update("answers", 2, 4, "answer", seconds=7200.0, left_s=7200.0), "answers: 2 of 4 answers, 2 h left"),
    (Update("forget", 0), "forget"),
])  # fmt: skip
def test_an_update_is_a_line(update: Update, text: str) -> None:
    assert str(update) == text


@pytest.mark.parametrize(
    ("done", "of", "share"), [(1, 4, 0.25), (5, 4, 1.0), (-1, 4, 0.0), (0, 0, 1.0), (3, None, None)]
)
def test_a_share_lies_between_nothing_and_all(done: int, of: int | None, share: float | None) -> None:
    assert Update("x", done, of).share == share


def test_a_task_tells_its_beginning_each_step_and_its_end() -> None:
    seen: list[Update] = []
    with Task(seen.append, "questions", of=3, unit="question", kept="ask again") as task:
        task.show(1)
        task.show(2, chunks=7)
    assert [(each.done, each.of, each.state) for each in seen] == [
        (0, 3, "running"), (1, 3, "running"), (2, 3, "running"), (3, 3, "done"),
    ]  # fmt: skip
    assert dict(seen[-1].counts) == {"chunks": 7}


@pytest.mark.parametrize(("error", "state"), [
    (KeyboardInterrupt, "interrupted"), (ValueError, "failed"), (GeneratorExit, "done"),
])  # fmt: skip
def test_a_task_tells_how_it_ended(error: type[BaseException], state: str) -> None:
    seen: list[Update] = []
    with pytest.raises(error), Task(seen.append, "build", of=3) as task:
        task.show(1)
        raise error
    assert (seen[-1].state, seen[-1].done) == (state, 1)


def test_what_a_progress_raises_ends_the_work_and_hides_no_reason() -> None:
    def stop(update: Update) -> None:
        raise RuntimeError(f"stopped at {update.done:.0f}, {update.state}")

    with pytest.raises(RuntimeError, match=r"^stopped at 0, running$"), Task(stop, "build"):
        pass
    told = 0

    def late(update: Update) -> None:
        nonlocal told
        told += 1
        if update.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(tracked(late, "items", ["a", "b", "c"], "item"))
    assert told == 3  # the beginning, the first item, and once more how it ended


def test_a_thread_that_is_late_reports_nothing_after_the_end() -> None:
    seen: list[Update] = []
    with Task(seen.append, "push") as task:
        pass
    task.show(5)
    assert [each.state for each in seen] == ["running", "done"]


def test_items_are_counted_once_they_are_done() -> None:
    seen: list[Update] = []
    told = within(seen.append, "1 of 2")
    assert list(tracked(told, "items", ["a", "b"], "item")) == ["a", "b"]
    assert [str(each).partition(",")[0] for each in seen] == [
        "1 of 2: items: 0 of 2 items", "1 of 2: items: 1 of 2 items", "1 of 2: items: 2 of 2 items",
    ]  # fmt: skip
    assert within(None, "1 of 2") is None


def test_the_time_left_follows_the_speed_of_late(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    seen: list[Update] = []
    with Task(seen.append, "embed", of=1000) as task:
        now = 101.0
        task.show(900)  # from the cache
        for _ in range(60):
            now += 1
            task.show(seen[-1].done + 1)
        assert seen[-1].left_s == pytest.approx(40, rel=0.05)  # 40 items, of which one takes a second


def test_what_cannot_be_called_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^progress is True: pass rag\.progress_bar\(\)"):
        rag.build(HANDBOOK, tmp_path / "ix", progress=True)  # type: ignore[arg-type]
    assert not (tmp_path / "ix" / "CURRENT").exists()


def test_a_build_reports_files_chunks_and_what_it_does(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.md").write_text(f"# Leave {number}\n\nStaff take {20 + number} days of leave.\n")
    seen: list[Update] = []
    report = rag.build(folder, tmp_path / "ix", embedder="static", progress=seen.append)
    assert {each.task for each in seen} == {"build"}
    assert [each.detail for each in seen if each.detail] == ["comparing files", "writing the index"]
    assert (seen[-1].done, seen[-1].of, seen[-1].state) == (3, 3, "done")
    assert seen[-1].counts["chunks"] == report.chunks and seen[-1].kept.startswith("readers keep")
    planned: list[Update] = []
    rag.plan(folder, tmp_path / "other", embedder="static", progress=planned.append)
    assert (planned[-1].task, planned[-1].done, planned[-1].counts["chunks"]) == ("plan", 3, report.chunks)
    unchanged: list[Update] = []
    rag.build(folder, tmp_path / "ix", embedder="static", progress=unchanged.append)
    assert unchanged[-1].state == "done"


def test_an_interrupted_build_says_what_is_kept_and_goes_on(tmp_path: Path) -> None:
    seen: list[Update] = []

    def stop(update: Update) -> None:
        seen.append(update)
        if update.done >= 1 and update.state == "running":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rag.build(HANDBOOK, tmp_path / "ix", embedder="static", progress=stop)
    assert seen[-1].state == "interrupted"
    assert "texts that were embedded are kept: build again to go on" in str(seen[-1])
    again = rag.build(HANDBOOK, tmp_path / "ix", embedder="static")
    assert 0 < again.embedded < rag.build(HANDBOOK, tmp_path / "new", embedder="static").embedded
