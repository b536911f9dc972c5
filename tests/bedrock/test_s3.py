"""Building from a bucket, against moto's S3 server on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from langchain_core.documents import Document

import rag
from rag.bedrock.storage.s3 import S3Files
from rag.core.errors import LoadError, SourceError


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": moto,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    for bucket in client.list_buckets()["Buckets"]:
        for item in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ()):
            client.delete_object(Bucket=bucket["Name"], Key=item["Key"])
        client.delete_bucket(Bucket=bucket["Name"])
    client.create_bucket(Bucket="docs")
    return client


def put(client: Any, files: dict[str, str]) -> None:
    for key, text in files.items():
        client.put_object(Bucket="docs", Key=key, Body=text.encode())


def mirror(root: Path, files: dict[str, str]) -> Path:
    for key, text in files.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


FILES = {
    "eu/leave.md": "---\nyear: 2026\n---\n# Leave\n\nStaff take 28 days of leave.\n",
    "eu/leave.md.metadata.json": json.dumps({"metadataAttributes": {"region": "eu"}}),
    "us/leave.html": "<h1>Leave</h1><p>Staff take 22 days of leave.</p>",
    "us/deep/a b+c.txt": "Backups run at two.",
    ".hidden/x.md": "never",
    "us/.env": "never",
}


def test_bucket_and_copy(s3: Any, tmp_path: Path) -> None:
    """An index of a bucket equals an index of its copy on disk."""
    put(
        s3,
        {f"kb/{key}": text for key, text in FILES.items()}
        | {"kb/us/": "", "kbelse/z.md": "never", "other.md": "never"},
    )
    build = {"embedder": "static", "metadata_from_path": "{top}/"}
    report = rag.build("s3://docs/kb", tmp_path / "one", **build)
    assert (report.files, report.quarantined, report.notes) == (3, (), ())
    rag.build(mirror(tmp_path / "copy", FILES), tmp_path / "two", **build)
    one, two = rag.Index.open(tmp_path / "one"), rag.Index.open(tmp_path / "two")
    drop = {"file_mtime"}
    for query in ("leave", "backups"):
        hits = [
            [
                (
                    h.source,
                    h.start,
                    h.end,
                    h.text,
                    h.score,
                    {k: v for k, v in h.metadata.items() if k not in drop},
                )
                for h in index.search(query)
            ]
            for index in (one, two)
        ]
        assert hits[0] == hits[1] and hits[0]
    assert [h.source for h in one.search("leave", where="region == 'eu' and top == 'eu'")] == ["eu/leave.md"]
    assert one.info()["root"] == "s3://docs/kb"
    assert not (tmp_path / "one" / "downloads").exists()
    assert rag.Store(tmp_path / "one").verify().sound


def test_incremental(s3: Any, tmp_path: Path) -> None:
    """Only objects whose ETag or sidecar changed are fetched again."""
    put(s3, FILES)
    rag.build("s3://docs", tmp_path / "ix", embedder="static")
    got: list[str] = []
    s3.meta.events.register("before-call.s3.GetObject", lambda params, **_: got.append(params["url_path"]))
    place = S3Files("s3://docs", client=s3)
    again = rag.build(rag.Loader(place), tmp_path / "ix")
    assert (again.unchanged, again.version, [url for url in got if "metadata" not in url]) == (3, 1, [])
    put(s3, {"us/leave.html": "<p>Staff take 23 days of leave.</p>"})
    s3.delete_object(Bucket="docs", Key="us/deep/a b+c.txt")
    put(s3, {"eu/leave.md.metadata.json": '{"region": "uk"}'})
    got.clear()
    report = rag.build(rag.Loader(S3Files("s3://docs", client=s3)), tmp_path / "ix")
    assert (report.changed, report.removed, report.unchanged, report.version) == (2, 1, 0, 2)
    assert sorted(url for url in got if "metadata" not in url) == ["/eu/leave.md", "/us/leave.html"]
    assert rag.Index.open(tmp_path / "ix").search("leave", where="region == 'uk'")[0].source == "eu/leave.md"


def test_stopped_build(s3: Any, tmp_path: Path) -> None:
    """A stopped build fetches nothing twice and continues inside an object."""
    put(s3, {f"{n:02d}.md": f"Page {n} " + "of words. " * 50 for n in range(20)})
    kept = tmp_path / "downloads"
    first = S3Files("s3://docs", client=s3)
    first.keep_in(kept)
    files = sorted(first.list(), key=lambda file: file.source)
    for file in files[:7]:
        with first.local(file) as path:
            assert path.read_bytes().startswith(b"Page")
    first.close(done=False)
    whole = [path for path in kept.rglob("*") if path.is_file()]
    assert len(whole) == 7
    cut = whole[0]
    part = cut.with_suffix(".part")
    part.write_bytes(cut.read_bytes()[:100])
    text = cut.read_bytes()
    cut.unlink()
    ranges: list[str | None] = []
    s3.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: ranges.append(params["headers"].get("Range"))
    )
    second = S3Files("s3://docs", client=s3)
    second.keep_in(kept)
    for file in second.list():
        with second.local(file) as path:
            assert path.stat().st_size == file.bytes
    assert len(ranges) == 14 and ranges.count("bytes=100-") == 1
    assert cut.read_bytes() == text
    second.close(done=True)
    assert not kept.exists()


def test_changing_object(s3: Any) -> None:
    """An object that changes during the build is quarantined."""
    put(s3, {"a.md": "Old words."})
    place = S3Files("s3://docs", client=s3)
    [file] = place.list()
    put(s3, {"a.md": "New words, longer."})
    with (
        pytest.raises(LoadError, match="changed or disappeared during the build: build again"),
        place.local(file),
    ):
        pass
    loader = rag.Loader(place)
    [(_, result)] = loader.read([file])
    assert isinstance(result, LoadError)
    place.close(done=True)


def test_orphan_sidecars(s3: Any, tmp_path: Path) -> None:
    put(s3, {"kb/a.md": "Words.", "kb/b.metadata.json": '{"just": "data"}',
             "kb/c.pdf.metadata.json": '{"metadataAttributes": {"n": 1}}'})  # fmt: skip
    loader = rag.Loader("s3://docs/kb/")
    assert [document.metadata["source"] for document in loader.load()] == ["a.md", "b.metadata.json"]
    assert [note.split(",")[0] for note in loader.notes] == [
        "b.metadata.json has the name of a sidecar", "c.pdf.metadata.json describes c.pdf",
    ]  # fmt: skip


def test_a_sidecar_that_is_too_large_is_not_fetched(s3: Any) -> None:
    """Its listed size tells; one that stands alone is a document, with the object's date."""
    large = json.dumps({"metadataAttributes": {"n": "x" * (1 << 20)}})
    put(s3, {"kb/a.md": "Words.", "kb/a.md.metadata.json": large, "kb/b.metadata.json": large})
    fetched: list[str] = []
    s3.meta.events.register(
        "provide-client-params.s3.GetObject", lambda params, **_: fetched.append(params["Key"])
    )
    loader = rag.Loader(S3Files("s3://docs/kb/", client=s3))
    listed = loader.files()
    assert [file.source for file in listed] == ["a.md", "b.metadata.json"]
    assert fetched == []
    assert listed[1].modified == s3.head_object(Bucket="docs", Key="kb/b.metadata.json")["LastModified"]
    [(_, error), (_, document)] = loader.read(listed)
    assert isinstance(error, LoadError)
    assert str(error) == "has a sidecar .metadata.json of more than 1 MB: make it smaller"
    assert isinstance(document, Document)
    assert document.metadata["file_size"] == len(large)
    assert fetched == ["kb/b.metadata.json"]


