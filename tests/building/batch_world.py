"""What the tests of batch jobs share: the emulator, moto's S3 server, documents, and short waits."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.bedrock.storage import batch_run
from rag.building import batch as batching
from rag.cli.main import main
from rag.emulator import Emulator
from rag.emulator.embedding import embed
from rag.emulator.jobs import Job, Jobs, jobs_of
from tests.index.test_equality import assert_equal, found

ROLE = "arn:aws:iam::123456789012:role/rag-batch"
PLACE = "s3://work/jobs"
TITAN = {"use": "titan", "dimensions": 256}
BATCH = {"s3": PLACE, "role_arn": ROLE}


@dataclass
class World:
    """What there is outside: the emulator, its jobs, a bucket; and documents of 132 texts."""

    emulator: Emulator
    s3: Any
    docs: Path
    index: Path
    env: dict[str, str]

    @property
    def jobs(self) -> Jobs:
        return jobs_of(self.emulator)

    @property
    def started(self) -> list[Job]:
        return list(self.jobs.known.values())

    @property
    def on_demand(self) -> int:
        return self.emulator.counts["InvokeModel"]

    def rag(self, *arguments: str, code: int = 0) -> str:
        """Run a command in this process; return what it printed, or its error."""
        out, error = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(error):
            patch.setattr(sys, "argv", ["rag", *arguments])
            patch.setattr(batch_run, "FIRST_S", 0.02)
            with pytest.raises(SystemExit) as ended:
                main()
        assert ended.value.code == code, out.getvalue() + error.getvalue()
        return out.getvalue() if code == 0 else error.getvalue()

    def process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python in a process of its own."""
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=120,
            env={**os.environ, **self.env},
        )  # fmt: skip

    def command(self, *more: str) -> list[str]:
        return [
            "build",
            str(self.docs),
            str(self.index),
            "--config",
            str(self.docs.parent / "rag.toml"),
            *more,
        ]

    def build(self, *more: str, code: int = 0) -> str:
        return self.rag(*self.command(*more), code=code)


def quick(seconds: float) -> None:
    """Wait a moment instead of a while."""
    time.sleep(min(seconds, 0.02))


#: What is found in indexes that were built on demand, by the documents' texts.
FRESH: dict[tuple[str, ...], Any] = {}


def whole(world: World) -> None:
    """Check that the index is what a build on demand makes."""
    texts = tuple(path.read_text() for path in sorted(world.docs.iterdir()))
    if texts not in FRESH:
        rag.build(world.docs, world.docs.parent / "fresh", embedder=TITAN)
        FRESH[texts] = found(rag.Index.open(world.docs.parent / "fresh", embedder=TITAN))
    assert_equal(found(rag.Index.open(world.index, embedder=TITAN)), FRESH[texts])
    assert rag.Store(world.index).verify().problems == ()
    assert not (world.index / "batch.json").exists() and not (world.index / "batch").exists()


def build(world: World, **more: Any) -> Any:
    """Build by batch jobs, without waiting long."""
    begin(world, **more)
    assert batching.resume(world.index, sleep=quick)
    return batching.finish(world.index)


def begin(world: World, **more: Any) -> batching.Batch:
    return batching.start(world.docs, world.index, batch={**BATCH, **more}, embedder=TITAN)


def records(world: World, job: Job) -> list[str]:
    return (world.index / "batch" / f"{job.params['jobName'][:-2]}.jsonl").read_text().splitlines()


def write_results(world: World, job: Job, lines_in: list[str]) -> None:
    lines = []
    for record in map(json.loads, lines_in):
        made = embed(job.params["modelId"], json.dumps(record["modelInput"]).encode())
        lines.append(json.dumps({**record, "modelOutput": json.loads(made.body)}))
    name = job.params["jobName"]
    world.s3.put_object(
        Bucket="work", Key=f"jobs/{name}/{job.id}/{name}.jsonl.out", Body="\n".join(lines).encode()
    )
