"""Two machines at once: whoever loses is told who won, nothing is lost, and no reader sees half of anything."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.bedrock.storage.s3_objects import S3Objects
from rag.core.errors import RemoteError, StoreConflictError, StoreCorruptError, StoreError
from rag.index.remote import prune as pruning
from rag.index.remote.pointer import KEY, current_pointer, of_versions, read_pointer
from rag.index.remote.prune import prune
from rag.index.remote.pull import pull
from rag.index.remote.push import push
from rag.index.storage.manifest import files_of, read_manifest
from tests.index.remote.conftest import changed, found
from tests.index.remote.faulty_proxy import FAIL_AFTER, LOSE, FaultyProxy
from tests.index.remote.memory_store import MemoryStore

LOST = r"is at version (1|2), pushed 20\d\d-.* from .*, which .* does not have: pull it into another folder"


@pytest.fixture
def other(docs: Path, index: Path, tmp_path: Path) -> Path:
    """The same index on another machine, with a change of its own."""
    shutil.copytree(index, tmp_path / "other")
    changed(docs, tmp_path / "other", 1, "Walruses came. ")
    return tmp_path / "other"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def whole(store: MemoryStore, folder: Path) -> rag.Index:
    pull(store, folder)
    assert rag.Store(folder).verify().sound
    return rag.Index.open(folder)


def once(store: MemoryStore, call: str, action: Any) -> None:
    """Do something just before a call, once."""

    def before(method: str, key: str) -> None:
        if f"{method} {key}" == call:
            store.before = lambda method, key: None
            action()

    store.before = before


@pytest.mark.parametrize("first", [True, False], ids=["the first push", "a later push"])
def test_the_loser_is_told(
    store: MemoryStore, docs: Path, index: Path, other: Path, tmp_path: Path, first: bool
) -> None:
    """The other machine's push is done between this one's last look and its write."""
    if not first:
        push(index, store)
    changed(docs, index, 2, "Zebras came. ")
    once(store, f"write {KEY}", lambda: push(other, store))
    with pytest.raises(StoreConflictError, match=LOST):
        push(index, store)
    assert found(whole(store, tmp_path / "copy").path, "Walruses") == "1.md"


def test_the_same_version_from_two_machines_is_no_conflict(
    store: MemoryStore, index: Path, tmp_path: Path
) -> None:
    shutil.copytree(index, tmp_path / "other")
    once(store, f"write {KEY}", lambda: push(tmp_path / "other", store))
    assert push(index, store).current == 1
    assert len(current_pointer(store).versions) == 1


def test_a_lost_reply_is_no_conflict(store: MemoryStore, docs: Path, index: Path) -> None:
    """The write succeeded, and its retry was refused."""
    for word in ("Aardvarks. ", "Baboons. "):
        store.lost.add(f"write {KEY}")
        version = changed(docs, index, 0, word)
        assert push(index, store).current == version
        assert store.lost == set()
    assert [each.version for each in current_pointer(store).versions] == [2, 3]


def test_a_lost_reply_and_a_later_push_by_others(
    store: MemoryStore, docs: Path, index: Path, tmp_path: Path
) -> None:
    def later() -> None:
        pull(store, tmp_path / "other")
        changed(docs, tmp_path / "other", 3, "Later. ")
        push(tmp_path / "other", store)

    store.lost.add(f"write {KEY}")
    written = False

    def before(method: str, key: str) -> None:
        nonlocal written
        if (method, key) == ("read", KEY) and written:
            written, store.before = False, lambda method, key: None
            later()
        written = written or (method, key) == ("write", KEY)

    store.before = before
    report = push(index, store)
    assert (report.version, report.current) == (1, 2)


@pytest.mark.parametrize("fault", [LOSE, FAIL_AFTER])
def test_a_lost_reply_over_http(s3: Any, place: S3Objects, index: Path, fault: str, request: Any) -> None:
    """botocore retries a write that had succeeded: the retry is refused, and recognised."""
    server = s3.meta.endpoint_url
    with FaultyProxy(server) as proxy:
        proxied = S3Objects(place.name, endpoint_url=proxy.url, timeout_s=5)
        proxy.planned = [(f"PUT /indexes/{place.prefix}{KEY}", fault)]
        assert push(index, proxied).current == 1
        assert proxy.met == {fault: 1} and proxy.planned == []
    assert len(current_pointer(place).versions) == 1


def test_two_machines_at_once_over_http(
    place: S3Objects, docs: Path, index: Path, other: Path, tmp_path: Path
) -> None:
    """By threads, on real servers: exactly one wins, each time."""
    changed(docs, index, 2, "Zebras came. ")
    results: list[Any] = []
    barrier = threading.Barrier(2)

    def run(folder: Path) -> None:
        barrier.wait()
        try:
            results.append(push(folder, S3Objects(place.name)))
        except StoreConflictError as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(folder,)) for folder in (index, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(each).__name__ for each in results) == ["StoreConflictError", "Transfer"]
    pull(place, tmp_path / "copy")
    assert rag.Store(tmp_path / "copy").verify().sound
    winner = next(each for each in results if not isinstance(each, Exception))
    word = "Zebras" if winner.folder == str(index) else "Walruses"
    assert found(tmp_path / "copy", word)


def test_a_reader_whose_version_is_pruned_begins_again(
    store: MemoryStore, docs: Path, index: Path, tmp_path: Path
) -> None:
    push(index, store)
    version = changed(docs, index)
    # A file that the new version has, too, would still be there.
    kept = {f"files/{file.sha256}" for file in files_of(read_manifest(index))}
    victim = next(key for key in store.objects if key.startswith("files/") and key not in kept)
    once(store, f"download {victim}", lambda: push(index, store, keep=1))
    assert pull(store, tmp_path / "copy").version == version
    assert rag.Store(tmp_path / "copy").verify().sound


def test_a_reader_of_an_old_version_is_told(
    store: MemoryStore, docs: Path, index: Path, tmp_path: Path
) -> None:
    push(index, store)
    changed(docs, index)
    push(index, store)
    victim = f"download files/{rag.Index.open(index, version=1).manifest.sources.sha256}"
    once(store, victim, lambda: prune(store))
    with pytest.raises(StoreError, match="has no version 1: there is 2"):
        pull(store, tmp_path / "copy", version=1)
    assert pull(store, tmp_path / "copy").version == 2


@pytest.mark.parametrize("moment", ["sizes files/", f"write {KEY}"])
def test_a_push_does_not_rely_on_what_is_pruned(
    store: MemoryStore, docs: Path, index: Path, tmp_path: Path, moment: str
) -> None:
    """A prune that comes in between deletes what a killed push had left, and this one counts on."""
    push(index, store)
    version = changed(docs, index)
    files = {key: value for key, value in store.objects.items() if key.startswith("files/")}
    push(index, store)  # all of its files are there,
    store.objects[KEY] = (
        of_versions(current_pointer(store).versions[:1]).to_json(),
        '"x"',
        0.0,
    )  # but it is not
    assert len(store.sizes("files/")) > len(files)
    once(store, moment, lambda: prune(store))
    assert push(index, store).current == version
    whole(store, tmp_path / "copy")


def test_a_push_waits_for_a_prune(
    store: MemoryStore, docs: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And takes over from one that was killed, but not before its time is up."""
    monkeypatch.setattr(pruning, "LEASE_S", 0.5)
    push(index, store)
    marked = of_versions(current_pointer(store).versions, pruning="elsewhere-0a1b2c3d")
    store.write(KEY, marked.to_json(), read_pointer(store).etag)
    written = store.objects[KEY][2]
    version = changed(docs, index)
    push(index, store)
    assert store.objects[KEY][2] - written >= 0.5
    assert current_pointer(store).pruning == "" and current_pointer(store).current == version
    whole(store, tmp_path / "copy")


