"""A document that is forgotten is in no version any more, and the versions are what they were without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import rag
from rag.core.errors import StoreLockedError, StoreMissingError, UsageError, WhereError
from rag.embedding import cache
from rag.embedding.static import StaticEmbeddings
from rag.erasure.forget import allow
from rag.erasure.pending import Pending
from rag.index.storage.own_files import writer_lock
from rag.serving.callers import Caller
from rag.serving.service import Service
from tests.erasure.conftest import SECRET, TEXTS, files_with, same_bytes, write
from tests.index.test_equality import assert_equal, found

WORDS = ("Zaphira", "Quennel", "Brevik", "Tromsdal", "71,300", "jane.md")


def sound(path: Path) -> bool:
    checks = [rag.Store(path).verify(each.number) for each in rag.Store(path).versions()]
    return all((check.problems, check.orphans) == ((), ()) for check in checks)


def test_no_file_holds_a_word_of_it_in_any_version(path: Path) -> None:
    assert files_with(path, *WORDS)
    report = rag.forget(path, "jane.md")
    assert (report.documents, report.chunks, report.rows, report.done) == (("jane.md",), 1, 2, True)
    assert (report.version, report.versions, dict(report.dropped)) == (5, (1, 2, 3, 4), {})
    assert (report.remains, report.copies) == ((), ())
    assert files_with(path, *WORDS) == []
    assert sound(path)


def test_the_vectors_are_gone_from_the_index_and_the_cache(path: Path) -> None:
    vectors = [
        vector.tobytes()[:64]
        for number in (1, 4)
        for hit, vector in rag.Index.open(path, version=number).vectors() if hit.source == "jane.md"
    ]  # fmt: skip

    def holding() -> set[str]:
        files = [file for file in path.rglob("*") if file.is_file()]
        return {file.name for file in files if any(vector in file.read_bytes() for vector in vectors)}

    assert len(vectors) == 2 and holding() == {"vectors.faiss", "cache.sqlite"}
    before = cache.info(path / "cache.sqlite").vectors
    report = rag.forget(path, "jane.md")
    assert [(each.kind, each.count) for each in report.stores] == [
        ("vectors", 3)
    ]  # two wordings, one heading
    assert cache.info(path / "cache.sqlite").vectors == before - 3
    assert holding() == set()


def test_it_searches_as_a_fresh_build_of_the_rest(path: Path, docs: Path, tmp_path: Path) -> None:
    rag.forget(path, "jane.md")
    (docs / "jane.md").unlink()
    rag.build(docs, tmp_path / "fresh", embedder="static")
    rag.Store(tmp_path / "fresh").edit("year == 2024", {"status": "archived"})
    assert_equal(found(rag.Index.open(path)), found(rag.Index.open(tmp_path / "fresh")))
    assert rag.Index.open(path).schema == rag.Index.open(tmp_path / "fresh").schema  # `owner` was its alone
    assert [hit.metadata["status"] for hit in rag.Index.open(path).scan("year == 2024")] == ["archived"]


def test_older_versions_are_as_they_were_without_it(path: Path) -> None:
    before = {
        n: [hit for hit in rag.Index.open(path, version=n).scan() if hit.source != "jane.md"]
        for n in (1, 2, 3)
    }
    rag.forget(path, "jane.md")
    for number, hits in before.items():
        opened = rag.Index.open(path, version=number)
        assert [(hit.chunk_id, hit.text, hit.metadata) for hit in opened.scan()] == [
            (hit.chunk_id, hit.text, hit.metadata) for hit in hits
        ]
    assert rag.Store(path).rollback(1) == 6
    assert [hit.source for hit in rag.Index.open(path).scan()] == ["disk.md", "leave.md", "pay.md", "sev.md"]
    assert "five minutes" not in "".join(hit.text for hit in rag.Index.open(path).scan())


def test_a_filter_is_judged_in_the_newest_version_that_has_a_document(path: Path) -> None:
    """leave.md was of 2024 before the edit below; jane.md is in older versions alone."""
    rag.Store(path).edit("source == 'leave.md'", {"year": 2020})
    report = rag.forget(path, where="year == 2024 or 'Quennel' in owner", dry_run=True)
    assert report.documents == ("jane.md",)
    report = rag.forget(path, where="year == 2020")
    assert report.documents == ("leave.md",) and files_with(path, "annual leave") == []


def test_a_document_that_only_an_older_version_or_a_removed_row_has_is_found(path: Path, docs: Path) -> None:
    (docs / "jane.md").unlink()
    rag.build(docs, path)
    rag.Store(path).prune(1)
    assert (
        files_with(path, "Tromsdal") != []
    )  # rows that the version does not hold, in a segment that it shares
    report = rag.forget(path, where="'Quennel' in owner")
    assert report.chunks == 0 and report.rows >= 1 and files_with(path, *WORDS) == [] and sound(path)


def test_a_version_that_is_held_back_loses_it_too(path: Path, docs: Path) -> None:
    write(docs, **{"more.md": "# More\n\nA text that waits for its gate.\n"})
    assert rag.build(docs, path, hold=True).version == 5
    report = rag.forget(path, "jane.md")
    assert report.version == 6 and 5 in report.versions
    assert report.notes == (
        "version 5, held back, can no longer be promoted: build again (vectors come from the cache)",
    )
    assert files_with(path, *WORDS) == []
    assert {hit.source for hit in rag.Index.open(path, version=5).scan()} == {*TEXTS, "more.md"} - {"jane.md"}
    assert rag.build(docs, path).embedded == 0


def test_a_version_that_cannot_be_read_is_dropped_and_said(path: Path) -> None:
    manifest = path / "manifests" / "000002.json"
    manifest.write_text(manifest.read_text().replace('"format": 3', '"format": 2'))
    (path / "manifests" / "000001.json").write_text("{")
    planned = rag.forget(path, "jane.md", dry_run=True)
    assert sorted(planned.dropped) == [1, 2] and "format 2" in planned.dropped[2]
    report = rag.forget(path, "jane.md")
    assert report.dropped == planned.dropped
    assert [each.number for each in rag.Store(path).versions()] == [3, 4, 5]
    assert files_with(path, *WORDS) == [] and sound(path)


def test_damage_is_not_copied(path: Path) -> None:
    segment = rag.Index.open(path, version=1).manifest.segments[0].id
    shared = {each.id for each in rag.Index.open(path).manifest.segments}
    file = path / "segments" / segment / "vectors.faiss"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert segment in shared
    before = same_bytes(path)
    with pytest.raises(rag.RagError, match=r"vectors\.faiss was altered"):
        rag.forget(path, "jane.md")
    assert {name: data for name, data in same_bytes(path).items() if name != "LOCK"} == {
        name: data for name, data in before.items() if name != "LOCK"
    }


def test_a_dry_run_changes_nothing(path: Path) -> None:
    before = same_bytes(path)
    planned = rag.forget(path, "jane.md", dry_run=True)
    assert (planned.done, planned.chunks, planned.rows, planned.version) == (False, 1, 2, 4)
    assert planned.versions == (1, 2, 3, 4)
    assert same_bytes(path) == before


def test_builds_leave_it_out_until_it_is_allowed(path: Path, docs: Path) -> None:
    rag.forget(path, "jane.md")
    listed = (path / "forgotten.json").read_text()
    assert "jane" not in listed and (path / "forgotten.json").stat().st_mode & 0o077 == 0
    note = f"1 file is left out as forgotten (jane.md): `rag forget {path} --allow NAME` lets builds read one again"
    for rebuild in (False, True):
        report = rag.build(docs, path, embedder="static", rebuild=rebuild)
        assert report.notes == (note,) and report.files == 4 and report.quarantined == ()
    assert note in rag.plan(docs, path).notes
    with pytest.raises(UsageError, match=r"jan\.md was not forgotten in .* under this name \(1 names were\)"):
        allow(path, "jan.md")
    allow(path, "jane.md")
    assert not (path / "forgotten.json").exists()
    report = rag.build(docs, path, embedder="static")
    assert (report.added, report.notes) == (1, ())


def test_its_copy_under_a_new_name_stays_out_too(path: Path, docs: Path) -> None:
    rag.forget(path, "jane.md")
    (docs / "jane.md").rename(docs / "notes.md")
    report = rag.build(docs, path)
    assert (report.files, report.added) == (4, 0) and "left out as forgotten (notes.md)" in report.notes[0]
    (docs / "notes.md").write_text(TEXTS["jane.md"] + "Changed.")
    assert rag.build(docs, path).added == 1


def test_copies_that_stay_are_named(path: Path, docs: Path) -> None:
    shutil.copy(docs / "jane.md", docs / "copy.md")
    rag.build(docs, path)
    report = rag.forget(path, "jane.md")
    assert report.copies == ("copy.md",) and report.remains == ()
    assert rag.build(docs, path).files == 5
    assert rag.Index.open(path).count("source == 'copy.md'") == 1


def test_what_cannot_be_meant_is_refused(path: Path, docs: Path, tmp_path: Path) -> None:
    before = same_bytes(path)
    for arguments, error, message in (
        ({"source": "jan.md"}, UsageError, "jan.md is no source of .*: did you mean 'jane.md'?"),
        ({"source": "x"}, UsageError, "x is no source of .*: it has 5, named as citations name them"),
        ({}, UsageError, "say what to forget"),
        ({"where": "year == 1999"}, UsageError, "no document of .* matches the filter"),
        ({"where": "yeer == 1999"}, WhereError, "yeer"),
        ({"where": "year > 1999"}, UsageError, "these are all documents"),
        ({"source": [*TEXTS]}, UsageError, "these are all documents"),
    ):
        with pytest.raises(error, match=message):
            rag.forget(path, **arguments)  # type: ignore[arg-type]
    assert {n: d for n, d in same_bytes(path).items() if n != "LOCK"} == {
        n: d for n, d in before.items() if n != "LOCK"
    }
    with pytest.raises(StoreMissingError):
        rag.forget(tmp_path / "nothing", "jane.md")
    assert not (tmp_path / "nothing").exists()
    with writer_lock(path), pytest.raises(StoreLockedError):
        rag.forget(path, "jane.md")
    (path / "batch.json").write_text("{}")
    with pytest.raises(UsageError, match="has a batch of a build under way"):
        rag.forget(path, "jane.md")


def test_open_readers_keep_what_they_opened(path: Path) -> None:
    opened = rag.Index.open(path)
    report = rag.forget(path, "jane.md")
    assert opened.count("source == 'jane.md'") == 1
    assert any(
        line.startswith("processes that opened the index before version 5") for line in report.not_reached
    )


def test_a_service_takes_the_new_version_over(path: Path) -> None:
    service = Service(path, lambda: rag.Pipeline(path))
    assert "Zaphira" in service.search(Caller("ana"), "Zaphira Quennel's settlement", k=1)[0].text
    rag.forget(path, "jane.md")
    assert service.refresh() and service.version == 5
    assert all("Zaphira" not in hit.text for hit in service.search(Caller("ana"), "the settlement", k=9))


def test_a_build_says_that_an_erasure_was_interrupted(path: Path, docs: Path) -> None:
    Pending().joined(["jane.md"], []).save(path)
    note = f"an erasure was interrupted: `rag forget {path} --yes` completes it"
    assert rag.build(docs, path).notes == (note,)
    report = rag.forget(path)
    assert report.notes == ("an erasure was interrupted before: it is completed with this one",)
    assert report.documents == ("jane.md",) and report.remains == () and files_with(path, *WORDS) == []
    assert len(rag.build(docs, path).notes) == 1 and "left out as forgotten" in rag.build(docs, path).notes[0]


def test_a_quarantined_file_leaves_the_lists(path: Path, docs: Path) -> None:
    (docs / "zaphira.pdf").write_bytes(b"%PDF-1.4 broken")
    assert rag.build(docs, path).quarantined[0].source == "zaphira.pdf"
    rag.forget(path, "zaphira.pdf")
    assert rag.Store(path).quarantined() == () and files_with(path, "zaphira.pdf") == []
    assert rag.build(docs, path).quarantined == ()


def test_downloads_that_a_failed_build_left_go(path: Path) -> None:
    (path / "downloads").mkdir()
    (path / "downloads" / "jane.md").write_text(SECRET)
    assert rag.forget(path, "jane.md").remains == () and not (path / "downloads").exists()


def test_a_file_that_rag_did_not_write_is_named_and_left_alone(path: Path) -> None:
    (path / "notes.txt").write_text(f"see: {SECRET}")
    (path / "ours.json").write_text(json.dumps({"a": "…", "b": SECRET}))
    report = rag.forget(path, "jane.md")
    assert [Path(each.place).name for each in report.remains] == ["notes.txt", "ours.json"]
    assert (path / "notes.txt").exists()


def test_documents_of_a_vector_store_go_by_filter(tmp_path: Path) -> None:
    texts = [SECRET, "Staff take 28 days of annual leave each year.", "Anyone may declare an incident."]
    store = rag.FaissStore.from_texts(
        texts, StaticEmbeddings(), [{"source": "one.pdf", "page": n} for n in range(3)], path=tmp_path / "ix"
    )  # fmt: skip
    report = rag.forget(tmp_path / "ix", where="page == 0")
    assert (report.chunks, report.remains) == (1, ()) and files_with(
        tmp_path / "ix", "Zaphira", "Brevik"
    ) == []
    assert [hit.text for hit in rag.Index.open(tmp_path / "ix").scan()] == texts[1:]
    store.add_texts(["A fourth text."])  # the store, which was open, adds to what is there now
    assert {each.page_content for each in store.similarity_search("leave", k=5)} == {
        *texts[1:],
        "A fourth text.",
    }
