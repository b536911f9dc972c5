"""Killed before any of its writes, an erasure leaves an index that can be read, and is completed by the next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rag
from rag.receipts.store import ReceiptStore
from tests.conftest import ROOT
from tests.erasure.conftest import files_with, write
from tests.index.test_equality import found
from tests.scale import scale

KILLED = """
import os, shutil, signal, sys
from pathlib import Path
import rag
old, work, step = *map(Path, sys.argv[1:3]), int(sys.argv[3])
settings = {"receipts": True, "telemetry": {"path": "calls.jsonl", "texts": True}}
WRITES = {"os.rename", "os.mkdir", "os.link", "os.truncate", "os.remove", "os.rmdir", "sqlite3.connect"}
for moment in range(0, 1000, step):
    path = work / f"{moment:03d}"
    shutil.copytree(old, path)
    child = os.fork()
    if not child:
        os.chdir(path)
        seen = 0
        def hook(event, arguments):
            global seen
            write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (event in WRITES or write) and "/dev/null" not in str(arguments[0]):
                seen += 1
                if seen > moment:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        try:
            report = rag.forget("ix", "jane.md", settings=settings)
            assert report.remains == (), report
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        print(moment, os.waitstatus_to_exitcode(status))
        break
"""


@pytest.mark.slow
@pytest.mark.soak
def test_an_erasure_that_is_killed_is_completed_by_the_next(
    path: Path, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(docs, **{"more.md": "# More\n\nA text that waits for its gate.\n"})
    rag.build(docs, path, hold=True)
    monkeypatch.chdir(tmp_path)
    settings = {"receipts": True, "telemetry": {"path": "calls.jsonl", "texts": True}}
    pipe = rag.Pipeline("ix", settings=settings)
    assert "71,300" in pipe.ask("What was Zaphira Quennel paid for the settlement?").text
    old = tmp_path / "old"
    old.mkdir()
    for name in ("ix", "calls.jsonl"):
        (tmp_path / name).rename(old / name)
    (tmp_path / "work").mkdir()
    step = scale(19, 1)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, old, tmp_path / "work", str(step)], capture_output=True, text=True,
        timeout=500, cwd=ROOT,
    )  # fmt: skip
    moments, code = map(int, done.stdout.split())
    assert code == 0, done.stderr
    left = sorted((tmp_path / "work").iterdir())
    assert len(left) == moments // step + 1 > 6
    expected = found(rag.Index.open(left[-1] / "ix"))
    states = set()
    for number, folder in enumerate(left[:-1]):
        monkeypatch.chdir(folder)
        index = folder / "ix"
        for version in rag.Store(index).versions():  # every version can be read, and is whole
            assert version.error == "" and rag.Store(index).verify(version.number).problems == ()
        there = rag.Index.open(index).count("source == 'jane.md'")
        pending = (index / "forgetting.json").exists()
        states.add((there, pending))
        # Completed by naming it again, or by naming nothing where it had begun.
        report = rag.forget(index, () if pending and number % 2 else "jane.md", settings=settings)
        assert report.remains == (), (folder, report.remains)
        assert files_with(folder, "Zaphira", "Brevik", "Tromsdal", "71,300", "jane.md") == [], folder
        assert found(rag.Index.open(index)) == expected
        check = rag.Store(index).verify()
        assert (check.problems, check.orphans) == ((), ())
        assert list(ReceiptStore(index / "receipts.sqlite").all()) == []
        assert rag.build(docs, index).files == 5
    assert states >= {(1, False), (0, True)}
