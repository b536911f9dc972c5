"""Versions that are held back: readers stay where they are until one is promoted, also if that is killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rag
from rag.core.errors import StoreMissingError, UsageError
from tests.command import run
from tests.conftest import ROOT
from tests.index.test_equality import found


def write(docs: Path, **texts: str) -> Path:
    docs.mkdir(exist_ok=True)
    for name, text in texts.items():
        (docs / f"{name}.md").write_text(f"# {name}\n\n{text}\n")
    return docs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An index of version 1, and version 2, which has a document more and is held back."""
    docs = write(tmp_path / "docs", leave="Staff take 28 days.")
    rag.build(docs, tmp_path / "ix", embedder="static")
    write(docs, sev="Anyone may declare a SEV-1.")
    report = rag.build(docs, tmp_path / "ix", embedder="static", hold=True)
    assert (report.version, report.held, report.files) == (2, True, 2)
    return tmp_path / "ix"


def states(path: Path) -> list[tuple[int, bool, bool]]:
    return [(each.number, each.current, each.held) for each in rag.Store(path).versions()]


def sound(path: Path) -> bool:
    check = rag.Store(path).verify()
    return (check.problems, check.orphans) == ((), ())


def test_readers_see_nothing_of_it_but_by_its_number(path: Path) -> None:
    assert states(path) == [(1, True, False), (2, False, True)]
    assert rag.Index.open(path).version == 1 and len(rag.Index.open(path, version=2)) == 2
    assert rag.Store(path).diff(1, 2).added == ("sev.md",)
    assert rag.Store(path).verify(2).sound and sound(path)


def test_a_promoted_version_is_the_one_that_was_held_back(path: Path) -> None:
    expected = found(rag.Index.open(path, version=2))
    assert rag.Store(path).promote(2, "the loss is wanted", "ann") == 2
    assert found(rag.Index.open(path)) == expected and sound(path)
    assert states(path) == [(1, False, False), (2, True, False)]
    assert rag.Store(path).versions()[1].why == "build, promoted by ann: the loss is wanted"
    with pytest.raises(StoreMissingError, match="holds back no version 2: none is held back"):
        rag.Store(path).promote(2)
    assert rag.Store(path).rollback(1) == 3


def test_what_became_current_meanwhile_is_not_lost(path: Path, tmp_path: Path) -> None:
    """A later version has a higher number; the one that was held back lacks its changes."""
    assert rag.Store(path).edit("source == 'leave.md'", {"year": 2024}) == 3
    with pytest.raises(UsageError, match="made before version 3, which is current, and lacks its changes"):
        rag.Store(path).promote(2)
    assert states(path) == [(1, False, False), (2, False, True), (3, True, False)]
    report = rag.build(tmp_path / "docs", path, embedder="static", hold=True)
    assert (report.version, report.added, report.embedded) == (4, 1, 0)  # its vectors are in the cache
    assert states(path) == [(1, False, False), (3, True, False), (4, False, True)]
    assert rag.Store(path).promote(4) == 4 and len(rag.Index.open(path)) == 2


