"""Which files a loader reads, in which order."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import rag
from tests.loading.files import sources, tree, write


def test_ignore_files_are_read_as_git_reads_them_and_told(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        [
            "a.md",
            "b.log",
            "keep.log",
            "build/x.md",
            "sub/c.log",
            "sub/d.md",
            "sub/deep/e.tmp",
            "sub/deep/f.md",
        ],
    )
    (root / ".gitignore").write_text("*.log\n!keep.log\n/build/\n")
    (root / "sub" / ".ragignore").write_text("!c.log\ndeep/*.tmp\n")
    loader = rag.Loader(root)
    assert sources(loader) == ["a.md", "keep.log", "sub/c.log", "sub/d.md", "sub/deep/f.md"]
    assert loader.notes == [
        "2 files or folders are left out by .gitignore", "1 file or folder is left out by sub/.ragignore",
    ]  # fmt: skip
    assert len(sources(rag.Loader(root, ignore_files=()))) == 8
    assert "b.log" in sources(rag.Loader(root, ignore_files=[".ragignore"]))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    "patterns",
    [
        "*.log\n!keep.log",
        "/a*\nsub",
        "sub/**/f.md\n**/e.*",
        "deep/\n!deep/f.md",
        "\\#x\n# a.md\n*.m[a-d]",
        "sub/*\n!sub/deep/",
    ],
)
def test_ignore_files_leave_out_what_git_leaves_out(tmp_path: Path, patterns: str) -> None:
    root = tree(
        tmp_path,
        [
            "a.md",
            "b.log",
            "keep.log",
            "#x",
            "build/x.md",
            "sub/c.log",
            "sub/d.md",
            "sub/deep/e.tmp",
            "sub/deep/f.md",
        ],
    )
    (root / ".gitignore").write_text(patterns + "\n")
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    listed = subprocess.run(
        ["git", "-c", "core.quotePath=off", "ls-files", "-co", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert sources(rag.Loader(root)) == sorted(set(listed.stdout.splitlines()) - {".gitignore"})


def test_links_do_not_lead_out_or_around(tmp_path: Path) -> None:
    outside = tree(tmp_path / "outside", ["secret.md"])
    root = tree(tmp_path / "docs", ["a.md", "sub/b.md"])
    (root / "out.md").symlink_to(outside / "secret.md")
    (root / "elsewhere").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "sub" / "up").symlink_to(root / "sub")
    (root / "alias.md").symlink_to(root / "a.md")
    loader = rag.Loader(root)
    assert sources(loader) == ["a.md", "alias.md", "sub/b.md"]
    assert len(loader.notes) == 4
    followed = rag.Loader(root, follow_links=True)
    assert sources(followed) == ["a.md", "alias.md", "elsewhere/secret.md", "out.md", "sub/b.md"]


def test_include_exclude_and_hidden_files(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "a.txt", ".hidden.md", ".git/x.md", "sub/b.md", "sub/c.md"])
    assert sources(rag.Loader(root)) == ["a.md", "a.txt", "sub/b.md", "sub/c.md"]
    assert sources(rag.Loader(root, include=["*.md"], exclude=["sub/c*"])) == ["a.md", "sub/b.md"]


def test_one_file_is_a_source_by_its_name(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "b.md"])
    assert [d.metadata["source"] for d in rag.Loader(root / "a.md").load()] == ["a.md"]


def test_names_that_are_no_utf8_are_read(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("Words.")
    report = rag.build(tmp_path, tmp_path.parent / "ix", embedder="static")
    assert report.files == 1
    assert rag.Index.open(tmp_path.parent / "ix").search("words")[0].source == "caf%E9.md"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_without_permission_is_quarantined(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "shut/b.md"])
    (root / "shut").chmod(0)
    loader = rag.Loader(root)
    assert len(loader.load()) == 1
    assert [source for source, _ in loader.quarantined] == ["shut/"]


def test_the_order_and_the_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    root = write(tmp_path, **{f"f{n:02d}.{kind}": f"<p>page {n}</p>" if kind == "html" else f"text {n}"
                              for n in range(30) for kind in ("html", "md", "slow")})  # fmt: skip
    runs = []
    for workers in (1, 2, 5):
        loader = rag.Loader(root, workers=workers, parsers={".slow": "tests.parsers:shout"})
        runs.append([(d.metadata["source"], d.page_content, d.metadata) for d in loader.load()])
    assert runs[0] == runs[1] == runs[2]
    assert [source for source, *_ in runs[0]] == sorted(source for source, *_ in runs[0])
    assert runs[0][2][1] == "TEXT 0"


async def test_every_face_of_a_langchain_loader_gives_the_same(tmp_path: Path) -> None:
    root = tree(tmp_path, ["a.md", "b.txt"])
    whole = rag.Loader(root).load()
    assert [d async for d in rag.Loader(root).alazy_load()] == whole
    assert list(rag.Loader(root).lazy_load()) == await rag.Loader(root).aload() == whole
    assert [d.page_content for d in whole] == ["Text of a.md.", "Text of b.txt."]
