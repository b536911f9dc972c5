"""The world of the tests of batch jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from rag.emulator import Emulator
from tests.building.batch_world import World


@pytest.fixture
def world(moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with Emulator(s3_endpoint=moto) as emulator:
        env = {**emulator.environment(), "AWS_ENDPOINT_URL_S3": moto}
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        s3 = boto3.client("s3", endpoint_url=moto)
        s3.create_bucket(Bucket="work")
        docs = tmp_path / "docs"
        docs.mkdir()
        for n in range(11):
            parts = (
                f"## Part {m} of {n}\n\nRule {n}.{m}: staff of office {n} take {m + 20} days of leave.\n\n"
                for m in range(6)
            )
            (docs / f"{n}.md").write_text(f"# Office {n}\n\n{''.join(parts)}")
        (tmp_path / "rag.toml").write_text('[embedder]\nuse = "titan"\ndimensions = 256\n')
        yield World(emulator, s3, docs, tmp_path / "ix", env)
        for item in s3.list_objects_v2(Bucket="work").get("Contents", ()):
            s3.delete_object(Bucket="work", Key=item["Key"])
