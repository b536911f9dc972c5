"""Where the examples of a page run: a folder as its reader would have it, an emulator of Bedrock, and S3."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from rag.emulator import Emulator
from rag.emulator.variables import environment
from tests.conftest import HANDBOOK, ROOT

#: Questions of the golden set that an example measures; all of them take a minute.
QUESTIONS = 12
BACKUP = (
    "---\nyear: 2025\nteam: platform\nstatus: current\n---\n# Backups\n\n## Schedule\n\nBackups are kept for 35 days.\n\n"
    "## Restore\n\nThe platform team restores a database within 4 hours.\n"
)
LEAVE = "---\nregion: eu\n---\n# Leave\n\nStaff in Europe take 28 days of annual leave.\n"
BUCKETS = ("bucket", "handbook")


def furnish(folder: Path, handbook: Path) -> None:
    """Lay out notes, documents, the handbook with its index, and a golden set."""
    (folder / "data").mkdir()
    (folder / "data" / "handbook").symlink_to(HANDBOOK)
    (folder / "data" / "prompts").symlink_to(ROOT / "data" / "prompts")
    lines = (ROOT / "data" / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    lines = lines[: QUESTIONS - 4] + [line for line in lines if '"legal"' in line][:4]
    for name in ("golden.jsonl", "data/golden.jsonl"):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copytree(handbook, folder / "indexes" / "handbook")
    for name, text in (("notes/backup.md", BACKUP), ("docs/leave.md", LEAVE)):
        (folder / name).parent.mkdir()
        (folder / name).write_text(text, encoding="utf-8")
    asked = [{"id": f"q{n}", "question": "Who declares a SEV-1?"} for n in range(3)]
    (folder / "questions.jsonl").write_text(
        "".join(json.dumps(each) + "\n" for each in asked), encoding="utf-8"
    )


@contextmanager
def aws(s3: str) -> Iterator[Emulator]:
    """Point AWS's clients, here and in commands, at an emulator and at a local S3 with empty buckets."""
    with Emulator(s3_endpoint=s3) as emulator:
        emulator.jobs.min_records = 1
        variables = {**emulator.environment(), "AWS_ENDPOINT_URL_S3": s3, "AWS_EC2_METADATA_DISABLED": "true"}
        with environment(variables):
            client = boto3.client("s3", endpoint_url=s3, region_name="us-east-1")
            for bucket in BUCKETS:
                client.create_bucket(Bucket=bucket)
            yield emulator
            for bucket in BUCKETS:
                for item in client.list_objects_v2(Bucket=bucket).get("Contents", ()):
                    client.delete_object(Bucket=bucket, Key=item["Key"])
                client.delete_bucket(Bucket=bucket)
