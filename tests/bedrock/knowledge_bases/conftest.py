"""An emulator of Bedrock beside moto's S3, a bucket for documents, and a small folder of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

import rag
from rag.bedrock.knowledge_bases import upload
from rag.bedrock.knowledge_bases.bucket import Bucket, Place
from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at

ROLE = "arn:aws:iam::123456789012:role/kb"
HANDBOOK = Place("handbook", "docs/")


@pytest.fixture
def aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The emulator, and an empty bucket named handbook."""
    with Emulator(s3_endpoint=moto) as emulator:
        point_at(monkeypatch, emulator.environment())
        client = boto3.client("s3")
        for bucket in client.list_buckets()["Buckets"]:
            for item in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ()):
                client.delete_object(Bucket=bucket["Name"], Key=item["Key"])
            client.delete_bucket(Bucket=bucket["Name"])
        client.create_bucket(Bucket="handbook")
        yield emulator


@pytest.fixture
def s3(aws: Emulator) -> Any:
    return boto3.client("s3")


@pytest.fixture
def bucket(s3: Any) -> Bucket:
    return Bucket(HANDBOOK, client=s3)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """Three documents, two of them with front matter, and two files that Knowledge Bases does not read."""
    folder = tmp_path / "docs"
    (folder / "old").mkdir(parents=True)
    for name, text in {
        "leave.md": "---\nregion: eu\nyear: 2024\ntags: [hr, leave]\nvalid_from: 2024-03-01\n---\n# Leave\n\n"
        "Staff in Europe take 28 days of annual leave.\n",
        "leave-us.md": "---\nregion: us\nyear: 2023\nvalid_from: 2022-01-01\n---\n# Leave\n\n"
        "Staff in the United States take 22 days of annual leave.\n",
        "old/backup.txt": "Backups run every night at two.\n",
        "notes.htm": "<p>Dogs are welcome.</p>",
        "data.json": "{}",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def objects(client: Any, bucket: str = "handbook") -> dict[str, str]:
    """The objects of a bucket, by key."""
    items = client.list_objects_v2(Bucket=bucket).get("Contents", ())
    return {
        item["Key"]: client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode()
        for item in items
    }


def uploaded(folder: Path, bucket: Bucket, *, delete: bool = False, **options: Any) -> upload.UploadPlan:
    plan = upload.plan(rag.Loader(folder, **options), bucket)
    upload.carry_out(plan, bucket, delete=delete)
    return plan
