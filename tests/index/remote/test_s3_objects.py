"""Objects on S3: uploads in parts, resumed downloads, conditional writes; against moto and SeaweedFS."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from rag.bedrock.storage import s3_upload
from rag.bedrock.storage.s3_objects import S3Objects
from rag.core.errors import RemoteError, StoreCorruptError, UsageError
from rag.index.remote.objects import AbsentError, ChangedError
from rag.index.remote.transfer import Meter, Stopped

#: S3's smallest part.
PART = 5 << 20


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of two parts and a bit."""
    monkeypatch.setattr(s3_upload, "SINGLE", 1 << 20)
    monkeypatch.setattr(s3_upload, "PART", PART)
    path = tmp_path / "large"
    path.write_bytes(os.urandom(2 * PART + 1000))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def upload(place: S3Objects, path: Path) -> Meter:
    meter = Meter([])
    place.upload("files/large", path, path.stat().st_size, sha256(path), meter)
    return meter


def test_parts(s3: Any, place: S3Objects, large: Path, tmp_path: Path) -> None:
    meter = upload(place, large)
    assert meter.network == meter.bytes == large.stat().st_size
    assert s3.head_object(Bucket="indexes", Key=f"{place.prefix}files/large")["ETag"].endswith('-3"')
    assert place.holds("files/large", large.stat().st_size, sha256(large))
    assert not place.holds("files/large", large.stat().st_size, "0" * 64)
    assert not place.holds("files/other", 1, "0" * 64)
    place.download("files/large", tmp_path / "back", large.stat().st_size, meter)
    assert sha256(tmp_path / "back") == sha256(large)


def begin(s3: Any, place: S3Objects, part: bytes) -> str:
    """Upload a first part as a push does that is killed then."""
    at = {"Bucket": "indexes", "Key": f"{place.prefix}files/large"}
    begun = s3.create_multipart_upload(**at, ChecksumAlgorithm="SHA256")["UploadId"]
    s3.upload_part(**at, UploadId=begun, PartNumber=1, Body=part, ChecksumSHA256=s3_upload.sha256_text(part))
    return str(begun)


def test_a_killed_upload_goes_on(s3: Any, place: S3Objects, large: Path) -> None:
    begin(s3, place, large.read_bytes()[:PART])
    meter = upload(place, large)
    assert (meter.network, meter.bytes) == (PART + 1000, large.stat().st_size)
    assert place.holds("files/large", large.stat().st_size, sha256(large))
    assert not s3.list_multipart_uploads(Bucket="indexes").get("Uploads")


def test_a_part_of_something_else_is_sent_again(s3: Any, place: S3Objects, large: Path) -> None:
    begin(s3, place, bytes(PART))
    assert upload(place, large).network == large.stat().st_size
    assert place.holds("files/large", large.stat().st_size, sha256(large))


def test_abandoned_uploads_go(s3: Any, place: S3Objects, large: Path) -> None:
    begin(s3, place, bytes(PART))
    place.abandon("files/")
    assert not s3.list_multipart_uploads(Bucket="indexes").get("Uploads")


def test_a_stopped_upload_is_not_complete(place: S3Objects, large: Path) -> None:
    meter = Meter([])
    meter.stop()
    with pytest.raises(Stopped):
        place.upload("files/large", large, large.stat().st_size, sha256(large), meter)
    assert place.sizes("files/") == {}
    upload(place, large)


def test_an_altered_file_is_refused(place: S3Objects, large: Path) -> None:
    with pytest.raises(StoreCorruptError, match="large was altered"):
        place.upload("files/large", large, large.stat().st_size, "0" * 64, Meter([]))
    assert place.sizes("files/") == {}


def test_downloads_resume_if_the_object_is_the_same(s3: Any, place: S3Objects, tmp_path: Path) -> None:
    data, path = os.urandom(100_000), tmp_path / "file"
    s3.put_object(Bucket="indexes", Key=f"{place.prefix}a", Body=data)
    etag = s3.head_object(Bucket="indexes", Key=f"{place.prefix}a")["ETag"]
    for beside, expected in ((etag, 60_000), ('"another"', 100_000)):
        path.write_bytes(data[:40_000])
        path.with_name("file.etag").write_text(beside)
        meter = Meter([])
        place.download("a", path, len(data), meter)
        assert (path.read_bytes() == data, meter.network) == (True, expected)
        assert not path.with_name("file.etag").exists()
    with pytest.raises(AbsentError):
        place.download("b", path, 5, Meter([]))
    with pytest.raises(StoreCorruptError, match="has 100000 bytes, the manifest says 5"):
        place.download("a", path, 5, Meter([]))


def test_conditional_writes(place: S3Objects) -> None:
    place.check_conditions()
    place.write("p", b"1", None)
    first = place.read("p", 10)
    assert first is not None and first.data == b"1"
    with pytest.raises(ChangedError):
        place.write("p", b"2", None)
    place.write("p", b"3", first.etag)
    with pytest.raises(ChangedError):
        place.write("p", b"4", first.etag)
    with pytest.raises(ChangedError):
        place.write("absent", b"4", first.etag)
    assert place.read("p", 10).data == b"3"
    assert place.read("absent", 10) is None
    with pytest.raises(RemoteError, match="has 1 bytes, at most 0 were expected"):
        place.read("p", 0)


class Ignoring:
    """A client of a server that knows no conditional writes."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put_object(self, **arguments: Any) -> Any:
        return self._client.put_object(**{
            name: value for name, value in arguments.items() if name not in ("IfMatch", "IfNoneMatch")
        })  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_a_server_that_ignores_conditions_is_refused(moto_s3: Any) -> None:
    place = S3Objects("s3://indexes/ignoring", client=Ignoring(moto_s3))
    with pytest.raises(RemoteError, match="ignores If-Match and If-None-Match"):
        place.check_conditions()


@pytest.mark.parametrize("url", [
    "s3://", "s3://a", "s3://Bucket/x", "s3://bucket/a//b", "s3://bucket/../a", "s3://bucket/a/./b",
    "https://bucket/a", "bucket/a", "s3://bucket/a\nb", "s3://bucket/" + "a" * 901,
])  # fmt: skip
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        S3Objects(url)


def test_urls() -> None:
    assert S3Objects("s3://bucket/a/b/").name == S3Objects("s3://bucket/a/b").name == "s3://bucket/a/b/"
    assert S3Objects("s3://bucket").name == "s3://bucket/"


def test_a_key_of_ones_own_encrypts(moto_s3: Any, large: Path) -> None:
    place = S3Objects("s3://indexes/encrypted", kms_key="arn:aws:kms:us-east-1:123456789012:key/mine")
    place.put("small", b"x", hashlib.sha256(b"x").hexdigest())
    place.write("pointer", b"{}", None)
    upload(place, large)
    for key in ("small", "pointer", "files/large"):
        head = moto_s3.head_object(Bucket="indexes", Key=f"encrypted/{key}")
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == (
            "aws:kms",
            place._encryption["SSEKMSKeyId"],
        )


def test_a_bucket_that_keeps_what_is_deleted(moto_s3: Any) -> None:
    place = S3Objects("s3://versioned/x")
    moto_s3.create_bucket(Bucket="versioned")
    place.put("a", b"x", hashlib.sha256(b"x").hexdigest())
    assert place.delete(["a"])
    moto_s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    place.put("a", b"x", hashlib.sha256(b"x").hexdigest())
    assert not place.delete(["a"])
