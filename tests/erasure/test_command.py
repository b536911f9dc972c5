"""``rag forget``: it shows what would go, asks, erases, checks, and lets builds read a file again."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import rag
from tests.command import run
from tests.conftest import ROOT
from tests.erasure.conftest import SECRET, files_with


def test_it_shows_what_would_go_and_erases_nothing_without_yes(path: Path) -> None:
    done = run("forget", path, "--source", "jane.md", code=2)
    assert done.stderr == "rag: nothing was erased: add --yes to erase it, or --dry-run to only look\n"
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        f"{path}: 1 document would be erased", "  jane.md",
        "index: 1 chunk of the current version, 2 rows in all; to rewrite: versions 1, 2, 3, 4",
        f"3 vectors: {path}/cache.sqlite",
    ]  # fmt: skip
    assert any(line.startswith("  source files, which are still there: ") for line in lines)
    assert run("forget", path, "--source", "jane.md", "--dry-run").stdout == done.stdout
    assert rag.Index.open(path).version == 4


def test_it_erases_with_yes_and_says_what_is_left(path: Path, docs: Path) -> None:
    done = run("forget", path, "--source", "jane.md", "--yes")
    assert f"{path}: 1 document erased" in done.stdout and "version 5 is current" in done.stdout
    assert f"no piece of their texts is left in {path} and its stores" in done.stdout
    assert files_with(path, "Zaphira") == []
    assert "1 file is left out as forgotten (jane.md)" in run("build", docs, path).stderr
    assert "nothing is left (the name and pieces of 48 bytes of the text)" in (
        run("forget", path, "--check", "--source", "jane.md").stdout
    )
    (path / "notes.txt").write_text(SECRET)
    done = run("forget", path, "--check", docs / "jane.md", code=1)
    assert f"  {path}/notes.txt: a piece of a text is in it\n" in done.stdout
    assert "1 place" in done.stdout
    done = run("forget", path, "--source", "jane.md", "--yes", code=1)
    assert f"left: {path}/notes.txt: a piece of a text is in it" in done.stdout
    assert run("forget", path, "--allow", "jane.md").stdout == f"{path}: builds read jane.md again\n"
    assert "1 added" in run("build", docs, path).stdout


def test_json(path: Path) -> None:
    planned = json.loads(run("forget", path, "--where", "'Quennel' in owner", "--dry-run", "--json").stdout)
    assert (planned["documents"], planned["done"], planned["rows"]) == (["jane.md"], False, 2)
    report = json.loads(run("forget", path, "--where", "'Quennel' in owner", "--yes", "--json").stdout)
    assert (report["version"], report["done"], report["remains"]) == (5, True, [])
    assert report["stores"] == [{"kind": "vectors", "place": f"{path}/cache.sqlite", "count": 3}]
    checked = json.loads(run("forget", path, "--check", "--source", "jane.md", "--json").stdout)
    assert checked["remains"] == []


def test_wrong_usage_is_one_line(path: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((path,), "say what to forget: a source (--source NAME) or a filter (--where FILTER)"),
        ((path, "--source", "jan.md"), f"jan.md is no source of {path}: did you mean 'jane.md'?"),
        ((path, "--check"), "--check looks for --source NAME, or for the text of --check FILE: name one"),
        ((path, "--allow", "a", "--source", "jane.md"), "--allow stands alone: it erases nothing"),
        ((tmp_path / "no", "--source", "a"), f"there is no index in {tmp_path}/no"),
        ((path, "--source", "jane.md", "--file", "no.jsonl"), "no.jsonl is no file"),
        ((path, "--check", tmp_path / "no.md"), "no.md"),
    ):
        done = run("forget", *arguments, code=2)
        assert done.stderr.startswith("rag: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_at_a_terminal_it_asks(path: Path) -> None:
    for answer, left in (("n", True), ("y", False)):
        handle, other = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "rag", "forget", str(path), "--source", "jane.md"],
            stdin=other, stdout=other, stderr=other, cwd=ROOT,
        )  # fmt: skip
        os.close(other)
        seen = b""
        while b"Erase this? [y/N]" not in seen:
            seen += os.read(handle, 4096)
        os.write(handle, f"{answer}\n".encode())
        while True:
            try:
                if not os.read(handle, 4096):
                    break
            except OSError:  # the other side is closed
                break
        process.wait(60)
        os.close(handle)
        assert bool(files_with(path, "Zaphira")) == left