def test_prefixes(s3: Any, tmp_path: Path) -> None:
    """A prefix names one object, or all objects below it."""
    put(s3, {"kb/a.md": "Words of a.", "kb/a.md.metadata.json": '{"n": 1}', "kb/ab.md": "Words of ab."})
    [document] = rag.Loader("s3://docs/kb/a.md").load()
    assert (document.page_content, document.metadata["source"], document.metadata["n"]) == (
        "Words of a.",
        "a.md",
        1,
    )
    assert [d.metadata["source"] for d in rag.Loader("s3://docs/kb/").load()] == ["a.md", "ab.md"]
    assert [d.metadata["source"] for d in rag.Loader("s3://docs", include=["*ab*"]).load()] == ["kb/ab.md"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://", "names no bucket: write s3://bucket/prefix"),
        ("s3://nowhere/kb", "cannot be listed: Amazon S3: NoSuchBucket"),
        ("s3://docs/empty", "holds no objects: check the bucket and the prefix"),
    ],
)
def test_wrong_url(s3: Any, tmp_path: Path, url: str, message: str) -> None:
    """A wrong URL is a one-line error that says what to do."""
    with pytest.raises(SourceError) as caught:
        rag.build(url, tmp_path / "ix", embedder="static")
    assert message in str(caught.value)
    assert not (tmp_path / "ix" / "manifests").exists()


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(SourceError, match="there are no AWS credentials"):
        rag.Loader("s3://docs").load()


def test_concurrency(s3: Any) -> None:
    """Objects are fetched concurrently."""
    import threading
    import time

    put(s3, {f"{n:02d}.md": f"Page {n}." for n in range(32)})
    running, most, lock = 0, 0, threading.Lock()

    def begin(**_: Any) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)

    def end(**_: Any) -> None:
        nonlocal running
        with lock:
            running -= 1

    s3.meta.events.register("before-call.s3.GetObject", begin)
    s3.meta.events.register("after-call.s3.GetObject", end)
    documents = rag.Loader(S3Files("s3://docs", client=s3)).load()
    assert [d.page_content for d in documents] == [f"Page {n}." for n in range(32)]
    assert most >= 8