def test_a_first_version_may_be_held_back(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", leave="Staff take 28 days.")
    assert rag.build(docs, tmp_path / "ix", embedder="static", hold=True).held
    with pytest.raises(StoreMissingError, match="there is no index"):
        rag.Index.open(tmp_path / "ix")
    assert states(tmp_path / "ix") == [(1, False, True)]
    rag.Store(tmp_path / "ix").promote(1)
    assert len(rag.Index.open(tmp_path / "ix")) == 1 and sound(tmp_path / "ix")


def test_nothing_is_held_back_where_nothing_changed(path: Path, tmp_path: Path) -> None:
    rag.Store(path).promote(2)
    report = rag.build(tmp_path / "docs", path, embedder="static", hold=True)
    assert (report.version, report.held) == (2, False)


def test_pruning_keeps_what_may_still_be_promoted(path: Path) -> None:
    assert rag.Store(path).prune(1) == []
    assert rag.Store(path).promote(2) == 2
    assert rag.Store(path).prune(1) == [1] and sound(path)


def test_pruning_deletes_what_may_not(path: Path) -> None:
    files = {file.name for file in (path / "segments").iterdir()}
    rag.Store(path).edit("source == 'leave.md'", {"year": 2024})
    assert rag.Store(path).prune(1) == [1, 2] and sound(path)
    assert {file.name for file in (path / "segments").iterdir()} < files
    assert len(rag.Index.open(path)) == 1


def test_it_cannot_be_rolled_back_to(path: Path) -> None:
    with pytest.raises(UsageError, match="version 2 was never current: `rag promote` makes it so"):
        rag.Store(path).rollback(2)


def test_the_commands(path: Path) -> None:
    lines = run("versions", path).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["*", "1"], ["-", "2"]]
    assert json.loads(run("versions", path, "--json").stdout)[1]["held"] is True
    assert "holds back no version 7: held back is 2" in run("promote", path, 7, code=2).stderr
    assert run("promote", path, 2, "--because", "seen").stdout.strip().endswith("version 2 is current now")
    assert "promoted by " in run("versions", path).stdout


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
import rag
what, docs, old, work = sys.argv[1], *map(Path, sys.argv[2:])
WRITES = {"os.rename", "os.mkdir", "os.link", "os.truncate", "os.remove", "os.rmdir"}
for moment in range(0, 1000, 1 if what == "promote" else 4):
    path = work / f"{moment:03d}"
    shutil.copytree(old, path)
    child = os.fork()
    if not child:
        seen = 0
        def hook(event, arguments):
            global seen
            write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (event in WRITES or write) and "cache.sqlite" not in str(arguments[0]):
                seen += 1
                if seen > moment:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        try:
            if what == "promote":
                rag.Store(path).promote(2, "why", "ann")
            else:
                rag.build(docs, path, embedder="static", hold=True)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        print(moment, os.waitstatus_to_exitcode(status))
        break
"""


def killed(what: str, docs: Path, old: Path, work: Path) -> list[Path]:
    """Do a step, killed before each of its writes in turn; return the indexes that this leaves."""
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, what, docs, old, work], capture_output=True, text=True, timeout=300, cwd=ROOT
    )  # fmt: skip
    moments, code = map(int, done.stdout.split())
    assert code == 0, done.stderr
    assert moments
    return sorted(work.iterdir())


@pytest.mark.slow
def test_a_promotion_that_is_killed_leaves_the_old_version_or_the_new_one(path: Path, tmp_path: Path) -> None:
    old, new = found(rag.Index.open(path)), found(rag.Index.open(path, version=2))
    left = killed("promote", tmp_path / "docs", path, tmp_path / "work")
    assert len(left) > 5
    versions = set()
    for index in left:
        opened = rag.Index.open(index)
        versions.add(opened.version)
        assert found(opened) == (old if opened.version == 1 else new)
        if opened.version == 1:
            rag.Store(index).promote(2)
        assert found(rag.Index.open(index)) == new
        assert rag.Index.open(index).version == 2 and sound(index)
        assert [number for number, current, _ in states(index) if current] == [2]
        rag.Store(index).prune(2)
        assert sound(index) and states(index) == [(1, False, False), (2, True, False)]
    assert versions == {1, 2}


@pytest.mark.slow
def test_a_build_that_is_killed_leaves_readers_where_they_are(path: Path, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", more="A third text.")
    old = found(rag.Index.open(path))
    left = killed("build", docs, path, tmp_path / "work")
    assert len(left) > 5
    held = set()
    for index in left:
        assert found(rag.Index.open(index)) == old
        held |= {number for number, _, waits in states(index) if waits}
        again = rag.build(docs, index, embedder="static", hold=True)
        rag.Store(index).promote(again.version)
        assert len(rag.Index.open(index)) == 3
        shutil.rmtree(index)
    assert held == {2, 3}
