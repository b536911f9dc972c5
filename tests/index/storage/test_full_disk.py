"""A full disk is an error of one line, never a signal, and pruning, which makes room, needs none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import rag
from rag.core.errors import StoreError
from rag.index.storage.chunk import Chunk
from rag.index.storage.manifest import EmbedderEntry
from rag.index.storage.writer import open_writer

ENTRY = EmbedderEntry("", "random", 4)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if (
        os.getuid()
        or shutil.which("mount") is None
        or subprocess.run(command, capture_output=True).returncode
    ):
        pytest.skip("a small disk to fill needs the right to mount one")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def add(path: Path, name: str, words: int) -> None:
    """Add a document of so many different words: its postings are most of what is written."""
    text = " ".join(f"{name}{n}" for n in range(words))
    with open_writer(path, ENTRY) as writer:
        number = writer.add_document(name, f"{name}.md", {"n": 1})
        writer.add_chunks([(number, Chunk(name, 0, len(text), text))], np.eye(1, 4, dtype=np.float32))
        writer.commit(sources=[])


def status(work: Callable[[], object]) -> int:
    """Run in a child; return 0 where it is done, 1 for a `StoreError`, less than 0 for a signal."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        except StoreError as error:
            os._exit(1 if len(str(error).splitlines()) == 1 else 2)
        except BaseException:
            os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def leave(disk: Path, kilobytes: int) -> None:
    free = os.statvfs(disk)
    (disk / "fill").write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - (kilobytes << 10)))


def test_a_full_disk_is_an_error_and_pruning_frees_it(disk: Path) -> None:
    path = disk / "ix"
    for name in ("a", "b", "c"):
        add(path, name, 3000)
    before = {hit.chunk_id for hit in rag.Index.open(path).scan()}
    outcomes = set()
    for kilobytes in range(0, 420, 20):
        leave(disk, kilobytes)
        outcomes.add(status(lambda: add(path, "more", 3000)))
        (disk / "fill").unlink()
        if 0 in outcomes:
            break
        assert {hit.chunk_id for hit in rag.Index.open(path).scan()} == before
    assert outcomes == {0, 1}
    leave(disk, 0)
    assert status(lambda: rag.Store(path).compact()) == 1
    assert rag.Store(path).prune(1) == [1, 2, 3]
    (disk / "fill").unlink()
    rag.Store(path).compact()
    leave(disk, 0)
    held = os.statvfs(disk).f_bavail
    rag.Store(path).prune(1)
    assert os.statvfs(disk).f_bavail > held
    assert rag.Store(path).verify().problems == ()
