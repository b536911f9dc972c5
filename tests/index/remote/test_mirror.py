"""Local copies of indexes on an object store: what is fetched, what is deleted, and never under a reader."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.config.open import mirror
from rag.core.errors import ConfigError, RemoteError, StoreMissingError, UsageError
from rag.index.remote import cache_folder
from rag.index.remote.lease import Lease, last_used
from rag.index.remote.mirror import Cache, Mirror
from rag.index.remote.pull import PULLING
from rag.index.remote.push import push
from rag.index.remote.settings import settings
from rag.index.storage.manifest import files_of, kept_versions, read_manifest
from tests.index.remote.conftest import changed, found
from tests.index.remote.memory_store import MemoryStore


@pytest.fixture
def store(index: Path) -> MemoryStore:
    made = MemoryStore()
    push(index, made)
    made.calls.clear()
    return made


@pytest.fixture
def copy(store: MemoryStore, tmp_path: Path) -> Mirror:
    return Mirror(store, Cache(tmp_path / "cache", 10**9))


def downloads(store: MemoryStore) -> int:
    return sum(call.startswith("download") for call in store.calls)


def test_a_second_opening_asks_for_the_pointer_alone(store: MemoryStore, copy: Mirror) -> None:
    with_files = copy.hold()
    assert (with_files.version, downloads(store) > 5) == (1, True)
    assert found(with_files.folder, "Topic4") == "4.md"
    store.calls.clear()
    assert copy.hold().version == 1
    assert store.calls == ["read CURRENT.json"]
    assert rag.Store(copy.folder).verify().sound


def test_a_new_version_moves_what_is_new(store: MemoryStore, copy: Mirror, docs: Path, index: Path) -> None:
    reader = rag.Index.open(copy.hold().folder)
    old = {file.path for file in files_of(read_manifest(index))}
    changed(docs, index)
    push(index, store)
    store.calls.clear()
    assert copy.current() == 2
    lease = copy.hold()
    new = {file.path for file in files_of(read_manifest(index))} - old
    assert (lease.version, downloads(store)) == (2, len(new))
    assert found(copy.folder, "Something else") == "0.md"
    assert reader.search("Topic0", k=1, mode="lexical")[0].source == "0.md"  # still of version 1
    assert copy.hold(1).version == 1


def test_what_the_store_dropped_goes(store: MemoryStore, copy: Mirror, docs: Path, index: Path) -> None:
    """Versions that were pruned there are deleted here, too: at once, or when their reader is gone."""
    old = copy.hold()
    changed(docs, index)
    push(index, store, keep=1)
    lease = copy.hold()
    assert kept_versions(copy.folder) == [1, 2]
    old.close()
    copy.hold()
    assert kept_versions(copy.folder) == [2]
    assert rag.Store(copy.folder).verify().sound and rag.Store(copy.folder).verify().orphans == ()
    lease.close()


def test_another_history_replaces_the_copy(
    store: MemoryStore, copy: Mirror, docs: Path, tmp_path: Path
) -> None:
    """Somebody replaced the index by force: the same numbers, other files."""
    copy.hold()
    changed(docs, tmp_path / "other", 5, "Quokkas rule. ")
    push(tmp_path / "other", store, force=True)
    assert copy.hold().version == 1
    assert found(copy.folder, "Quokkas") == "5.md"
    assert rag.Store(copy.folder).verify().sound


def test_a_damaged_copy_is_mended(store: MemoryStore, copy: Mirror) -> None:
    copy.hold().close()
    victim = next(iter((copy.folder / "segments").rglob("vectors.faiss")))
    victim.write_bytes(b"short")
    copy.hold()
    assert rag.Store(copy.folder).verify().sound


def test_the_least_recently_opened_version_goes_first(
    store: MemoryStore, docs: Path, index: Path, tmp_path: Path
) -> None:
    for number in (1, 2):
        changed(docs, index, number)
        push(index, store)
    cache = Cache(tmp_path / "cache", 10**9)
    copy = Mirror(store, cache)
    for version in (1, 2, 3):
        copy.hold(version).close()
        os.utime(copy.folder / "leases" / f"{version:06d}", (100 + version, 100 + version))
    copy.hold(1).close()  # now the last one
    assert last_used(copy.folder, 1) > 200 > last_used(copy.folder, 2)
    size = cache.bytes()
    Cache(cache.folder, size - 1).make_room()
    assert kept_versions(copy.folder) == [1, 3]
    reading = Lease(copy.folder, 3)
    Cache(cache.folder, 1).make_room()
    assert kept_versions(copy.folder) == [3]
    reading.close()
    Cache(cache.folder, 1).make_room()
    assert (kept_versions(copy.folder), cache.bytes()) == ([], 0)
    assert not (copy.folder / "CURRENT").exists()
    assert copy.hold().version == 3  # fetched again


def test_room_is_made_before_a_version_comes(
    store: MemoryStore, docs: Path, index: Path, tmp_path: Path
) -> None:
    """The cache is not larger than it may be, not even while it fetches."""
    cache = Cache(tmp_path / "cache", 10**9)
    Mirror(store, cache).hold().close()
    size = cache.bytes()
    other = MemoryStore()
    other.name = other.identity = "memory://bucket/other/"
    push(index, other)
    seen: list[int] = []
    other.before = lambda method, key: seen.append(cache.bytes()) if method == "download" else None
    lease = Mirror(other, Cache(cache.folder, size + 100)).hold()
    assert max(seen) <= size
    assert cache.bytes() <= size + 100
    assert found(lease.folder, "Topic3") == "3.md"


def test_what_a_killed_fetch_left_goes_first(copy: Mirror) -> None:
    copy.hold().close()
    (copy.folder / PULLING).mkdir()
    (copy.folder / PULLING / "x").write_bytes(bytes(1000))
    size = copy.cache.bytes()
    Cache(copy.cache.folder, size - 10).make_room()
    assert kept_versions(copy.folder) == [1] and not (copy.folder / PULLING).exists()


def test_ledgers_beside_a_copy_stay(copy: Mirror) -> None:
    copy.hold().close()
    (copy.folder / "ledger.sqlite").write_bytes(b"costs")
    Cache(copy.cache.folder, 1).make_room()
    assert (copy.folder / "ledger.sqlite").read_bytes() == b"costs"


def _open(url: str, remote: dict[str, Any], queue: Any) -> None:
    try:
        opened = rag.Index.open(url, remote=remote)
        queue.put(opened.search("Topic3", k=1, mode="lexical")[0].source)
    except BaseException as error:
        queue.put(repr(error))


def test_several_processes_open_it_at_once(quick_place: Any, index: Path, tmp_path: Path) -> None:
    push(index, quick_place)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    remote = {"cache": str(tmp_path / "cache")}
    workers = [context.Process(target=_open, args=(quick_place.name, remote, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert [queue.get(timeout=120) for _ in workers] == ["3.md"] * 4
    for worker in workers:
        worker.join()


def test_index_open(quick_place: Any, docs: Path, index: Path, tmp_path: Path) -> None:
    push(index, quick_place)
    remote = {"cache": str(tmp_path / "cache"), "cache_mb": 50}
    url = quick_place.name.rstrip("/")
    opened = rag.Index.open(url, remote=remote)
    assert (opened.version, opened.url, opened.info()["path"]) == (1, url, url)
    assert opened.search("Topic2", k=1)[0].source == "2.md"
    changed(docs, index)
    push(index, quick_place, keep=1)
    assert rag.Index.open(url, remote=remote).version == 2
    assert opened.search("Topic0", k=1)[0].source == "0.md"
    with pytest.raises(StoreMissingError, match="has no version 1: there is 2"):
        rag.Index.open(url, version=1, remote=remote)
    folder = mirror(url, remote).folder
    assert kept_versions(folder) == [1, 2]  # version 1 is still being read
    del opened
    assert rag.Index.open(url, remote=remote).version == 2
    assert kept_versions(folder) == [2]


def test_what_cannot_be_changed_in_place(tmp_path: Path, docs: Path) -> None:
    url = "s3://indexes/handbook"
    for call in (
        lambda: rag.Store(url), lambda: rag.build(docs, url), lambda: rag.forget(url, "0.md"),
        lambda: rag.push(url, "s3://indexes/copy"), lambda: rag.FaissStore(None, url),
    ):  # fmt: skip
        with pytest.raises(
            UsageError, match=r"can be read, but not changed in place: pull it .*rag pull s3://"
        ):
            call()
    with pytest.raises(UsageError, match="give a URL as a string"):
        rag.Index.open(Path(url))
    with pytest.raises(UsageError, match="is no place for an index: write s3://bucket/prefix"):
        rag.Index.open("gs://bucket/handbook")


def test_an_unreachable_store_is_an_error_of_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    remote = {
        "cache": str(tmp_path),
        "endpoint_url": "http://127.0.0.1:9",
        "region": "us-east-1",
        "timeout_s": 1,
    }
    with pytest.raises(
        RemoteError, match=r"cannot read s3://a-bucket/x/CURRENT.json: Amazon S3: .*check the net"
    ):
        rag.Index.open("s3://a-bucket/x", remote=remote)


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the settings, the environment, the user's cache folder, or a temporary folder of one's own."""
    monkeypatch.setenv("RAG_CACHE_DIR", str(tmp_path / "env"))
    monkeypatch.setenv("RAG_CACHE_MB", "7")
    assert settings({"cache": "/x", "cache_mb": 3}).folder() == Path("/x")
    assert (settings(None).folder(), settings(None).most_bytes()) == (tmp_path / "env", 7_000_000)
    monkeypatch.setenv("RAG_CACHE_MB", "many")
    with pytest.raises(ConfigError, match="RAG_CACHE_MB is 'many': write a number of megabytes"):
        settings(None).most_bytes()
    monkeypatch.delenv("RAG_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert settings(None).folder() == tmp_path / "xdg" / "rag"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert settings(None).folder() == tmp_path / "home" / ".cache" / "rag"
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("HOME", str(file))  # as in Lambda: no folder to write to
    monkeypatch.setattr(cache_folder.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = settings(None).folder()
    assert folder == tmp_path / f"rag-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)  # somebody else's, perhaps
    assert settings(None).folder() not in (folder, file)
    with pytest.raises(ConfigError, match=r"\[remote\] has no setting 'chache'"):
        settings({"chache": "x"})
