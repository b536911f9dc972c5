"""A container's copy of an index on S3: whole or not there, found again, shared, and kept up to date."""

from __future__ import annotations

import collections
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

import rag
from rag.bedrock.storage.s3_objects import S3Objects
from rag.core.errors import NoRoomError, StoreCorruptError, StoreMissingError, UsageError
from rag.deployment import function as deployed
from rag.index.remote.mirror import Cache, Mirror
from rag.index.remote.pull import pull
from rag.index.remote.push import push
from rag.index.storage.manifest import current_version, kept_versions
from tests.conftest import ROOT
from tests.deployment.conftest import LEAVE
from tests.deployment.containers import container
from tests.deployment.lambda_service import LambdaService, url_event

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
URL = "s3://indexes/handbook"


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of moto, with an empty bucket; the AWS environment points there."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL_S3": moto}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="indexes")
    for item in client.list_objects_v2(Bucket="indexes").get("Contents", ()):
        client.delete_object(Bucket="indexes", Key=item["Key"])
    return client


@pytest.fixture
def built(small_index: Path, tmp_path: Path) -> Path:
    """An index of one's own to change and push."""
    shutil.copytree(small_index.parent, tmp_path / "source")
    return tmp_path / "source" / "ix"


def changed(index: Path, text: str) -> None:
    docs = index.parent / "docs"
    (docs / "new.md").write_text(f"# New\n\n{text}\n")
    rag.build(docs, index, embedder="static")


def asked(client: Any) -> collections.Counter[str]:
    """Counts the objects that a client is asked for from now on."""
    counts: collections.Counter[str] = collections.Counter()
    client.meta.events.register(
        "provide-client-params.s3.GetObject",
        lambda params, **_: counts.update([params["Key"].removeprefix("handbook/")]),
    )
    return counts


def copy_of(folder: Path, client: Any = None, url: str = URL) -> Mirror:
    return Mirror(S3Objects(url, client=client), Cache(folder, 10**9))


def test_only_what_is_missing_is_fetched(s3: Any, built: Path, tmp_path: Path) -> None:
    push(built, S3Objects(URL))
    copy = copy_of(tmp_path / "copies", s3)
    counts = asked(s3)
    assert copy.hold().version == 1 and rag.Store(copy.folder).verify().sound
    first = {key for key in counts if key.startswith("files/")}
    counts.clear()
    assert copy.current() == 1 and counts == {"CURRENT.json": 1}, "a warm container reads the pointer alone"
    counts.clear()
    copy_of(tmp_path / "copies", s3).hold()
    assert counts == {"CURRENT.json": 1}, "and so does one that finds another's copy"
    changed(built, "Bicycles stand in the cellar.")
    push(built, S3Objects(URL))
    counts.clear()
    assert copy.hold().version == current_version(copy.folder) == 2
    assert len(first) > 5 and not first & counts.keys() and any(key.startswith("files/") for key in counts)
    assert rag.Index.open(copy.folder).search("bicycles", k=1)[0].source == "new.md"


def test_what_is_damaged_is_not_opened(s3: Any, built: Path, tmp_path: Path) -> None:
    push(built, S3Objects(URL))
    copy = copy_of(tmp_path / "copies")
    copy.hold()
    changed(built, "Bicycles stand in the cellar.")
    before = {item["Key"] for item in s3.list_objects_v2(Bucket="indexes")["Contents"]}
    push(built, S3Objects(URL))
    new = {item["Key"]: item["Size"] for item in s3.list_objects_v2(Bucket="indexes")["Contents"]}
    (key, size) = max(
        ((key, size) for key, size in new.items() if "/files/" in key and key not in before),
        key=lambda pair: pair[1],
    )
    s3.put_object(Bucket="indexes", Key=key, Body=b"x" * size)
    with pytest.raises(StoreCorruptError, match="does not have the SHA-256"):
        copy.hold()
    assert current_version(copy.folder) == 1 and rag.Store(copy.folder).verify().sound
    cold = copy_of(tmp_path / "cold")
    with pytest.raises(StoreCorruptError):
        cold.hold()
    assert current_version(cold.folder) is None
    with pytest.raises(StoreMissingError):
        copy_of(tmp_path / "none", url="s3://indexes/nothing").hold()


