"""A file that misbehaves costs only itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import rag
from tests.loading.files import bomb, workers_alive, write


@pytest.mark.parametrize(
    ("parser", "reason"),
    [
        ("hang", "took more than 8 s to parse"),
        ("spin", "took more than 8 s to parse"),
        ("swell", "needs more than 512 MB to parse"),
        ("flood", "yields 10000000 characters"),
        ("clutter", "yields more text and structure than 1000000 characters can have"),
        ("crash", "crashed its parser (exit status -11)"),
        ("leave", "crashed its parser (exit status 7)"),
        ("forge", "made its parser send a reply that is not valid"),
        ("fail", "cannot be parsed (ZeroDivisionError: its own fault)"),
    ],
)
def test_a_parser_that_misbehaves_costs_its_file_alone(tmp_path: Path, parser: str, reason: str) -> None:
    root = write(tmp_path, **{"a.html": "<p>before</p>", "b.bad": "x", "c.html": "<p>behind</p>"})
    loader = rag.Loader(
        root, parsers={".bad": f"tests.parsers:{parser}"}, workers=1,
        limits={"timeout_s": 8 if "8 s" in reason else 30, "memory_mb": 512, "max_chars": 1_000_000},
    )  # fmt: skip
    assert [d.page_content for d in loader.load()] == ["before", "behind"]
    [(source, error)] = loader.quarantined
    assert (source, error.reason) == ("b.bad", reason)
    assert error.advice
    assert workers_alive() == []


def test_a_worker_that_no_longer_reads_is_killed(tmp_path: Path) -> None:
    root = write(tmp_path, **{"a.bad": "x", "b.html": "<p>long</p>" * 100_000, "c.html": "<p>behind</p>"})
    loader = rag.Loader(root, parsers={".bad": "tests.parsers:halt"}, workers=1, limits={"timeout_s": 8})
    assert [document.page_content for document in loader.load()] == ["answered", "behind"]
    [(source, error)] = loader.quarantined
    assert (source, error.reason) == ("b.html", "took more than 8 s to parse")
    assert workers_alive() == []


def test_a_module_lying_among_the_documents_is_not_run(tmp_path: Path) -> None:
    root = write(
        tmp_path / "docs",
        **{"a.html": "<p>words</p>", "lxml.py": "open('ran', 'w')", "rag.py": "open('ran', 'w')"},
    )
    command = [Path(sys.executable).parent / "rag", "build", ".", tmp_path / "ix", "--embedder", "static"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    assert not (root / "ran").exists()


def test_text_of_a_parser_of_ones_own_is_made_storable(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.odd": "x"})
    rag.build(
        root, tmp_path / "ix", embedder="static", loader={"parsers": {".odd": "tests.parsers:surrogate"}}
    )
    assert rag.Index.open(tmp_path / "ix").search("pair")[0].text == "half a pair \ufffd here"


def test_archives_that_unpack_without_end_are_refused(tmp_path: Path) -> None:
    big = bomb({"word/document.xml": 600})
    for name in ("a.docx", "b.pptx", "c.xlsx", "d.odt", "e.epub"):
        (tmp_path / name).write_bytes(big)
    lying = bytearray(bomb({"content.xml": 560}, **{"META-INF/manifest.xml": "<m/>"}))
    size = (560 << 20).to_bytes(4, "little")
    while (at := lying.find(size)) >= 0:  # says that it unpacks to 1 kB
        lying[at : at + 4] = (1024).to_bytes(4, "little")
    (tmp_path / "f.odt").write_bytes(lying)
    loader = rag.Loader(tmp_path, workers=1, limits={"memory_mb": 1024})
    assert loader.load() == []
    reasons = {source: error.reason for source, error in loader.quarantined}
    assert [reasons[name] for name in sorted(reasons)][:5] == ["unpacks to 600 MB"] * 5
    assert len(reasons) == 6


def test_plain_text_that_makes_patterns_slow_is_read(tmp_path: Path) -> None:
    root = write(tmp_path, **{
        "a.md": "# " + " " * 300_000 + "x" + " #" * 100_000, "b.md": "---\n" + "a: b\n" * 3,
        "c.md": "[" * 100_000, "d.rst": "=" * 400_000 + "\n" + "x" * 400_000 + "\n" + "=" * 400_000,
        "e.md": "```\n" * 20_001, "f.md": "*" * 100_000 + "a\n=====\n",
    })  # fmt: skip
    assert len(rag.Loader(root).load()) == 6  # some would take hours by a pattern that goes back


def test_a_worker_whose_build_was_killed_ends_by_itself(tmp_path: Path) -> None:
    write(tmp_path, **{"a.bad": "x"})
    code = (
        "import rag\n"
        f"rag.Loader({str(tmp_path)!r}, parsers={{'.bad': 'tests.parsers:spin'}}, limits={{'timeout_s': 2}}).load()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    child = ""
    for _ in range(100):
        time.sleep(0.1)
        listed = subprocess.run(
            ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
        ).stdout
        found = [
            line.split()[0]
            for line in listed.splitlines()
            if line.split()[1] == str(parent.pid) and "rag.loading.sandbox" in line
        ]
        if found:
            child = found[0]
            break
    assert child
    time.sleep(0.5)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 25
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not Path(f"/proc/{child}").exists()
