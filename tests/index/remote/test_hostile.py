"""What stands on an object store is not trusted: it is refused in one line, and nothing is written outside."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.core.errors import RagError, RemoteError, StoreCorruptError, StoreError, UsageError
from rag.index.remote.known import NAME as REMOTES
from rag.index.remote.mirror import Cache, Mirror
from rag.index.remote.pointer import KEY, Pushed, of_versions
from rag.index.remote.pull import PULLING, pull
from rag.index.remote.push import push
from tests.index.remote.memory_store import MemoryStore


@pytest.fixture
def store(index: Path) -> MemoryStore:
    made = MemoryStore()
    push(index, made)
    return made


def replace_manifest(store: MemoryStore, change: Callable[[dict[str, Any]], Any]) -> None:
    """Plant a manifest as somebody does who may write there: with the right name, in the pointer."""
    key = next(key for key in store.objects if key.startswith("manifests/"))
    manifest = json.loads(store.objects[key][0])
    text = change(manifest)
    plant(store, text if isinstance(text, bytes) else json.dumps(manifest).encode())


def plant(store: MemoryStore, text: bytes, version: int = 1, size: int | None = None) -> None:
    name = hashlib.sha256(text).hexdigest()
    store.put(f"manifests/{name}.json", text, name)
    pushed = Pushed(
        version, name, len(text) if size is None else size, "2026-11-27T10:00:00+00:00", "mallory"
    )
    store.put(KEY, of_versions([pushed]).to_json(), "")


def refused(store: MemoryStore, tmp_path: Path) -> str:
    """Pull and open: both are refused, and no more than an empty index's folder is there."""
    said = set()
    copy = Mirror(store, Cache(tmp_path / "cache", 10**9))
    for attempt in (lambda: pull(store, tmp_path / "ix"), copy.hold):
        with pytest.raises(StoreError) as error:
            attempt()
        said.add(str(error.value))
    assert len(said) == 1
    line = said.pop()
    assert "\n" not in line
    files = [
        path for folder in (tmp_path / "ix", tmp_path / "cache") for path in folder.rglob("*")
        if path.is_file() and path.parent.name not in ("leases", PULLING) and path.name != "LOCK"
    ]  # fmt: skip
    assert files == []
    outside = {path.name for path in tmp_path.iterdir()}
    assert outside <= {"docs", "index", "ix", "cache"}
    return line


@pytest.mark.parametrize("path", [
    "../../evil.arrow", "/etc/cron.d/evil", "segments/../../evil.arrow", "sources/../evil.arrow",
    "segments/0123456789abcdef/..", "segments/0123456789abcdef/a/b.arrow", "manifests/000009.json", "CURRENT",
    "cache.sqlite", "sources/evil", "sources/.arrow", "sources\\evil.arrow", "sources/evil\n.arrow", "",
    "segments/0123456789abcdeg/x.arrow", "removed/\u202eevil.npy",
])  # fmt: skip
def test_paths(store: MemoryStore, tmp_path: Path, path: str) -> None:
    replace_manifest(store, lambda manifest: manifest["sources"].update(path=path))
    assert "is damaged (sources.path: " in refused(store, tmp_path)


@pytest.mark.parametrize(("field", "value"), [
    ("bytes", -1), ("bytes", 1 << 40), ("bytes", "many"), ("sha256", "0" * 63), ("sha256", "../" + "0" * 61),
])  # fmt: skip
def test_entries(store: MemoryStore, tmp_path: Path, field: str, value: Any) -> None:
    replace_manifest(store, lambda manifest: manifest["sources"].update({field: value}))
    assert f"is damaged (sources.{field}: " in refused(store, tmp_path)


