"""A document that was forgotten goes from an object store with a push and a prune, and does not come back."""

from __future__ import annotations

from pathlib import Path

import pytest

import rag
from rag.core.errors import StoreConflictError
from rag.index.remote.mirror import Cache, Mirror
from rag.index.remote.pull import PULLING, pull
from rag.index.remote.push import push
from rag.index.storage.manifest import kept_versions
from tests.index.remote.conftest import changed
from tests.index.remote.memory_store import MemoryStore

SECRET = "Topic2 is explained here. Topic2 is explained here."


def holding(store: MemoryStore) -> list[str]:
    return [key for key, (data, _, _) in store.objects.items() if SECRET.encode() in data]


def in_files(folder: Path) -> list[str]:
    return [
        path.name for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]


def test_push_and_prune_after_forgetting(docs: Path, index: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    push(index, store)
    changed(docs, index, 1)
    push(index, store)
    assert holding(store)
    pull(store, tmp_path / "other")
    copy = Mirror(store, Cache(tmp_path / "cache", 10**9))
    copy.hold().close()
    planned = rag.forget(index, "2.md", dry_run=True)
    report = rag.forget(index, "2.md")
    for each in (planned, report):
        first = each.not_reached[0]
        assert first.startswith(
            f"the copy at {store.name}: `rag push {index} {store.name} --prune` replaces it"
        )
    assert report.remains == () and holding(store)
    done = push(index, store, keep=1)
    assert (done.version, done.pruned) == (report.version, (1, 2))
    assert holding(store) == []
    copy.hold().close()
    assert in_files(copy.folder) == []
    pull(store, tmp_path / "other")
    rag.Store(tmp_path / "other").prune()
    assert in_files(tmp_path / "other") == [] and rag.Store(tmp_path / "other").verify().sound


def test_what_was_forgotten_does_not_come_back(docs: Path, index: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    push(index, store)
    rag.forget(index, "2.md")
    push(index, store)  # without --prune: the old version is still there
    with pytest.raises(StoreConflictError, match="has a version 1 of its own"):
        pull(store, index, version=1)
    rag.Store(index).prune()
    with pytest.raises(StoreConflictError, match=r"holds 1 document that was forgotten in .*--prune"):
        pull(store, index, version=1)
    assert kept_versions(index) == [2] and in_files(index) == []
    assert rag.Store(index).verify().sound


def test_what_an_interrupted_pull_left_goes(index: Path) -> None:
    (index / PULLING).mkdir()
    (index / PULLING / ("0" * 64)).write_text(SECRET)
    assert rag.forget(index, "2.md").remains == ()
    assert in_files(index) == []
