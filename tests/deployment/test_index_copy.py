"""The copy of an index on S3: whole and verified or not there, found again, shared, and kept up to date."""

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
from rag.core.errors import StoreCorruptError, StoreMissingError, UsageError
from rag.deployment.index_copy import IndexCopy
from rag.index.remote.push import push
from rag.index.storage.manifest import current_version
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


def test_only_what_is_missing_is_fetched(s3: Any, built: Path, tmp_path: Path) -> None:
    push(built, S3Objects(URL))
    copy = IndexCopy(S3Objects(URL, client=s3), tmp_path / "copy")
    counts = asked(s3)
    assert copy.update() and rag.Store(copy.folder).verify().sound
    first = {key for key in counts if key.startswith("files/")}
    counts.clear()
    assert not copy.update() and counts == {"CURRENT.json": 1}, "a warm container reads the pointer alone"
    assert not IndexCopy(S3Objects(URL, client=s3), tmp_path / "copy").update()
    changed(built, "Bicycles stand in the cellar.")
    push(built, S3Objects(URL))
    counts.clear()
    assert copy.update() and current_version(copy.folder) == 2
    assert len(first) > 5 and not first & counts.keys() and any(key.startswith("files/") for key in counts)
    assert rag.Index.open(copy.folder).search("bicycles", k=1)[0].source == "new.md"


def test_what_is_damaged_is_not_opened(s3: Any, built: Path, tmp_path: Path) -> None:
    push(built, S3Objects(URL))
    copy = IndexCopy(S3Objects(URL), tmp_path / "copy")
    copy.update()
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
        copy.update()
    assert current_version(copy.folder) == 1 and rag.Store(copy.folder).verify().sound
    cold = IndexCopy(S3Objects(URL), tmp_path / "cold")
    with pytest.raises(StoreCorruptError):
        cold.update()
    assert current_version(cold.folder) is None
    with pytest.raises(StoreMissingError):
        IndexCopy(S3Objects("s3://indexes/nothing"), tmp_path / "none").update()


def test_a_disk_without_room_is_said_before_anything_is_fetched(
    s3: Any, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(built, S3Objects(URL))
    usage = collections.namedtuple("usage", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda path: usage(100, 99, 1000))
        copy = IndexCopy(S3Objects(URL), tmp_path / "deep" / "copy")
        with pytest.raises(UsageError, match=r"needs .* left: give the function more ephemeral storage"):
            copy.update()
    assert not copy.folder.exists() or current_version(copy.folder) is None
    assert copy.update()


def test_containers_share_a_copy(s3: Any, built: Path, tmp_path: Path) -> None:
    """Of an Amazon EFS file system: four fetch at once, and each finds it whole."""
    push(built, S3Objects(URL))
    program = (
        "import sys; from rag.deployment.index_copy import IndexCopy; import rag; "
        "from rag.config.open import object_store; "
        f"copy = IndexCopy(object_store('{URL}'), sys.argv[1]); copy.update(); "
        "print(rag.Index.open(copy.folder).version)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "shared")]
    running = [
        subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in running:
        out, error = process.communicate(timeout=120)
        assert (process.returncode, out.strip()) == (0, "1"), error
    assert rag.Store(tmp_path / "shared").verify().sound


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
