"""Indexes of every format so far are told what to do, and upgraded in place."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.building.upgrade import upgrade
from rag.core.errors import StoreCorruptError, StoreLockedError, StoreMismatchError, UsageError
from rag.index.storage import rabitq, segment
from rag.index.storage.formats import FORMAT
from rag.index.storage.own_files import writer_lock
from tests.index.formats.parts import Words
from tests.index.upgraded import FORMATS, OLD, assert_same, built, contents, copied, embedder_of, found

# ---------------------------------------------------------------------- what an upgrade makes


@pytest.mark.parametrize("name", OLD)
def test_an_upgraded_index_finds_what_a_fresh_build_finds(name: str, tmp_path: Path) -> None:
    path = copied(name, tmp_path)
    report = upgrade(path, embedder=embedder_of(name))
    assert (report.before, report.format, report.version) == (int(name[0]), FORMAT, 3)
    index, fresh = rag.Index.open(path, embedder=embedder_of(name)), built(name, tmp_path / "fresh")
    assert len(index) == len(fresh) == report.chunks
    assert_same(index, fresh)
    for where in (
        "since >= '2024-01-01'",
        "'leave' in tags",
        "paid == False",
        "days < 30",
        "not section.exists()",
    ):
        assert index.count(where) == fresh.count(where) > 0, where
        assert_same(index, fresh, where)
    check = rag.Store(path).verify()
    assert (check.problems, check.orphans) == ((), ())


@pytest.mark.parametrize("name", OLD)
def test_metadata_of_every_type_and_the_quarantine_stay(name: str, tmp_path: Path) -> None:
    path = copied(name, tmp_path)
    upgrade(path, embedder=embedder_of(name))
    index = rag.Index.open(path)
    leave = next(hit for hit in index.scan("source == 'leave.md'")).metadata
    assert {key: leave[key] for key in ("owner", "days", "share", "paid", "since", "reviewed", "tags")} == {
        "owner": "People team", "days": 28, "share": 0.5, "paid": True, "since": dt.date(2024, 3, 1),
        "reviewed": dt.datetime(2025, 2, 3, 10, 30, tzinfo=dt.UTC), "tags": ["leave", "holidays"],
    }  # fmt: skip
    assert [item.source for item in rag.Store(path).quarantined()] == ["scan.pdf"]
    assert {record.source for record in index.sources if record.chunks} == {
        "backup.md", "leave.md", "travel.md", "visitors.md",
    }  # fmt: skip
    assert index.manifest.root == "files"
    assert index.manifest.why == f"upgrade from format {name[0]}"


@pytest.mark.parametrize("name", OLD)
def test_old_files_stay_as_they_were_and_prune_lets_them_go(name: str, tmp_path: Path) -> None:
    path = copied(name, tmp_path)
    before = contents(path)
    upgrade(path, embedder=embedder_of(name))
    after = contents(path)
    assert {key: after[key] for key in before if key != "CURRENT"} == {
        key: value for key, value in before.items() if key != "CURRENT"
    }
    then = found(rag.Index.open(path, embedder=embedder_of(name)))
    assert rag.Store(path).prune(1) == [1, 2]
    assert found(rag.Index.open(path, embedder=embedder_of(name))) == then
    check = rag.Store(path).verify()
    assert (check.problems, check.orphans) == ((), ())
    assert len(list((path / "segments").iterdir())) == 2


def test_an_index_of_today_is_left_as_it_is(tmp_path: Path) -> None:
    path = copied("3", tmp_path)
    before = contents(path)
    report = upgrade(path)
    assert (report.before, report.format, report.version, report.notes) == (FORMAT, FORMAT, 2, ())
    assert contents(path) == before
    assert_same(rag.Index.open(path), built("3", tmp_path / "fresh"))


def test_where_files_cannot_be_linked_they_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied("2", tmp_path)

    def refused(*paths: Any) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    upgrade(path)
    assert rag.Store(path).verify().problems == ()
    assert all(file.stat().st_nlink == 1 for file in path.rglob("vectors.faiss"))
    assert_same(rag.Index.open(path), built("2", tmp_path / "fresh"))


def test_codes_are_written_anew_for_segments_that_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied("2", tmp_path)
    monkeypatch.setattr(rabitq, "WORTHWHILE", 1)
    monkeypatch.setattr(segment, "WORTHWHILE", 1)
    upgrade(path)
    assert len(list(path.glob("segments/*/codes-000.faiss"))) == 2
    assert rag.Store(path).verify().problems == ()
    with_codes = found(rag.Index.open(path))
    monkeypatch.undo()
    assert found(built("2", tmp_path / "fresh")).keys() == with_codes.keys()
    assert_same(rag.Index.open(path), rag.Index.open(tmp_path / "fresh"))


def test_a_field_named_as_the_segments_own_column_is_renamed(tmp_path: Path) -> None:
    """Format 1 had no column ``_original``: a user may have had."""
    import pyarrow as pa

    path = copied("1", tmp_path)
    manifest = path / "manifests" / "000002.json"
    raw = json.loads(manifest.read_text())
    raw["schema"]["_original"] = "string"
    for entry in raw["segments"]:
        for file in entry["files"]:
            if file["path"].endswith("documents.arrow"):
                target = path / file["path"]
                table = pa.ipc.open_file(target).read_all()
                table = table.append_column("_original", pa.array(["mine"] * len(table)))
                with pa.ipc.new_file(str(target), table.schema) as sink:
                    sink.write_table(table)
                file["bytes"], file["sha256"] = len(target.read_bytes()), digest(target)
    manifest.write_text(json.dumps(raw))
    upgrade(path)
    index = rag.Index.open(path)
    assert index.count("_original_ == 'mine'") == len(index)
    assert next(index.scan()).metadata["_original_"] == "mine"


def digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------------- embedders


def test_only_missing_vectors_need_an_embedder_and_it_must_be_the_indexs_own(tmp_path: Path) -> None:
    path = copied("1-first", tmp_path)
    before = contents(path)
    with pytest.raises(
        StoreMismatchError, match=r"no vectors of its headings, which words/1 makes: name .* --embedder"
    ):
        upgrade(path)
    with pytest.raises(StoreMismatchError, match="was built with words/1, not with all-MiniLM-L6-v2 static"):
        upgrade(path, embedder="static")
    assert contents(path) == before | {"LOCK": b""}
    report = upgrade(path, embedder=Words())
    assert report.embedded == 12  # the headings of both segments, each once


def test_an_embedder_that_is_not_at_hand_is_not_needed_where_vectors_are_there(tmp_path: Path) -> None:
    path = copied("2-words", tmp_path)
    report = upgrade(path)
    assert (report.before, report.embedded) == (2, 0)


# ---------------------------------------------------------------------- reading without upgrading


@pytest.mark.parametrize("name", OLD)
@pytest.mark.parametrize(
    "use",
    [
        rag.Index.open,
        lambda path: rag.Store(path).verify(),
        lambda path: rag.Store(path).compact(),
        lambda path: rag.Store(path).quarantined(),
        lambda path: rag.FaissStore(Words(), path),
    ],
)
def test_an_older_index_says_in_one_line_how_to_go_on(
    name: str, use: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = copied(name, tmp_path)
    with pytest.raises(StoreMismatchError) as caught:
        use(path)
    assert str(caught.value) == (
        f"{path} has format {name[0]}: run `rag upgrade {path}` (keeps everything, takes seconds)"
    )


def test_an_index_of_a_newer_format_is_refused_in_one_line(tmp_path: Path) -> None:
    path = copied("3", tmp_path)
    manifest = path / "manifests" / "000002.json"
    manifest.write_text(manifest.read_text().replace('"format": 3', '"format": 4'))
    said = "has format 4, this rag reads up to 3: it was written by a newer rag, upgrade the library"
    for use in (rag.Index.open, upgrade, lambda path: rag.build(FORMATS / "files" / "2", path)):
        with pytest.raises(StoreMismatchError, match=said):
            use(path)


@pytest.mark.parametrize("number", ["0", "-1", '"2"', "true", "null", "2.0"])
def test_a_format_that_is_no_number_of_one_is_damage(number: str, tmp_path: Path) -> None:
    path = copied("3", tmp_path)
    manifest = path / "manifests" / "000002.json"
    manifest.write_text(manifest.read_text().replace('"format": 3', f'"format": {number}'))
    with pytest.raises(StoreCorruptError, match="is damaged"):
        rag.Index.open(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.pop("segments"),
        lambda raw: raw.update(segments=[1]),
        lambda raw: raw.update(schema=None),
        lambda raw: raw["segments"][0].update(id="../../elsewhere"),
        lambda raw: raw["segments"][0]["removed"].update(bytes="many"),
        lambda raw: raw["segments"][0]["removed"].update(bytes=7),
    ],
)
def test_a_damaged_manifest_of_an_older_format_is_refused(
    change: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    path = copied("1", tmp_path)
    manifest = path / "manifests" / "000002.json"
    raw = json.loads(manifest.read_text())
    change(raw)
    manifest.write_text(json.dumps(raw))
    before = contents(path)
    with pytest.raises(StoreCorruptError):
        upgrade(path)
    assert contents(path) == before


@pytest.mark.parametrize("name", ["1", "2"])
def test_an_altered_file_is_not_carried_over(name: str, tmp_path: Path) -> None:
    path = copied(name, tmp_path)
    for kind in ("vectors.faiss", "chunks.arrow", "terms.arrow"):
        target = max(path.glob(f"segments/*/{kind}"), key=lambda file: file.stat().st_size)
        sound = target.read_bytes()
        target.write_bytes(sound[:-9] + bytes(9 - len(b"altered")) + b"altered")
        before = contents(path)
        with pytest.raises(StoreCorruptError, match=f"{kind} was altered"):
            upgrade(path)
        assert contents(path) == before
        target.write_bytes(sound)
    assert upgrade(path).version == 3


# ---------------------------------------------------------------------- versions


def test_an_older_version_of_an_older_format_can_be_made_current(tmp_path: Path) -> None:
    path = copied("2", tmp_path)
    upgrade(path)
    store = rag.Store(path)
    said = re.escape(f"version 1 of {path} has format 2: run `rag upgrade {path} --version 1`")
    for use in (lambda: store.rollback(1), lambda: rag.Index.open(path, version=1), lambda: store.diff(1)):
        with pytest.raises(StoreMismatchError, match=said):
            use()
    assert [(version.number, bool(version.error)) for version in store.versions()] == [
        (1, True), (2, True), (3, False),
    ]  # fmt: skip
    assert upgrade(path, version=1).version == 4
    assert_same(rag.Index.open(path), built("2", tmp_path / "first", files="1"))
    assert store.rollback(3) == 5
    assert_same(rag.Index.open(path), built("2", tmp_path / "second", files="2"))
    with pytest.raises(UsageError, match=r"has the format of today: `rag rollback .* 4` makes it current"):
        upgrade(path, version=4)
    check = store.verify()
    assert (check.problems, check.orphans) == ((), ())


def test_a_damaged_version_names_the_older_format_that_is_whole(tmp_path: Path) -> None:
    path = copied("2", tmp_path)
    upgrade(path)
    manifest = json.loads((path / "manifests" / "000003.json").read_text())
    chunks = next(
        file["path"] for file in manifest["segments"][0]["files"] if file["path"].endswith("chunks.arrow")
    )
    (path / chunks).unlink()
    assert f"version 2 is undamaged: `rag upgrade {path} --version 2`" in rag.Store(path).verify().advice


def test_two_upgrades_at_once_do_not_meet(tmp_path: Path) -> None:
    path = copied("2", tmp_path)
    with writer_lock(path), pytest.raises(StoreLockedError):
        upgrade(path)
    assert upgrade(path).version == 3
    assert upgrade(path).version == 3


# ---------------------------------------------------------------------- the fixtures


def test_no_index_among_the_fixtures_holds_a_path_of_a_machine() -> None:
    paths = re.compile(rb"/(?:tmp|work|home|root|Users|var|usr|opt|mnt)\b")
    files = [file for name in (*OLD, "3") for file in (FORMATS / name).rglob("*") if file.is_file()]
    assert len(files) > 80
    assert [file for file in files if paths.search(file.read_bytes())] == []