def test_a_disk_without_room_is_said_before_anything_is_fetched(
    s3: Any, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(built, S3Objects(URL))
    settings = f'[deploy]\nindex = "{URL}"\nstate = "{tmp_path / "state"}"\nopen = true\n'
    usage = collections.namedtuple("usage", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: usage(100, 99, 1000))
        with pytest.raises(UsageError, match=r"needs .* left: make room: with storage_mb in \[deploy\]"):
            deployed.function({"RAG_TOML": settings})
    (copy,) = (tmp_path / "state" / "indexes").iterdir()
    assert current_version(copy) is None and not [*copy.glob("segments/*")]
    assert deployed.function({"RAG_TOML": settings}).service.version == 1


def test_a_disk_without_room_loses_the_versions_that_nobody_reads(
    s3: Any, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a disk that is smaller than the cache may be, such as that of AWS Lambda."""
    push(built, S3Objects(URL))
    copy = copy_of(tmp_path / "copies")
    copy.hold().close()
    changed(built, "Bicycles stand in the cellar.")
    push(built, S3Objects(URL))
    needed = pull(copy.store, copy.folder, force=True, check=False, dry_run=True).bytes
    most, usage = copy.cache.bytes() + needed - 1, collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(most, 0, most - copy.cache.bytes()))
    reading = copy.hold(1)
    with pytest.raises(NoRoomError, match="left: make room"):
        copy.hold(2)
    assert kept_versions(copy.folder) == [1] and rag.Store(copy.folder).verify().sound
    reading.close()
    assert copy.hold(2).version == 2 and kept_versions(copy.folder) == [2]


def test_containers_share_a_copy(s3: Any, built: Path, tmp_path: Path) -> None:
    """Of an Amazon EFS file system: four fetch at once, and each finds it whole."""
    push(built, S3Objects(URL))
    program = (
        "import sys; from rag.config.open import mirror; "
        f"copy = mirror('{URL}', {{'cache': sys.argv[1]}}); lease = copy.hold(); "
        "import rag; print(rag.Index.open(copy.folder).version)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "shared")]
    running = [
        subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in running:
        out, error = process.communicate(timeout=120)
        assert (process.returncode, out.strip()) == (0, "1"), error
    (copy,) = (tmp_path / "shared" / "indexes").iterdir()
    assert rag.Store(copy).verify().sound


def version(service: LambdaService) -> int:
    return json.loads(service.invoke(url_event(path="/readyz")).content)["version"]


def test_the_function_serves_it_and_takes_new_versions_over(
    s3: Any, moto: str, built: Path, tmp_path: Path
) -> None:
    push(built, S3Objects(URL))
    settings = f'[deploy]\nindex = "{URL}"\nstate = "{tmp_path / "state"}"\nopen = true\nrefresh_s = 0.2\n'
    ask = url_event("POST", "/v1/ask", {"question": LEAVE})
    with container(tmp_path, settings, {**KEYS, "AWS_ENDPOINT_URL_S3": moto}) as (service, _):
        assert json.loads(service.invoke(ask).content)["answered"] and version(service) == 1
        changed(built, "Bicycles stand in the cellar.")
        push(built, S3Objects(URL))
        time.sleep(0.3)
        until = time.monotonic() + 20
        service.invoke(ask)  # looks beside this request
        while version(service) == 1:
            assert time.monotonic() < until
        search = url_event("POST", "/v1/search", {"question": "bicycles", "k": 1})
        assert json.loads(service.invoke(search).content)["hits"][0]["source"] == "new.md"
        s3.delete_object(Bucket="indexes", Key="handbook/CURRENT.json")
        assert service.invoke({"source": "aws.events"}).json == {"version": 2}, "the version in service stays"
        assert json.loads(service.invoke(ask).content)["answered"]
