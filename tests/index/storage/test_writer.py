"""What a writer reads, and in which order it deletes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.errors import StoreMissingError
from rag.embedding.static import StaticEmbeddings
from rag.index.storage.manifest import read_manifest
from rag.index.storage.writer import open_writer
from tests.index.calls import counted

READ = "rag.index.storage.manifest.read_any_format"
STATIC = StaticEmbeddings()


def change(folder: Path) -> None:
    (folder / "leave.md").write_text((folder / "leave.md").read_text() + "\nMore on leave.\n")


WRITES: dict[str, tuple[Callable[[Path, Path], Any], int]] = {
    "unchanged build": (lambda source, path: rag.build(source, path, embedder=STATIC), 1),
    "incremental build": (lambda source, path: (change(source), rag.build(source, path, embedder=STATIC)), 1),
    "rebuild": (lambda source, path: rag.build(source, path, embedder=STATIC, rebuild=True), 0),
    "edit": (lambda source, path: rag.Store(path).edit("region == 'eu'", {"seen": True}), 1),
    "edit of nothing": (lambda source, path: rag.Store(path).edit("region == 'x'", {"seen": True}), 1),
    "compaction": (lambda source, path: rag.Store(path).compact(), 1),
    "pruning": (lambda source, path: rag.Store(path).prune(), 1),
}


@pytest.mark.parametrize("write", WRITES)
def test_write_reads_one_manifest(folder: Path, tmp_path: Path, write: str) -> None:
    path = tmp_path / "ix"
    rag.build(folder, path, embedder=STATIC)
    rag.Store(path).edit("region == 'us'", {"seen": False})
    rag.Store(path).prune()
    run, expected = WRITES[write]
    with counted() as calls:
        run(folder, path)
    assert calls[READ] == expected
    check = rag.Store(path).verify()
    assert (check.problems, check.orphans) == ((), ())


def test_rollback_reads_the_old_manifest_only(folder: Path, tmp_path: Path) -> None:
    """A damaged current version does not keep an index from going back."""
    path = tmp_path / "ix"
    rag.build(folder, path, embedder=STATIC)
    rag.Store(path).edit("region == 'us'", {"seen": False})
    (path / "manifests" / "000002.json").write_text("damaged")
    with counted() as calls:
        assert rag.Store(path).rollback(1) == 3
    assert calls[READ] == 1
    assert rag.Index.open(path).version == 3


def test_stale_manifest_is_read_again(folder: Path, tmp_path: Path) -> None:
    """A caller's manifest counts only while it is the current one."""
    path = tmp_path / "ix"
    rag.build(folder, path, embedder=STATIC)
    stale = read_manifest(path)
    rag.Store(path).edit("region == 'us'", {"seen": False})
    with open_writer(path, previous=stale) as writer:
        assert writer.previous == read_manifest(path)
        assert (stale.version, writer.version) == (1, 3)
        assert writer.embedder == stale.embedder
    with open_writer(path, stale.embedder, rebuild=True, previous=stale) as writer:
        assert (writer.previous, writer.schema) == (None, {})


def test_writer_of_no_index_needs_an_embedder(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match="rag build SRC"), open_writer(tmp_path / "none"):
        pass
    assert not (tmp_path / "none").exists()


def test_manifest_of_an_index_that_was_built_anew(folder: Path, tmp_path: Path) -> None:
    """It has the same number; its segments are gone."""
    path = tmp_path / "ix"
    rag.build(folder, path, embedder=STATIC)
    stale = read_manifest(path)
    shutil.rmtree(path)
    change(folder)
    rag.build(folder, path, embedder=STATIC)
    now = read_manifest(path)
    assert (stale.version, now.version) == (1, 1)
    with open_writer(path, now.embedder, previous=stale) as writer:
        assert writer.previous == now
        writer.commit(sources=[])
    assert rag.Store(path).verify().orphans == ()
    assert len(rag.Index.open(path)) == now.chunks
