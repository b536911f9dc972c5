"""Indexes to push, and the S3 servers to push them to: moto and SeaweedFS, both over HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

import rag
from rag.bedrock.storage.s3_objects import S3Objects
from tests.index.remote.seaweed import KEYS, running

_NAMES = itertools.count(1)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a SeaweedFS on this machine."""
    with running(tmp_path_factory.mktemp("seaweed")) as url:
        yield url


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Points the AWS environment to a server; returns a client of it."""

    def point(url: str) -> Any:
        for name, value in {**KEYS, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": url}.items():
            monkeypatch.setenv(name, value)
        return boto3.client("s3", region_name="us-east-1")

    return point


@pytest.fixture
def moto_s3(moto: str, aws: Callable[[str], Any]) -> Any:
    """A client of moto, with an empty bucket ``indexes``."""
    return emptied(aws(moto))


@pytest.fixture(params=["moto", "seaweed"])
def s3(request: pytest.FixtureRequest, aws: Callable[[str], Any]) -> Any:
    """A client of each server in turn, with an empty bucket ``indexes``."""
    return emptied(aws(request.getfixturevalue(request.param)))


def emptied(client: Any) -> Any:
    if "indexes" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="indexes")
    for item in client.list_objects_v2(Bucket="indexes").get("Contents", ()):
        client.delete_object(Bucket="indexes", Key=item["Key"])
    return client


@pytest.fixture
def place(s3: Any) -> S3Objects:
    """A prefix of its own."""
    return S3Objects(f"s3://indexes/{next(_NAMES)}/handbook")


@pytest.fixture
def quick_place(moto_s3: Any) -> S3Objects:
    """A prefix of its own on moto."""
    return S3Objects(f"s3://indexes/{next(_NAMES)}/handbook")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder of small documents."""
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(6):
        write(folder, number, f"Topic{number} is explained here. " * 20)
    return folder


@pytest.fixture
def index(docs: Path, tmp_path: Path) -> Path:
    """Their index."""
    rag.build(docs, tmp_path / "index", embedder="static")
    return tmp_path / "index"


def write(docs: Path, number: int, text: str) -> None:
    (docs / f"{number}.md").write_text(f"# Document {number}\n\n{text}\n", encoding="utf-8")


def changed(docs: Path, index: Path, number: int = 0, text: str = "Something else now. ") -> int:
    """Change a document, build, and return the new version."""
    write(docs, number, text * 20)
    return rag.build(docs, index, embedder="static").version


def found(index: str | Path, question: str) -> str:
    return rag.Index.open(index).search(question, k=1, mode="lexical")[0].source


def keys(place: S3Objects, prefix: str = "") -> list[str]:
    return sorted(place.sizes(prefix))
