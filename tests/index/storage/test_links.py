"""Nothing outside an index is written or deleted, whatever stands in its folder; what is foreign is left alone."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rag
from rag.core.errors import RagError
from rag.index.storage.chunk import Chunk
from rag.index.storage.manifest import EmbedderEntry, read_manifest
from rag.index.storage.own_files import FOLDERS, check_inside
from rag.index.storage.writer import open_writer

ENTRY = EmbedderEntry("", "random", 4)


def add(path: Path, name: str, **fields: Any) -> None:
    with open_writer(path, ENTRY) as writer:
        number = writer.add_document(name, f"{name}.md", {"n": 1, **fields})
        writer.add_chunks([(number, Chunk(name, 0, 4, "text"))], np.eye(1, 4, dtype=np.float32))
        writer.commit(sources=[])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with two versions, removed rows, edited metadata, and the mark of a killed writer."""
    path = tmp_path_factory.mktemp("whole") / "ix"
    add(path, "a")
    add(path, "b")
    with open_writer(path) as writer:
        writer.commit(removed_ids={"a"}, why="delete")
    rag.Store(path).edit("n == 1", {"n": 2})
    add(path, "c")
    (path / "LOCK").write_text("writing\n")
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "ix", symlinks=True)
    return tmp_path / "ix"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """What is not the index's: a file, a folder, and files whose names look like an index's."""
    home = tmp_path / "home"
    (home / "photos").mkdir(parents=True)
    (home / "thesis.txt").write_text("years of work")
    (home / "photos" / "1.jpg").write_text("x")
    (home / "000001.arrow").write_text("mine")
    (home / ("0" * 16)).mkdir()
    return home


WRITES: dict[str, Callable[[Path], object]] = {
    "add": lambda path: add(path, "new"), "prune": lambda path: rag.Store(path).prune(1),
    "compact": lambda path: rag.Store(path).compact(), "rollback": lambda path: rag.Store(path).rollback(1),
    "edit": lambda path: rag.Store(path).edit("n == 2", {"n": 3}),
    "delete": lambda path: delete(path), "read": lambda path: rag.Index.open(path).count("n == 1"),
    "verify": lambda path: rag.Store(path).verify(), "versions": lambda path: rag.Store(path).versions(),
}  # fmt: skip


def delete(path: Path) -> None:
    with open_writer(path) as writer:
        writer.commit(removed_ids={"b"})


@contextmanager
def untouched(home: Path) -> Iterator[None]:
    """Check that nothing in a folder is changed, and that it does not take for ever."""

    def state() -> dict[str, Any]:
        return {
            str(p): (p.lstat().st_mtime_ns, p.lstat().st_size, p.read_bytes() if p.is_file() else b"")
            for p in sorted(home.rglob("*"))
        }

    before = state()
    signal.alarm(30)  # a pipe that is opened waits for ever
    try:
        yield
    finally:
        signal.alarm(0)
    assert state() == before


def refused_or_done(work: Callable[[Path], object], path: Path) -> RagError | None:
    started = time.monotonic()
    try:
        work(path)
        return None
    except RagError as error:
        assert len(str(error).splitlines()) == 1
        assert time.monotonic() - started < 5
        return error


@pytest.mark.parametrize("write", list(WRITES))
@pytest.mark.parametrize("name", FOLDERS)
def test_a_link_in_place_of_a_folder_is_refused(path: Path, home: Path, name: str, write: str) -> None:
    shutil.rmtree(path / name)
    (path / name).symlink_to(home)
    with untouched(home):
        error = refused_or_done(WRITES[write], path)
    if write not in ("verify", "versions", "read"):
        assert f"{path / name} is a link" in str(error)


@pytest.mark.parametrize("write", ["add", "prune", "compact", "read"])
@pytest.mark.parametrize("what", ["dangling", "moved", "file", "pipe"])
def test_other_things_in_place_of_a_folder(
    path: Path, tmp_path: Path, home: Path, what: str, write: str
) -> None:
    """A link that leads nowhere, or to the folder itself on another disk, a file, a pipe."""
    (path / "segments").rename(tmp_path / "moved")
    {
        "dangling": lambda: (path / "segments").symlink_to(tmp_path / "nowhere"),
        "moved": lambda: (path / "segments").symlink_to(tmp_path / "moved"),
        "file": lambda: (path / "segments").write_text("x"),
        "pipe": lambda: os.mkfifo(path / "segments"),
    }[what]()
    with untouched(home), untouched(tmp_path / "moved"):
        assert refused_or_done(WRITES[write], path) is not None
    assert not (tmp_path / "nowhere").exists()


PLANTED = (
    "CURRENT.new", "CURRENT", "LOCK", "manifests/000006.json.new", "manifests/000006.json", "sources/000006.arrow",
    "removed/000006-{0}.npy", "documents/000006-{0}.arrow", "segments/0123456789abcdef", "manifests/000005.json",
)  # fmt: skip


