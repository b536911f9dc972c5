"""Pushing an index and pulling it elsewhere, against moto and SeaweedFS."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.bedrock.storage.s3_objects import S3Objects
from rag.core.errors import StoreConflictError, StoreMissingError, UsageError
from rag.index.remote.known import remotes
from rag.index.remote.pointer import current_pointer
from rag.index.remote.pull import PULLING, pull
from rag.index.remote.push import push
from rag.index.storage.manifest import files_of, read_manifest
from tests.index.remote.conftest import changed, found, keys


def sizes(folder: Path) -> dict[str, int]:
    return {file.sha256: file.bytes for file in files_of(read_manifest(folder))}


def test_round_trip(place: S3Objects, index: Path, tmp_path: Path) -> None:
    """What is pulled is what was pushed, and passes every check."""
    there = sizes(index)
    first = push(index, place)
    assert (first.files, first.bytes, first.skipped_files) == (len(there), sum(there.values()), 0)
    pulled = pull(place, tmp_path / "copy")
    assert (pulled.version, pulled.current, pulled.bytes) == (1, 1, sum(there.values()))
    assert rag.Store(tmp_path / "copy").verify().sound
    assert found(tmp_path / "copy", "Topic3") == "3.md"
    assert not (tmp_path / "copy" / PULLING).exists()
    assert keys(place, "files/") == sorted(f"files/{name}" for name in there)
    for name in ("manifests/000001.json", "CURRENT"):
        assert (tmp_path / "copy" / name).read_bytes() == (index / name).read_bytes()


def test_only_what_is_missing_moves(place: S3Objects, docs: Path, index: Path, tmp_path: Path) -> None:
    push(index, place)
    pull(place, tmp_path / "copy")
    before = sizes(index)
    assert changed(docs, index) == 2
    new = {name: size for name, size in sizes(index).items() if name not in before}
    for report in (push(index, place), pull(place, tmp_path / "copy")):
        assert (report.version, report.files, report.bytes) == (2, len(new), sum(new.values()))
        assert report.skipped_bytes == sum(sizes(index).values()) - report.bytes > 0
    for report in (push(index, place), pull(place, tmp_path / "copy")):
        assert (report.files, report.bytes) == (0, 0)
    assert found(tmp_path / "copy", "Something else") == "0.md"
    assert [version.number for version in rag.Store(tmp_path / "copy").versions()] == [1, 2]
    assert rag.Store(tmp_path / "copy").verify().sound and rag.Store(tmp_path / "copy").verify(1).sound


def test_dry_runs_move_nothing(quick_place: S3Objects, index: Path, tmp_path: Path) -> None:
    planned = push(index, quick_place, dry_run=True)
    assert (planned.files, planned.bytes) == (len(sizes(index)), sum(sizes(index).values()))
    assert keys(quick_place) == [] and "would be moved" in str(planned)
    push(index, quick_place)
    planned = pull(quick_place, tmp_path / "copy", dry_run=True)
    assert (planned.files, planned.version, planned.current) == (len(sizes(index)), 1, 1)
    assert not (tmp_path / "copy").exists()


def test_versions_are_kept_and_pulled(place: S3Objects, docs: Path, index: Path, tmp_path: Path) -> None:
    push(index, place)
    changed(docs, index)
    push(index, place)
    old = pull(place, tmp_path / "old", version=1)
    assert (old.version, old.current) == (1, 1)
    assert found(tmp_path / "old", "Topic0") == "0.md"
    assert pull(place, tmp_path / "old").current == 2  # forward
    added = pull(place, tmp_path / "new")
    assert added.current == 2
    added = pull(place, tmp_path / "new", version=1)  # beside the newer one
    assert (added.version, added.current) == (1, 2)
    assert rag.Index.open(tmp_path / "new").version == 2
    assert rag.Store(tmp_path / "new").verify(1).sound
    with pytest.raises(StoreMissingError, match="has no version 7: there is 1, 2"):
        pull(place, tmp_path / "new", version=7)


def test_an_older_version_is_pushed_beside_the_current_one(
    quick_place: S3Objects, docs: Path, index: Path
) -> None:
    changed(docs, index)
    push(index, quick_place)
    report = push(index, quick_place, version=1)
    assert (report.version, report.current) == (1, 2)
    assert "version 2 is current" in str(report)
    assert [each.version for each in current_pointer(quick_place).versions] == [1, 2]
    with pytest.raises(StoreMissingError, match="has no version 9"):
        push(index, quick_place, version=9)


def test_a_version_that_is_held_back_is_not_pushed(quick_place: S3Objects, docs: Path, index: Path) -> None:
    (docs / "9.md").write_text("More.")
    held = rag.build(docs, index, embedder="static", hold=True).version
    with pytest.raises(UsageError, match=r"version 2 of .* is held back: `rag promote` it first"):
        push(index, quick_place, version=held)
    assert push(index, quick_place).version == 1


def test_prune(s3: Any, place: S3Objects, docs: Path, index: Path, tmp_path: Path) -> None:
    """Old versions go with what only they used; what is not the index's stays."""
    push(index, place)
    for name in ("files/notes.txt", "readme", "files/" + "0" * 64):  # the last as of a push that was killed
        s3.put_object(Bucket="indexes", Key=place.prefix + name, Body=b"x")
    for number in (1, 2):
        changed(docs, index, number)
        push(index, place)
    assert [each.version for each in current_pointer(place).versions] == [1, 2, 3]
    assert push(index, place, keep=2).pruned == (1,)
    report = push(index, place, keep=1)
    assert (report.pruned, report.deleted > 0) == ((2,), True)
    assert "1 old version" in str(report)
    wanted = [f"files/{name}" for name in sizes(index)]
    newest = current_pointer(place)
    assert [each.version for each in newest.versions] == [3] and newest.pruning == ""
    assert keys(place) == sorted([
        *wanted, "files/notes.txt", "readme", "CURRENT.json", "conditions", newest.newest.key,
    ])  # fmt: skip
    pull(place, tmp_path / "copy")
    assert rag.Store(tmp_path / "copy").verify().sound


