"""Uploads to moto's S3: only what changed is written, sidecars first, and nothing of others is deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import rag
from rag.bedrock.knowledge_bases import upload
from rag.bedrock.knowledge_bases.bucket import Bucket, Place, place_of
from rag.core.errors import RagError, SourceError, UsageError
from tests.bedrock.knowledge_bases.conftest import objects, uploaded


def test_documents_and_sidecars_are_written(documents: Path, bucket: Bucket, s3: Any) -> None:
    plan = uploaded(documents, bucket, metadata_from_path="{kind}/")
    assert plan.counts == {
        "new": 3, "changed": 0, "unchanged": 0, "sidecars": 3, "gone": 0, "refused": 2,
    }  # fmt: skip
    stored = objects(s3)
    assert set(stored) == {
        "docs/leave.md", "docs/leave.md.metadata.json", "docs/leave-us.md", "docs/leave-us.md.metadata.json",
        "docs/old/backup.txt", "docs/old/backup.txt.metadata.json",
    }  # fmt: skip
    assert stored["docs/leave.md"] == (documents / "leave.md").read_text()
    assert json.loads(stored["docs/leave.md.metadata.json"]) == {"metadataAttributes": {
        "region": "eu", "year": 2024, "tags": ["hr", "leave"], "valid_from": "2024-03-01",
        "valid_from_day": 20240301, "title": "Leave",
    }}  # fmt: skip
    assert json.loads(stored["docs/old/backup.txt.metadata.json"]) == {"metadataAttributes": {"kind": "old"}}
    assert s3.head_object(Bucket="handbook", Key="docs/leave.md")["ContentType"] == "text/markdown"


def test_the_metadata_are_those_of_a_build(documents: Path, bucket: Bucket, s3: Any, tmp_path: Path) -> None:
    table = tmp_path / "more.jsonl"
    table.write_text('{"source": "leave.md", "owner": "Ada", "region": "emea"}\n')
    (documents / "leave-us.md.metadata.json").write_text('{"metadataAttributes": {"owner": "Bob"}}')
    uploaded(documents, bucket, metadata=str(table))
    rag.build(documents, tmp_path / "ix", embedder="static", metadata=str(table))
    stored = objects(s3)
    facts = ("file_size", "file_mtime", "file_mime", "file_sha256", "encoding")
    for hit in rag.Index.open(tmp_path / "ix").scan({"source": {"$in": ["leave.md", "leave-us.md"]}}):
        known = {name: value for name, value in hit.metadata.items() if name not in facts}
        found = json.loads(stored[f"docs/{hit.source}.metadata.json"])["metadataAttributes"]
        del found["valid_from_day"]
        assert found == {name: str(v) if name == "valid_from" else v for name, v in known.items()}


def test_only_what_changed_is_written_again(documents: Path, bucket: Bucket, s3: Any) -> None:
    uploaded(documents, bucket)
    assert uploaded(documents, bucket).items == ()
    text = (documents / "leave.md").read_text()
    (documents / "leave.md").write_text(text.replace("28", "29"))
    (documents / "leave-us.md").write_text((documents / "leave-us.md").read_text().replace("2023", "2025"))
    plan = uploaded(documents, bucket)
    assert [item.key for item in plan.items] == [
        "docs/leave-us.md.metadata.json", "docs/leave-us.md", "docs/leave.md",
    ]  # fmt: skip
    assert plan.counts["changed"] == 2 and plan.unchanged == 1
    assert "29 days" in objects(s3)["docs/leave.md"]


def test_an_object_with_another_etag_is_known_by_its_hash(documents: Path, bucket: Bucket, s3: Any) -> None:
    """With KMS an ETag is no MD5: then the SHA-256 beside the object tells."""
    uploaded(documents, bucket)

    class Etags:
        """Gives each object an ETag that says nothing."""

        def __getattr__(self, name: str) -> Any:
            return getattr(s3, name)

        def get_paginator(self, name: str) -> Any:
            pages = list(s3.get_paginator(name).paginate(Bucket="handbook", Prefix="docs/"))
            for page in pages:
                for item in page["Contents"]:
                    item["ETag"] = '"0123"'
            return type("Pages", (), {"paginate": lambda self, **_: pages})()

    assert uploaded(documents, Bucket(bucket.place, client=Etags())).items == ()


def test_what_is_gone_stays_unless_it_is_to_be_deleted(documents: Path, bucket: Bucket, s3: Any) -> None:
    uploaded(documents, bucket)
    s3.put_object(Bucket="handbook", Key="docs/by-hand.md", Body=b"of others")
    s3.put_object(Bucket="handbook", Key="docs-too/other.md", Body=b"not below the prefix")
    (documents / "leave.md").unlink()
    plan = uploaded(documents, bucket)
    assert set(plan.gone) == {"docs/leave.md", "docs/leave.md.metadata.json"}
    assert plan.notes[-1] == (
        "1 object was in s3://handbook/docs/ before, and not uploaded by rag: left alone"
    )  # fmt: skip
    assert "docs/leave.md" in objects(s3)
    uploaded(documents, bucket, delete=True)
    assert set(objects(s3)) == {
        "docs/leave-us.md", "docs/leave-us.md.metadata.json", "docs/old/backup.txt", "docs/by-hand.md",
        "docs-too/other.md",
    }  # fmt: skip


def test_a_sidecar_without_attributes_goes(documents: Path, bucket: Bucket, s3: Any) -> None:
    uploaded(documents, bucket, metadata_from_path="{kind}/")
    plan = uploaded(documents, bucket)
    assert plan.cleared == ("docs/old/backup.txt.metadata.json",)
    assert "docs/old/backup.txt.metadata.json" not in objects(s3)


def test_an_upload_that_was_killed_goes_on(
    documents: Path, bucket: Bucket, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each document's sidecar is there before it, wherever the upload ends."""
    put, writes = Bucket.put, list[str]()

    def dies(self: Bucket, key: str, body: bytes, **options: Any) -> None:
        if len(writes) == 3:
            raise KeyboardInterrupt
        writes.append(key)
        put(self, key, body, **options)

    monkeypatch.setattr(Bucket, "put", dies)
    with pytest.raises(KeyboardInterrupt):
        uploaded(documents, Bucket(bucket.place, client=s3, parallel=1))
    stored = set(objects(s3))
    assert len(stored) == 3
    assert all(f"{key}.metadata.json" in stored for key in stored if key.endswith("leave.md"))
    monkeypatch.setattr(Bucket, "put", put)
    plan = uploaded(documents, bucket)
    assert len(plan.items) == 2 and len(objects(s3)) == 5


