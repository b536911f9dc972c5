"""An older index is built on, upgraded from the command line, and upgraded by a process that is killed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rag
from rag.building.upgrade import upgrade
from rag.core.errors import StoreMismatchError
from rag.loading.base import BuildLoader
from tests import command
from tests.index.formats.parts import Paragraphs, Words
from tests.index.upgraded import FORMATS, ROOT, assert_same, contents, copied, found

# ---------------------------------------------------------------------- building on


def test_a_build_upgrades_first_and_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BuildLoader, "version", 2)  # as when the fixture was made
    path, source = copied("2-words", tmp_path), tmp_path / "files"
    shutil.copytree(FORMATS / "files" / "2", source)
    settings = {"embedder": Words(), "chunker": Paragraphs()}
    before = contents(path)
    assert rag.plan(source, path, **settings).unchanged == 5
    assert contents(path) == before
    report = rag.build(source, path, **settings)
    assert (report.version, report.embedded, report.unchanged) == (3, 0, 5)
    assert report.notes[0] == "upgraded from format 2 to 3 first (version 3)"
    (source / "visitors.md").write_text("# Visitors\n\nVisitors bring a badge.\n")
    report = rag.build(source, path, **settings)
    assert (report.version, report.changed, report.unchanged) == (4, 1, 4)
    assert not any("upgraded" in note for note in report.notes)
    rag.build(source, tmp_path / "fresh", **settings)
    assert_same(rag.Index.open(path, embedder=Words()), rag.Index.open(tmp_path / "fresh", embedder=Words()))


@pytest.mark.parametrize("name", ["1", "2"])
def test_chunks_of_an_older_chunker_are_searched_but_not_built_on(name: str, tmp_path: Path) -> None:
    path, source = copied(name, tmp_path), FORMATS / "files" / "2"
    before = contents(path)
    for use in (rag.build, rag.plan):
        with pytest.raises(
            StoreMismatchError, match=r"was chunked by an older rag .* cannot be mixed: build again"
        ) as caught:
            use(source, path)
        assert str(caught.value).endswith(f"; `rag upgrade {path}` makes it searchable as it is")
    assert contents(path) == before
    assert "an older rag cut its chunks (loader/" in upgrade(path).notes[0]
    assert rag.Index.open(path).search("restore a backup", k=1)[0].source == "backup.md"
    with pytest.raises(StoreMismatchError, match="build again with --rebuild") as caught:
        rag.build(source, path)
    assert "rag upgrade" not in str(caught.value)


def test_a_rebuild_of_an_older_index_pays_for_nothing_twice(tmp_path: Path) -> None:
    path = copied("2", tmp_path)
    report = rag.build(FORMATS / "files" / "2", path, embedder="static", rebuild=True)
    assert (report.version, report.embedded) == (3, 0)
    check = rag.Store(path).verify()
    assert (check.problems, check.orphans) == ((), ())


COUNT = """
import sys, rag
from pathlib import Path
read = []
def hook(event, arguments):
    if event == "open" and "/manifests/" in str(arguments[0]) and str(arguments[0]).endswith(".json"):
        read.append(Path(arguments[0]).name)
source, path = sys.argv[1:]
rag.build(source, path, embedder="static")
sys.addaudithook(hook)
for text in ("# New\\n\\nA new text.", "# New\\n\\nA newer text.", None):
    read.clear()
    if text:
        Path(source, "new.md").write_text(text)
    report = rag.build(source, path, embedder="static")
    print(report.version, *read)
read.clear()
rag.Store(path).compact()
print(*read)
"""


def test_a_build_reads_one_manifest(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\nSome text.")
    done = subprocess.run(
        [sys.executable, "-c", COUNT, tmp_path / "docs", tmp_path / "ix"], capture_output=True, text=True, check=True
    )  # fmt: skip
    # Once to read it, and once as text under the lock, to see that it is the current one still.
    assert done.stdout.splitlines()[:3] == ["2 000001.json 000001.json", "3 000002.json 000002.json",
                                            "3 000003.json 000003.json"]  # fmt: skip
    # Merging looks into every version for files that none of them names any more.
    assert done.stdout.splitlines()[3].split() == ["000003.json", "000001.json", "000002.json"]


# ---------------------------------------------------------------------- the command


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return command.run(*arguments, code=None, cwd=ROOT)


def test_the_command(tmp_path: Path) -> None:
    path = copied("2", tmp_path)
    done = run("upgrade", path)
    assert done.returncode == 0, done.stderr
    assert f"{path}: version 3, format 3 (was 2), 16 chunks" in " ".join(done.stdout.split())
    assert "note: an older rag cut its chunks" in " ".join(done.stderr.split())
    done = run("upgrade", path, "--json")
    assert {**json.loads(done.stdout), "seconds": 0} == {
        "index": str(path), "version": 3, "before": 3, "format": 3, "chunks": 16, "embedded": 0, "seconds": 0, "notes": [],
    }  # fmt: skip
    assert "there is nothing to upgrade" in " ".join(run("upgrade", path).stdout.split())


def test_the_command_takes_the_name_of_an_embedder(tmp_path: Path) -> None:
    path = copied("1-first", tmp_path)
    done = run("upgrade", path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "name that embedder with --embedder" in done.stderr
    done = run("upgrade", path, "--embedder", "tests.index.formats.parts:Words", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["embedded"] == 12


# ---------------------------------------------------------------------- killed

KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from rag.building.upgrade import upgrade
old, work = map(Path, sys.argv[1:])
WRITES = {"os.rename", "os.mkdir", "os.link", "os.truncate", "os.remove", "os.rmdir"}
for moment in range(1000):
    path = work / f"{moment:03d}"
    shutil.copytree(old, path)
    child = os.fork()
    if not child:
        seen = 0
        def hook(event, arguments):
            global seen
            write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in WRITES or write:
                seen += 1
                if seen > moment:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        try:
            upgrade(path)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        print(moment, os.waitstatus_to_exitcode(status))
        break
"""


def test_killed_before_any_of_its_writes_an_upgrade_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, FORMATS / "1", tmp_path], capture_output=True, text=True, timeout=300, cwd=ROOT
    )  # fmt: skip
    moments, code = map(int, done.stdout.split())
    assert code == 0, done.stderr
    assert moments > 25
    old = contents(FORMATS / "1")
    expected = found(rag.Index.open(tmp_path / f"{moments:03d}"))
    whole = 0
    for moment in range(moments):
        path = tmp_path / f"{moment:03d}"
        left = contents(path)
        if left["CURRENT"] == old["CURRENT"]:
            assert {key: left[key] for key in old if key != "LOCK"} == {
                k: v for k, v in old.items() if k != "LOCK"
            }
        else:
            whole += 1
            assert found(rag.Index.open(path)) == expected
        assert upgrade(path).version == 3
        check = rag.Store(path).verify()
        assert (check.problems, check.orphans) == ((), ())
        assert found(rag.Index.open(path)) == expected
    assert 0 < whole < 5, "the pointer is swapped at the end"