def test_a_path_that_is_named_twice(store: MemoryStore, tmp_path: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        files = manifest["segments"][0]["files"]
        files[1]["path"] = files[0]["path"]

    replace_manifest(store, change)
    assert "is named twice" in refused(store, tmp_path)


def test_sizes_that_lie(store: MemoryStore, tmp_path: Path) -> None:
    replace_manifest(store, lambda manifest: manifest["sources"].update(bytes=5))
    assert "does not have the SHA-256 of sources/000001.arrow" in refused(store, tmp_path)


def test_more_than_the_disk_holds(store: MemoryStore, tmp_path: Path) -> None:
    replace_manifest(store, lambda manifest: manifest["sources"].update(bytes=(1 << 40) - 1))
    with pytest.raises(RemoteError, match=r"needs 1\.1 TB, and its disk has .* left: make room"):
        pull(store, tmp_path / "ix")


def test_content_that_is_another_s(store: MemoryStore, tmp_path: Path) -> None:
    victim = next(key for key in store.objects if key.startswith("files/"))
    store.put(victim, bytes(len(store.objects[victim][0])), "")
    assert "does not have the SHA-256 of" in refused(store, tmp_path)


def test_a_file_that_is_missing(store: MemoryStore, tmp_path: Path) -> None:
    victim = next(key for key in store.objects if key.startswith("files/"))
    store.delete([victim])
    assert f"{victim} is missing: push it again, with --check" in refused(store, tmp_path)


def test_manifests_beyond_bounds(store: MemoryStore, tmp_path: Path) -> None:
    plant(store, b"{}", size=65 << 20)
    assert "has 68.2 MB, more than any manifest may have" in refused(store, tmp_path)
    plant(store, b"{}" * 1000, size=2)
    assert "is too long" in refused(store, tmp_path)
    plant(store, b"[" * 100_000)
    assert "is damaged" in refused(store, tmp_path)
    plant(store, b'{"format": 99}')
    assert "was written by a newer rag" in refused(store, tmp_path)
    plant(store, b"\xff\xfe")
    assert "is damaged" in refused(store, tmp_path)


def test_another_version_than_the_pointer_says(store: MemoryStore, tmp_path: Path) -> None:
    replace_manifest(store, lambda manifest: manifest.update(version=7))
    assert "says that it is version 7" in refused(store, tmp_path)


@pytest.mark.parametrize("text", [
    b"", b"{}", b"[]", b"null", b"3\n", b"\xff", b"[" * 100_000, b"{" * 10, b'{"sha256": 1}',
    b'{"current": 1, "versions": [], "format": 1, "pruning": ""}', b"<html>not this</html>",
])  # fmt: skip
def test_a_foreign_prefix(store: MemoryStore, tmp_path: Path, index: Path, text: bytes) -> None:
    store.put(KEY, text, "")
    assert "CURRENT.json is not that of an index of this rag" in refused(store, tmp_path)
    with pytest.raises(RemoteError, match="is not that of an index"):
        push(index, store, force=True)
    assert store.objects[KEY][0] == text


@pytest.mark.parametrize("change", [
    {"current": 2}, {"versions": []}, {"format": 2}, {"pruning": "\x1b[2J"}, {"more": 1},
    {"versions": [{"version": 1, "manifest": "../x", "bytes": 1, "pushed": "2026-11-27T10:00:00Z", "by": "x"}]},
    {"versions": [{"version": 1, "manifest": "0" * 64, "bytes": 1, "pushed": "now", "by": "x"}]},
    {"versions": [{"version": 1, "manifest": "0" * 64, "bytes": 1, "pushed": "2026-11-27T10:00:00Z",
                   "by": "\x1b]0;evil\x07"}]},
])  # fmt: skip
def test_a_pointer_that_was_made_by_hand(store: MemoryStore, tmp_path: Path, change: dict[str, Any]) -> None:
    values = {**json.loads(store.objects[KEY][0]), **change}
    values.pop("sha256")
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    store.put(KEY, json.dumps({**values, "sha256": digest}).encode(), "")
    assert "CURRENT.json is not that of an index of this rag" in refused(store, tmp_path)


@pytest.mark.parametrize("name", ["segments", "sources", "manifests", PULLING, "LOCK", "CURRENT", REMOTES])
def test_links_in_the_folder(store: MemoryStore, tmp_path: Path, name: str) -> None:
    """Nothing is written through a link that stands in the folder already."""
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "ix"
    pull(store, folder)
    if (folder / name).is_dir():
        (folder / name).rename(tmp_path / "moved")
    else:
        (folder / name).unlink(missing_ok=True)
    target = outside if name in ("segments", "sources", "manifests", PULLING) else outside / "file"
    (folder / name).symlink_to(target)
    try:
        pull(store, folder)
    except RagError as error:
        assert "\n" not in str(error)
    assert list(outside.iterdir()) == []


def test_a_link_in_place_of_a_file_is_replaced(store: MemoryStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    pull(store, tmp_path / "ix")
    victim = next(iter((tmp_path / "ix" / "segments").rglob("vectors.faiss")))
    for link in (victim.symlink_to, victim.hardlink_to):
        victim.unlink()
        link(outside)
        assert pull(store, tmp_path / "ix").files == 1
        assert outside.read_bytes() == b"mine" and not victim.is_symlink() and victim.stat().st_nlink == 1
    assert rag.Store(tmp_path / "ix").verify().sound


def test_a_folder_of_other_files_is_left_alone(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files than an index's: name a new folder"):
        pull(store, tmp_path / "home")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]


def test_a_damaged_list_of_places(store: MemoryStore, index: Path) -> None:
    (index / REMOTES).write_text('{"s3://x": {"version": "one"}}')
    with pytest.raises(StoreCorruptError, match=r"remotes.json is damaged .*: delete it; a push "):
        push(index, store)


def test_a_folder_that_cannot_be_written(store: MemoryStore, tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "ix").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="cannot write to"):
        pull(store, tmp_path / "ix")