@pytest.mark.parametrize("how", ["link", "dangling", "hard link", "pipe", "folder link", "device"])
@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_where_a_writer_writes(path: Path, home: Path, name: str, how: str) -> None:
    """Whoever wrote the archive knows the names of the next version's files."""
    if name == "LOCK" and how == "device":
        pytest.skip("the lock of a device is that of a link")
    used = sorted(p.name for p in (path / "segments").iterdir())
    for victim in (path / name.format(segment) for segment in used):
        victim.unlink(missing_ok=True)
        if how in ("link", "dangling", "folder link", "device"):
            to = {
                "link": home / "thesis.txt",
                "dangling": home / "nowhere",
                "folder link": home / "photos",
                "device": Path("/dev/zero"),
            }
            victim.symlink_to(to[how])
        elif how == "hard link":
            victim.hardlink_to(home / "thesis.txt")
        else:
            os.mkfifo(victim)
    for write in ("read", "edit", "delete", "add", "compact", "prune", "rollback", "verify"):
        with untouched(home):
            refused_or_done(WRITES[write], path)
    assert not (home / "nowhere").exists()


def test_links_inside_a_segment(path: Path, home: Path, tmp_path: Path) -> None:
    """The folder of a segment, and each of its files."""
    name = read_manifest(path).segments[0].id  # of the current version: others may be pruned
    segment = path / "segments" / name
    for target in (segment, *sorted(segment.iterdir())):
        copy = tmp_path / "copy"
        shutil.copytree(path, copy)
        victim = copy / target.relative_to(path)
        victim.rename(tmp_path / "moved")
        victim.symlink_to(tmp_path / "moved")
        with untouched(tmp_path / "moved" if target.is_dir() else home):
            for write in ("read", "compact", "prune", "rollback"):
                refused_or_done(WRITES[write], copy)
        with pytest.raises(RagError, match=r"is a link|not a plain file"):
            rag.Index.open(copy)
        shutil.rmtree(copy)
        shutil.rmtree(tmp_path / "moved", ignore_errors=True)
        (tmp_path / "moved").unlink(missing_ok=True)


def test_a_pruned_version_of_links(path: Path, home: Path) -> None:
    """Orphans that are links are deleted themselves; nothing that they lead to."""
    (path / "segments" / ("f" * 16)).symlink_to(home)
    (path / "sources" / "000009.arrow").symlink_to(home / "thesis.txt")
    (path / "removed" / f"000001-{'e' * 16}.npy").hardlink_to(home / "000001.arrow")
    with untouched(home):
        rag.Store(path).prune(1)
    assert not (path / "segments" / ("f" * 16)).is_symlink()
    assert [p.name for p in (path / "sources").iterdir() if p.is_symlink()] == []
    assert rag.Store(path).verify().orphans == ()


def test_other_peoples_files_in_an_index_are_left_alone(path: Path) -> None:
    theirs = [
        path / "segments" / "README",
        path / "documents" / "thesis.txt",
        path / "mine.txt",
        path / "manifests" / "x.json.bak",
    ]
    for file in theirs:
        file.write_text("mine")
    (path / "removed" / "deep").mkdir()
    (path / "removed" / "deep" / "file").write_text("mine")
    for write in ("add", "compact", "prune", "rollback"):
        refused_or_done(WRITES[write], path)
    assert [file.read_text() for file in (*theirs, path / "removed" / "deep" / "file")] == ["mine"] * 5
    assert rag.Store(path).verify().problems == ()


def test_a_folder_of_the_users_is_no_index(tmp_path: Path, folder: Path) -> None:
    """Though it has a file LOCK that is not empty, and folders with an index's names."""
    project = tmp_path / "project"
    for name in FOLDERS:
        (project / name).mkdir(parents=True)
        (project / name / "thesis.txt").write_text("years of work")
    with pytest.raises(RagError, match="is not empty and no index"):
        rag.build(folder, project, embedder="static")
    (project / "LOCK").write_text("writing\n")
    rag.build(folder, project, embedder="static")
    assert all((project / name / "thesis.txt").read_text() == "years of work" for name in FOLDERS)


@pytest.mark.parametrize("left", [(), ("segments",), FOLDERS, (*FOLDERS, "LOCK"), ("ledger.sqlite",)])
def test_a_first_build_that_was_killed_early_goes_on(
    tmp_path: Path, folder: Path, left: tuple[str, ...]
) -> None:
    """Whatever of the empty folders, and the lock, was there when it was killed."""
    ix = tmp_path / "ix"
    ix.mkdir()
    for name in left:
        (ix / name).mkdir() if name in FOLDERS else (ix / name).touch()
    assert rag.build(folder, ix, embedder="static").version == 1


def test_folders_to_download_to_hold_no_links(path: Path, home: Path, folder: Path) -> None:
    (path / "downloads" / "ab").mkdir(parents=True)
    check_inside(path / "downloads")
    (path / "downloads" / "ab" / "x.part").hardlink_to(home / "thesis.txt")
    with pytest.raises(RagError, match=r"x\.part is a link or no plain file"):
        check_inside(path / "downloads")
    shutil.rmtree(path / "downloads")
    (path / "downloads").symlink_to(home)
    with untouched(home), pytest.raises(RagError, match="downloads is a link"):
        rag.build(folder, path, embedder="static", rebuild=True)