def test_nothing_is_written_if_a_value_does_not_fit(documents: Path, bucket: Bucket, s3: Any) -> None:
    (documents / "z.md").write_text(f"---\ntags: [{', '.join(map(str, range(11)))}]\n---\nText.\n")
    with pytest.raises(SourceError, match=r"z\.md: field 'tags' lists 11 strings"):
        uploaded(documents, bucket)
    assert objects(s3) == {}


def test_refused_files_say_what_to_do(
    documents: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "MAX_BYTES", 60)
    (documents / "empty.md").write_text("")
    (documents / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    (documents / "LICENSE").write_text("MIT")
    plan = upload.plan(rag.Loader(documents), bucket)
    refused = {each.source: (each.reason, each.advice) for each in plan.refused}
    assert refused["notes.htm"] == ("is .htm, which Knowledge Bases does not read", "rename it to .html")
    assert refused["data.json"][1] == "convert it to PDF, HTML or text, or exclude it"
    assert refused["LICENSE"][0] == "has no suffix, which Knowledge Bases does not read"
    assert refused["leave.md"] == (
        "has 0.0 MB, Knowledge Bases reads at most 0 MB",
        "split it, or exclude it",
    )
    assert refused["empty.md"][0] == "is empty (0 bytes)"
    assert "broken.pdf" in refused
    assert [item.source for item in plan.items] == ["old/backup.txt"]


def test_doc_files_are_uploaded_unread(tmp_path: Path, bucket: Bucket, s3: Any) -> None:
    """Nothing here reads .doc, which Knowledge Bases does: their metadata stand beside them."""
    folder = tmp_path / "word"
    folder.mkdir()
    (folder / "old.doc").write_bytes(b"\xd0\xcf\x11\xe0 an old document")
    (folder / "old.doc.metadata.json").write_text('{"metadataAttributes": {"year": 1999}}')
    plan = upload.plan(rag.Loader(folder), bucket)
    assert [item.key for item in plan.items] == ["docs/old.doc.metadata.json", "docs/old.doc"]
    assert plan.refused == ()


def test_a_file_that_changes_meanwhile_is_an_error(documents: Path, bucket: Bucket) -> None:
    plan = upload.plan(rag.Loader(documents), bucket)
    (documents / "leave.md").write_text("other")
    with pytest.raises(RagError, match=r"leave.md has changed during the upload: run the same command again"):
        upload.carry_out(plan, bucket, delete=False)


def test_an_empty_folder_deletes_nothing(tmp_path: Path, bucket: Bucket) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(SourceError, match="holds no files: nothing was changed"):
        uploaded(tmp_path / "none", bucket, delete=True)


@pytest.mark.parametrize(
    "url", ["handbook/docs", "s3://", "s3://Upper/x", "s3://handbook/a//b", "https://x/y"]
)
def test_a_wrong_place_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="is no place on S3: write s3://bucket/prefix"):
        place_of(url)


def test_places() -> None:
    assert place_of("s3://handbook") == Place("handbook", "") == place_of("s3://handbook/")
    assert str(place_of("s3://handbook/docs/eu/")) == "s3://handbook/docs/eu/"


def test_credentials_that_have_expired_are_named(documents: Path) -> None:
    class Expired:
        def get_paginator(self, name: str) -> Any:
            raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "old"}}, "ListObjectsV2")

    with pytest.raises(RagError, match=r"cannot list s3://handbook/docs/: .*: renew the credentials"):
        upload.plan(rag.Loader(documents), Bucket(Place("handbook", "docs/"), client=Expired()))


def test_a_missing_bucket_says_what_to_do(documents: Path, s3: Any) -> None:
    with pytest.raises(RagError, match=r"cannot list s3://missing/: .*NoSuchBucket.*create the bucket first"):
        upload.plan(rag.Loader(documents), Bucket(Place("missing", ""), client=s3))