def test_damage_is_found_and_mended(s3: Any, place: S3Objects, index: Path, tmp_path: Path) -> None:
    """A damaged object is refused by a pull and mended by a push with `check`; a damaged file by a pull."""
    push(index, place)
    name, size = max(sizes(index).items(), key=lambda item: item[1])
    s3.put_object(Bucket="indexes", Key=f"{place.prefix}files/{name}", Body=bytes(size))
    with pytest.raises(rag.RagError, match=r"does not have the SHA-256 of .*push it again, with --check"):
        pull(place, tmp_path / "copy")
    assert not (tmp_path / "copy" / "CURRENT").exists()
    assert push(index, place).files == 0  # its size is right
    assert push(index, place, check=True).files == 1
    assert pull(place, tmp_path / "copy").version == 1
    victim = next(iter((tmp_path / "copy" / "segments").rglob("vectors.faiss")))
    victim.write_bytes(bytes(victim.stat().st_size))
    assert not rag.Store(tmp_path / "copy").verify().sound
    assert pull(place, tmp_path / "copy").files == 1
    assert rag.Store(tmp_path / "copy").verify().sound


def test_a_damaged_index_is_not_pushed(quick_place: S3Objects, index: Path) -> None:
    victim = next(iter((index / "segments").rglob("vectors.faiss")))
    victim.write_bytes(bytes(victim.stat().st_size))
    with pytest.raises(rag.RagError, match=r"vectors.faiss was altered: its SHA-256 differs"):
        push(index, quick_place)
    assert "CURRENT.json" not in keys(quick_place)


def test_a_folder_goes_forward_only(quick_place: S3Objects, docs: Path, index: Path, tmp_path: Path) -> None:
    """Work that nobody else has is not overwritten on either side, but by force."""
    push(index, quick_place)
    pull(quick_place, tmp_path / "other")
    changed(docs, index, 1, "Zebra. ")
    changed(docs, tmp_path / "other", 2, "Walrus. ")
    push(tmp_path / "other", quick_place)
    with pytest.raises(StoreConflictError, match=r"is at version 2, pushed 20.* which .* does not have"):
        push(index, quick_place)
    with pytest.raises(StoreConflictError, match="has a version 2 of its own"):
        pull(quick_place, index)
    assert found(index, "Zebra") == "1.md"
    report = pull(quick_place, index, force=True)
    assert report.notes == ("version 2 of the folder went",)
    assert found(index, "Walrus") == "2.md" and rag.Store(index).verify().sound
    changed(docs, tmp_path / "other", 3, "And again. ")
    shutil.rmtree(index)
    rag.build(docs, index, embedder="static")
    with pytest.raises(StoreConflictError):
        push(index, quick_place)
    assert push(index, quick_place, force=True).current == 1
    assert [each.version for each in current_pointer(quick_place).versions] == [1]
    assert pull(quick_place, tmp_path / "other", force=True).current == 1
    assert rag.Store(tmp_path / "other").verify().sound


def test_a_pushed_folder_may_forget_its_old_versions(quick_place: S3Objects, docs: Path, index: Path) -> None:
    """What the folder had in common with the place is written down."""
    push(index, quick_place)
    changed(docs, index)
    rag.Store(index).prune()
    assert push(index, quick_place).current == 2
    assert {url: seen.version for url, seen in remotes(index).items()} == {quick_place.name: 2}


def test_rollback_is_pushed_as_a_new_version(quick_place: S3Objects, docs: Path, index: Path) -> None:
    push(index, quick_place)
    changed(docs, index)
    push(index, quick_place)
    rag.Store(index).rollback(1)
    report = push(index, quick_place)
    assert (report.version, report.current, report.bytes) == (3, 3, 0)


def test_a_prune_in_a_versioned_bucket_says_what_stays(moto_s3: Any, docs: Path, index: Path) -> None:
    moto_s3.create_bucket(Bucket="keeping")
    moto_s3.put_bucket_versioning(Bucket="keeping", VersioningConfiguration={"Status": "Enabled"})
    place = S3Objects("s3://keeping/handbook")
    push(index, place)
    assert push(index, place, keep=1).notes == ()  # nothing was deleted
    changed(docs, index)
    assert "is in a bucket with versioning" in push(index, place, keep=1).notes[0]
