"""Quarantine, and what must not stop a build."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pypdf
import pytest

import rag
from rag.core.errors import SourceError
from tests.command import run
from tests.loading.files import pdf, scanned, sources, tree, workers_alive, write


def test_quarantine_is_listed_and_read_again_when_changed_or_asked_for(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "Good words.", "b.json": "{", "c.json": "["})
    index = tmp_path / "ix"
    run("build", root, index, "--embedder", "static", code=3)
    shown = run("quarantine", index).stdout
    assert shown.startswith(f"{index}: 2 files in quarantine\n\ncorrect it, or rename it to .txt")
    listed = json.loads(run("quarantine", index, "--json").stdout)
    assert [item["source"] for item in listed] == ["b.json", "c.json"]
    assert [item.source for item in rag.Store(index).quarantined()] == ["b.json", "c.json"]
    write(root, **{"b.json": '{"now": "sound"}'})
    report = json.loads(run("build", root, index, "--json", code=3).stdout)
    assert (report["changed"], report["unchanged"], report["version"]) == (1, 2, 2)
    assert json.loads(run("build", root, index, "--json", code=3).stdout)["version"] == 2
    run("build", root, index, "--retry", code=3)
    (root / "c.json").unlink()
    run("build", root, index)
    assert run("quarantine", index).stdout == f"{index}: 0 files in quarantine\n"


def test_a_given_password_takes_a_file_out_of_quarantine_with_retry(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "Good words."})
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("Locked words.")))
    writer.encrypt("key")
    writer.write(root / "b.pdf")
    settings = {"embedder": "static"}
    assert len(rag.build(root, tmp_path / "ix", **settings).quarantined) == 1
    settings["loader"] = {"passwords": {"*.pdf": "key"}}
    assert len(rag.build(root, tmp_path / "ix", **settings).quarantined) == 1
    assert rag.build(root, tmp_path / "ix", **settings, retry=True).quarantined == ()
    assert rag.Index.open(tmp_path / "ix").search("locked", k=1)[0].source == "b.pdf"


@pytest.mark.parametrize(
    "front",
    [
        "history:\n  - 2024-01-01: created", "x: 0x" + "f" * 5000, 'title: "Party \\ud83c\\udf89 \\ud800"',
        "when: 0001-01-01 00:00:00+14:00", "x: !!int ''", "? [a, b]\n: c", "s: !!set {b, a, c}", "x: .inf", "n: {1: 2, b: 3}",
        "d: 9999-12-31 23:59:59-12:00",
    ],
)  # fmt: skip
def test_no_front_matter_stops_a_build(tmp_path: Path, front: str) -> None:
    root = write(tmp_path / "docs", **{"a.md": f"---\n{front}\n---\nWords of a.\n", "b.md": "Words of b."})
    report = rag.build(root, tmp_path / "ix", embedder="static")
    assert report.files == 2, report.quarantined
    assert {hit.source for hit in rag.Index.open(tmp_path / "ix").search("words")} == {"a.md", "b.md"}
    assert rag.build(root, tmp_path / "ix").unchanged == 2


def test_no_sidecar_table_or_function_stops_a_build(tmp_path: Path) -> None:
    root = write(
        tmp_path / "docs",
        **{
            "a.md": "Words.",
            "a.md.metadata.json": '{"who": "x\\ud83d", "n": {"1": 2}}',
            "b.md": "More words.",
        },
    )
    rag.build(
        root,
        tmp_path / "ix",
        embedder="static",
        metadata=lambda source, known: {"x": {1: 2, "b": 3}, "s": {"b", "a"}},
    )
    hit = rag.Index.open(tmp_path / "ix").search("words", where="who == 'x\ufffd'")[0]
    assert (hit.metadata["x.1"], hit.metadata["s"]) == (2, ["a", "b"])
    with pytest.raises(SourceError, match=r"the metadata of 'a.md' is None: give names and values"):
        rag.Loader(root, metadata={"a.md": None})
    (root / "b.md.metadata.json").write_text(" " * (2 << 20))
    loader = rag.Loader(root)
    assert len(loader.load()) == 1 and "more than 1 MB" in loader.quarantined[0][1].reason


def test_links_to_themselves_and_deep_folders_stop_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path / "docs", ["a.md"])
    (root / "loop").symlink_to("loop")
    (root / "long").symlink_to("y" * 300)
    here = os.open(root, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    loader = rag.Loader(root)
    assert [d.metadata["source"] for d in loader.load()] == ["a.md"]
    assert {"loop", "long"} <= {source for source, _ in loader.quarantined}
    subprocess.run(["rm", "-rf", root / "d"], check=True)


def test_a_sidecar_that_is_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    root = tree(tmp_path / "docs", ["a.md"])
    (tmp_path / "secret.json").write_text('{"secret": "s3cr3t"}')
    (root / "a.md.metadata.json").symlink_to(tmp_path / "secret.json")
    assert "secret" not in rag.Loader(root).load()[0].metadata
    assert rag.Loader(root, follow_links=True).load()[0].metadata["secret"] == "s3cr3t"


def test_no_pattern_takes_for_ever(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a" * 60, "b.log", "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/c"])
    (root / ".gitignore").write_text("*a" * 20 + "b\n" + "**/a/" * 20 + "b\n*.log\n")
    assert len(sources(rag.Loader(root))) == 2


def test_ragignore_decides_before_gitignore(tmp_path: Path) -> None:
    root = tree(tmp_path, ["keep.txt", "drop.txt", "secret.md", "open.md"])
    (root / ".gitignore").write_text("*.txt\n!secret.md\n")
    (root / ".ragignore").write_text("!keep.txt\nsecret.md\n")
    assert sources(rag.Loader(root)) == ["keep.txt", "open.md"]


def test_leaving_a_load_early_ends_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    root = write(tmp_path, **{f"{n:02d}.slow": "x" for n in range(20)} | {"00.md": "first"})
    loader = rag.Loader(root, parsers={".slow": "tests.parsers:hang"}, workers=2)
    reading = loader.read(loader.files())
    assert next(reading)[0].source == "00.md"
    time.sleep(0.5)
    started = time.monotonic()
    reading.close()
    assert time.monotonic() - started < 5
    assert workers_alive() == []


def test_ctrl_c_in_a_build_ends_at_once_and_leaves_no_process(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "first", "b.slow": "x", "c.slow": "x"})
    (tmp_path / "rag.toml").write_text('[loader]\nparsers = {".slow" = "tests.parsers:hang"}\n')
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from rag.cli.main import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        str(Path(__file__).parents[2]),
        "build",
        str(root),
        "ix",
        "--embedder",
        "static",
    ]
    build = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def children() -> list[str]:
        listed = subprocess.run(
            ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
        ).stdout
        return [
            line
            for line in listed.splitlines()
            if "rag.loading.sandbox" in line and line.split()[1] == str(build.pid)
        ]

    deadline = time.monotonic() + 30
    while not children() and time.monotonic() < deadline:
        time.sleep(0.1)
    pids = [line.split()[0] for line in children()]
    assert pids
    time.sleep(0.5)
    build.send_signal(signal.SIGINT)
    _, said = build.communicate(timeout=10)
    assert build.returncode == 130
    assert said.strip().splitlines()[-1].startswith("rag: interrupted")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_text_that_makes_patterns_slow_takes_no_longer_than_prose_by_far() -> None:
    def seconds(text: str) -> float:
        document = rag.loading.loader.Document(text, metadata={"source": "a"})
        started = time.process_time()
        chunks = rag.SemanticChunker().split_documents([document])
        spent = time.process_time() - started
        assert all(text[c.metadata["start"] : c.metadata["end"]] == c.page_content for c in chunks)
        return spent

    prose = min(seconds("A sentence of words. " * 10_000) for _ in range(2))
    odd = (
        "." * 200_000,
        "```a\n" * 40_000,
        "9" * 200_000,
        "# " * 100_000,
        "a. " * 70_000,
        "|" * 200_000,
        " \n" * 100_000,
    )
    assert max(map(seconds, odd)) < 30 * prose


def test_another_parser_or_ocr_reads_the_files_again_that_it_concerns(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.foo": "words", "b.md": "Words."})
    (root / "c.pdf").write_bytes(scanned("one"))
    rag.build(root, tmp_path / "ix", embedder="static")
    loader: dict[str, Any] = {
        "parsers": {".foo": "tests.parsers:shout"},
        "ocr": lambda png: "Read by machine.",
    }
    report = rag.build(root, tmp_path / "ix", loader=loader)
    assert (report.changed, report.unchanged) == (2, 1)
    assert {hit.text for hit in rag.Index.open(tmp_path / "ix").search("words")} >= {"WORDS", "Words."}
    assert rag.build(root, tmp_path / "ix", loader=loader).unchanged == 3


def test_renames_are_counted_one_to_one(tmp_path: Path) -> None:
    root = write(tmp_path / "docs", **{"a.md": "Same words.", "b.md": "Same words.", "d.md": "Other."})
    rag.build(root, tmp_path / "ix", embedder="static")
    (root / "a.md").rename(root / "c.md")
    (root / "b.md").unlink()
    report = rag.build(root, tmp_path / "ix")
    assert (report.added, report.removed, report.renamed, report.unchanged) == (0, 1, 1, 1)


def test_an_index_among_the_documents_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Leave\n\nTake 28 days.")
    first = rag.build(tmp_path, tmp_path / "ix", embedder="static")
    again = rag.build(tmp_path, tmp_path / "ix", embedder="static")
    assert (first.files, again.files, again.version) == (1, 1, 1)
    assert "ix is an index: left out" in again.notes
