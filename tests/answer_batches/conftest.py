"""The world of the tests of batches of answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

import rag
from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at
from tests.answer_batches.answer_world import AnswerWorld
from tests.building.batch_world import PLACE, ROLE

SETTINGS = f"""
[generator]
use = "claude"
[batch]
s3 = "{PLACE}"
role_arn = "{ROLE}"
min_records = 5
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with documents, and an index of them whose questions need no AWS."""
    folder = tmp_path_factory.mktemp("answers")
    (folder / "docs").mkdir()
    for n in range(12):
        text = (
            f"---\nyear: {2000 + n}\n---\n# Office {n}\n\nStaff of office {n} take {n + 20} days of leave.\n"
        )
        (folder / "docs" / f"{n}.md").write_text(text)
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder


@pytest.fixture
def world(moto: str, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnswerWorld]:
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    (tmp_path / "rag.toml").write_text(SETTINGS)
    with Emulator(s3_endpoint=moto) as emulator:
        env = {**emulator.environment(), "AWS_ENDPOINT_URL_S3": moto}
        point_at(monkeypatch, env)
        emulator.jobs.min_records = 5
        s3 = boto3.client("s3", endpoint_url=moto)
        s3.create_bucket(Bucket="work")
        yield AnswerWorld(emulator, s3, tmp_path / "docs", tmp_path / "ix", env)
        for item in s3.list_objects_v2(Bucket="work").get("Contents", ()):
            s3.delete_object(Bucket="work", Key=item["Key"])
        answers_of_aws = ("the quota", "cannot be stopped")
        assert [each for each in emulator.problems if not any(part in each for part in answers_of_aws)] == []