def test_a_prune_that_others_took_over_deletes_nothing_more(
    store: MemoryStore, docs: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BATCH", 1)
    push(index, store)
    changed(docs, index)
    push(index, store)
    deleted: list[str] = []

    def before(method: str, key: str) -> None:
        if method == "delete":
            deleted.append(key)
            monkeypatch.setattr(pruning, "WORK_S", 0.0)  # as if it had taken long
            read = read_pointer(store)
            store.before = lambda method, key: None
            taken = of_versions(read.pointer.versions, pruning="elsewhere-1")
            store.write(KEY, taken.to_json(), read.etag)

    store.before = before
    with pytest.raises(RemoteError, match="took too long, and another went on"):
        prune(store)
    assert len(deleted) == 1
    assert current_pointer(store).pruning == "elsewhere-1"


def test_a_prune_renews_its_lease(
    store: MemoryStore, docs: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BATCH", 1)
    monkeypatch.setattr(pruning, "WORK_S", 0.0)
    push(index, store)
    changed(docs, index)
    push(index, store)
    store.calls.clear()
    assert prune(store).versions == (1,)
    deletions = sum(call.startswith("delete") for call in store.calls)
    assert store.calls.count(f"write {KEY}") == deletions + 2
    assert current_pointer(store).pruning == ""


def test_nothing_is_pruned_if_a_version_cannot_be_read(store: MemoryStore, docs: Path, index: Path) -> None:
    push(index, store)
    changed(docs, index)
    push(index, store)
    newest = current_pointer(store).newest.key
    before = dict(store.objects)
    store.objects[newest] = (b"x" * len(before[newest][0]), '"y"', 0.0)
    with pytest.raises(StoreCorruptError, match="its SHA-256 is not that of its name"):
        prune(store)
    assert store.objects.keys() == before.keys()
    assert current_pointer(store).pruning == ""


def test_failures_of_a_prune_end_its_lease(store: MemoryStore, docs: Path, index: Path) -> None:
    push(index, store)
    changed(docs, index)
    push(index, store)

    def before(method: str, key: str) -> None:
        if method == "delete":
            raise RemoteError("no")

    store.before = before
    with pytest.raises(RemoteError, match="no"):
        prune(store)
    store.before = lambda method, key: None
    assert current_pointer(store).pruning == ""
    assert prune(store).objects > 0
