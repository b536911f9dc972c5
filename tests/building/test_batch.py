"""Building by batch jobs at half price, against the emulator and moto's S3 server on this machine."""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError

import rag
from rag.bedrock.storage import batch_jobs as aws
from rag.bedrock.storage.batch_jobs import BatchJobs
from rag.building import batch as batching
from rag.building.batch import running, state
from rag.building.batch.results import text_of
from rag.cli.main import main
from rag.core.errors import (
    BudgetError,
    ConfigError,
    EmbeddingError,
    StoreCorruptError,
    StoreLockedError,
    UsageError,
)
from rag.emulator import Emulator
from rag.emulator.jobs import Job, Jobs, jobs_of
from rag.usage.ledger import Ledger
from tests import scale
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
            patch.setattr(batching, "FIRST_S", 0.02)
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


def quick(seconds: float) -> None:
    """Wait a moment instead of a while."""
    import time

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
    assert batching.go_on(world.index, sleep=quick)
    return batching.finish(world.index)


def begin(world: World, **more: Any) -> batching.Batch:
    return batching.start(world.docs, world.index, batch={**BATCH, **more}, embedder=TITAN)


# ---------------------------------------------------------------------- the whole way


def test_a_batch_build_embeds_nothing_on_demand_and_equals_one_on_demand(world: World) -> None:
    done = world.process("-m", "rag", *world.command("--batch", PLACE, "--role-arn", ROLE, "--json"))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["embedded"], said["files"], world.on_demand) == (0, 11, 0)
    assert said["notes"] == ["batch: 132 of 132 records came at half price"]
    [job] = world.started
    assert (job.status, job.params["roleArn"], job.params["modelId"]) == (
        "Completed", ROLE, "amazon.titan-embed-text-v2:0",
    )  # fmt: skip
    keys = {item["Key"] for item in world.s3.list_objects_v2(Bucket="work")["Contents"]}
    name = job.params["jobName"]
    folder = f"jobs/{name}/{job.id}"
    assert keys == {f"jobs/{name}.jsonl", f"{folder}/{name}.jsonl.out", f"{folder}/manifest.json.out"}
    whole(world)


def test_the_ledger_has_the_jobs_at_half_price(world: World) -> None:
    report = build(world)
    assert report.embedded == 0
    manifest = next(
        item["Key"]
        for item in world.s3.list_objects_v2(Bucket="work")["Contents"]
        if "manifest" in item["Key"]
    )
    tokens = json.loads(world.s3.get_object(Bucket="work", Key=manifest)["Body"].read())["inputTokenCount"]
    [row] = Ledger(world.index / "ledger.sqlite").rows(("model", "tag", "purpose", "index"))
    assert row.group == ("amazon.titan-embed-text-v2:0", "batch", "embed", "ix")
    assert (row.calls, row.input_tokens) == (1, tokens) and tokens > 132
    assert row.usd == pytest.approx(tokens * 0.02 / 2 / 1e6)


def test_the_plan_says_half_the_price(world: World) -> None:
    command = ("plan", *world.command()[1:])
    plan = json.loads(world.rag(*command, "--batch", "--json"))
    assert plan["texts"] == 132 and plan["batch_cost_usd"] == plan["cost_usd"] / 2 > 0
    assert "as a batch: $0.0000" in world.rag(*command, "--batch")


def test_bucket_and_role_come_from_rag_toml(world: World) -> None:
    with (world.docs.parent / "rag.toml").open("a") as file:
        file.write(f'[batch]\ns3 = "{PLACE}"\nrole_arn = "{ROLE}"\nmin_records = 120\ntimeout_hours = 48\n')
    world.build("--batch")
    [job] = world.started
    assert job.params["timeoutDurationInHours"] == 48
    whole(world)


def test_an_update_sends_only_what_is_new(world: World) -> None:
    rag.build(world.docs, world.index, embedder=TITAN)
    sent = world.on_demand
    (world.docs / "new.md").write_text("# New\n\nA rule that nobody knows yet.\n")
    begun = begin(world, min_records=1)
    assert begun.texts == 2 == sum(part.records for part in begun.parts)
    world.jobs.min_records = 1
    assert batching.go_on(world.index, sleep=quick)
    report = batching.finish(world.index)
    assert (report.added, report.embedded, world.on_demand) == (1, 0, sent)
    whole(world)


def test_fewer_texts_than_a_job_takes_are_embedded_on_demand(world: World) -> None:
    report = build(world, min_records=133)
    assert (report.embedded, world.started) == (132, [])
    assert report.notes == (
        "batch: no job (132 texts, a job takes 133 at least): they were embedded on demand",
    )
    whole(world)


def test_many_texts_are_several_jobs_and_a_short_rest_is_embedded_on_demand(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "MAX_RECORDS", 50)
    world.jobs.min_records, world.jobs.max_running = 50, 1
    begun = begin(world, min_records=50)
    assert [part.records for part in begun.parts] == [50, 50]
    assert batching.go_on(world.index, sleep=quick)
    assert [job.status for job in world.started] == ["Completed"] * 2  # one after the other: the quota is 1
    assert batching.finish(world.index).embedded == 32
    whole(world)


def test_a_file_stays_below_its_most_bytes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "MAX_BYTES", 5_000)
    begun = begin(world, min_records=1)
    files = [world.index / "batch" / f"{part.stem}.jsonl" for part in begun.parts]
    assert len(files) > 2 and max(file.stat().st_size for file in files) <= 5_000
    records = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len({record["recordId"] for record in records}) == len(records) == 132
    assert all(re.fullmatch("[A-Z0-9]{11}", record["recordId"]) for record in records)
    assert {text_of(record) for record in records} == {
        record["modelInput"]["inputText"] for record in records
    }


# ---------------------------------------------------------------------- left and taken up again


def test_a_build_that_does_not_wait_is_resumed_by_another_process(world: World, tmp_path: Path) -> None:
    world.emulator.job_s = 60
    said = world.build("--batch", PLACE, "--role-arn", ROLE, "--no-wait")
    assert "132 texts, 1 job\n" in said and "rag batch resume" in said
    status = json.loads(world.rag("batch", "status", str(world.index), "--json"))
    assert (status["texts"], len(status["jobs"]), status["source"]) == (132, 1, str(world.docs))
    job = status["jobs"][0]
    assert (job["step"], job["arn"], job["records"]) == ("running", world.started[0].arn, 132)
    assert job["status"] in ("Submitted", "Validating", "Scheduled", "InProgress")
    assert "1 job\n" in world.rag("batch", "resume", str(world.index), "--no-wait")
    # An ordinary build would pay for the same again.
    assert "has a batch under way" in world.build(code=2)
    world.started[0].stop.set()  # frees the waiting thread
    assert len(world.started) == 1


def test_relative_paths_hold_when_another_folder_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "table.jsonl").write_text('{"source": "0.md", "floor": 3}\n')
    monkeypatch.chdir(tmp_path)
    batching.start("docs", "ix", batch=BATCH, embedder=TITAN, metadata="table.jsonl", cache="vectors.sqlite")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert batching.go_on("../ix", sleep=quick)
    assert batching.finish("../ix").embedded == 0
    assert (tmp_path / "vectors.sqlite").exists() and not (tmp_path / "ix" / "cache.sqlite").exists()
    assert len(rag.Index.open("../ix", embedder=TITAN).search("leave", k=100, where="floor == 3")) == 6


def test_a_source_that_changes_meanwhile_costs_only_what_is_new(world: World) -> None:
    begin(world)
    (world.docs / "0.md").unlink()
    (world.docs / "1.md").write_text("# Office 1\n\nClosed since spring.\n")
    assert batching.go_on(world.index, sleep=quick)
    report = batching.finish(world.index)
    assert (report.files, report.embedded) == (10, 2)
    whole(world)


def arm(what: str, moment: str, times: int, kill: Callable[[], None]) -> Callable[[], None]:
    """Let a step kill before or after its n-th run; return what undoes this."""
    from rag.bedrock.storage.batch_jobs import BatchJobs
    from rag.building.batch import results, state
    from rag.embedding.cache import CachedEmbeddings
    from rag.index.storage.writer import IndexWriter

    home, name = {
        "write": (results, "write_durably"), "save": (state, "write_durably"), "drop": (state, "drop"),
        "upload": (BatchJobs, "upload"), "start": (BatchJobs, "start"), "status": (BatchJobs, "status"),
        "tokens": (BatchJobs, "tokens"), "put": (CachedEmbeddings, "put"), "commit": (IndexWriter, "commit"),
    }[what]  # fmt: skip
    inner, left = getattr(home, name), [times]

    def step(*given, **more):  # type: ignore[no-untyped-def]
        left[0] -= 1
        if left[0] == 0 and moment == "before":
            kill()
        made = inner(*given, **more)
        if left[0] == 0:
            kill()
        return made

    setattr(home, name, step)
    return lambda: setattr(home, name, inner)


KILLED = """
import os, signal, sys
from collections.abc import Callable
{arm}
from rag.building.batch import running
running._PUT = 40
arm(sys.argv[1], sys.argv[2], int(sys.argv[3]), lambda: os.kill(os.getpid(), signal.SIGKILL))
sys.argv[1:] = sys.argv[4:]
from rag.cli.main import main
main()
"""
#: A step, before or after it, and which of its runs.
MOMENTS = [
    ("write", "before", 1), ("write", "after", 1), ("save", "before", 1), ("save", "after", 1),
    ("upload", "before", 1), ("upload", "after", 1), ("save", "after", 2), ("save", "after", 3),
    ("start", "before", 1), ("start", "after", 1), ("save", "after", 4), ("status", "after", 1),
    ("put", "before", 1), ("put", "after", 2), ("tokens", "after", 1), ("save", "before", 5),
    ("save", "after", 5), ("commit", "before", 1), ("commit", "after", 1), ("drop", "after", 1),
]  # fmt: skip


class Killed(BaseException):
    """Nothing of ours catches it."""


def raise_killed() -> None:
    raise Killed


@pytest.mark.soak
@pytest.mark.parametrize(
    "moment", MOMENTS if scale.SOAK else MOMENTS[::2], ids=lambda moment: "-".join(map(str, moment))
)
def test_ended_at_any_step_the_same_build_goes_on_with_one_job(
    world: World, moment: tuple[str, str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_PUT", 40)
    disarm = arm(*moment, raise_killed)
    try:
        with pytest.raises(Killed):
            build(world)
    finally:
        disarm()
    build(world)
    assert (len(world.started), world.on_demand) == (1, 0)
    whole(world)


@pytest.mark.soak
@pytest.mark.parametrize(
    "moment", MOMENTS if scale.SOAK else [MOMENTS[n] for n in (3, 9, 13)], ids=lambda m: "-".join(map(str, m))
)
def test_killed_at_any_step_the_same_command_goes_on_with_one_job(
    world: World, moment: tuple[str, str, int]
) -> None:
    script = KILLED.format(arm=inspect.getsource(arm))
    command = world.command("--batch", PLACE, "--role-arn", ROLE)
    killed = world.process("-c", script, *map(str, moment), *command)
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    if moment[0] != "drop":
        assert (world.index / "batch.json").exists() == (MOMENTS.index(moment) > 2)
    world.rag(*command)
    assert (len(world.started), world.on_demand) == (1, 0)
    whole(world)


def test_a_job_that_was_started_but_not_noted_is_found_by_its_name_when_its_token_is_forgotten(
    world: World,
) -> None:
    begin(world)
    batching.go_on(world.index, wait=False)
    job = world.started[0]
    job.params = {**job.params, "clientRequestToken": "forgotten"}
    batch = state.known(world.index)
    unnoted = replace(batch, parts=(replace(batch.parts[0], step="starting", arn=""),))
    state.save(world.index, unnoted)
    assert batching.go_on(world.index, sleep=quick)
    assert world.started == [job] and state.known(world.index).parts[0].arn == job.arn


def test_two_processes_do_not_look_after_one_batch(world: World) -> None:
    begin(world)
    with state.locked(world.index), pytest.raises(StoreLockedError):
        batching.go_on(world.index)


def test_other_settings_do_not_take_up_a_batch(world: World) -> None:
    begin(world)
    with pytest.raises(UsageError, match="other settings: `rag batch resume"):
        batching.start(world.docs, world.index, batch=BATCH, embedder={**TITAN, "dimensions": 512})


# ---------------------------------------------------------------------- what goes wrong


def test_failed_records_are_embedded_on_demand(world: World) -> None:
    world.jobs.fail_records = 0.05
    report = build(world)
    failed = world.started[0].counts["errorRecordCount"]
    assert 0 < failed < 30 and (report.embedded, world.on_demand) == (failed, failed)
    assert report.notes == (
        f"batch: {132 - failed} of 132 records came at half price; left to be embedded on demand: "
        f"{failed} with error 500",
    )
    whole(world)


def test_missing_and_cut_lines_are_embedded_on_demand(world: World) -> None:
    world.jobs.lose_records, world.jobs.cut_lines = 3, 2
    report = build(world)
    assert report.embedded == 5
    assert report.notes[0].endswith("embedded on demand: 3 missing, 2 unreadable")
    whole(world)


def test_a_job_that_is_partially_completed_is_taken_as_far_as_it_came(world: World) -> None:
    world.jobs.finished = 0.75
    report = build(world)
    assert (world.started[0].status, report.embedded) == ("PartiallyCompleted", 33)
    whole(world)


def test_a_result_that_is_not_what_was_asked_for_never_reaches_the_cache(world: World) -> None:
    begin(world)
    assert not batching.go_on(world.index, wait=False)
    job = world.started[0]
    while job.status != "Completed":
        quick(1)
    key = f"jobs/{job.params['jobName']}/{job.id}/{job.params['jobName']}.jsonl.out"
    items = [
        json.loads(line) for line in world.s3.get_object(Bucket="work", Key=key)["Body"].read().splitlines()
    ]
    items[0]["recordId"] = aws.record_id("some other text")
    items[1]["modelInput"]["dimensions"] = 512
    items[2]["modelInput"]["inputText"] = "Another text"
    items[3]["modelOutput"]["embedding"].pop()
    items[4]["modelOutput"]["embedding"][9] = float("nan")
    items[5]["modelOutput"]["embedding"] = [0.0] * 256
    items[6]["modelOutput"] = "none"
    items[7] = {"recordId": items[7]["recordId"], "modelInput": {}, "error": {"errorCode": 400}}
    items[8] = ["a list"]
    items += items[9:11]  # what comes twice counts once
    world.s3.put_object(Bucket="work", Key=key, Body="\n".join(map(json.dumps, items)).encode())
    assert batching.go_on(world.index, sleep=quick)
    part = state.known(world.index).parts[0]
    assert (part.records, part.good) == (132, 123)
    assert part.bad == {
        "unknown": 1, "missing": 1, "of another input": 2, "without a vector": 4, "with error 400": 1,
        "unreadable": 1,
    }  # fmt: skip
    assert batching.finish(world.index).embedded == 9
    whole(world)


def test_a_failed_job_says_why_and_is_started_again_when_resumed(world: World) -> None:
    world.jobs.fail = "The role cannot read s3://work/jobs."
    said = world.build("--batch", PLACE, "--role-arn", ROLE, code=1)
    last = said.strip().splitlines()[-1]
    assert re.fullmatch(
        r"rag: the batch job rag-[0-9a-f]{12}-00001-1 is Failed \(The role cannot read s3://work/jobs\): put that "
        r"right, then `rag batch resume \S+ix` starts it again; or `rag batch cancel \S+ix`, and build without --batch",
        last,
    )
    status = world.rag("batch", "status", str(world.index))
    assert "00001-2: not started, 0 of 132 records (the batch job" in status
    world.jobs.fail = ""
    world.rag("batch", "resume", str(world.index))
    assert [job.status for job in world.started] == ["Failed", "Completed"]
    assert world.on_demand == 0
    whole(world)


def test_a_job_that_was_stopped_half_way_is_started_again_without_what_it_had_done(world: World) -> None:
    world.emulator.job_s = 60
    begin(world, min_records=30)
    batching.go_on(world.index, wait=False)
    job = world.started[0]
    while job.status != "InProgress":
        quick(1)
    write_results(world, job, records(world, job)[:92])  # then somebody stops it
    job.stop.set()
    with pytest.raises(EmbeddingError, match="is Stopped"):
        batching.go_on(world.index, sleep=quick)
    assert [part.records for part in state.known(world.index).parts] == [40]
    world.emulator.job_s, world.jobs.min_records = 0, 30
    assert batching.go_on(world.index, sleep=quick)
    assert world.started[1].counts["totalRecordCount"] == 40
    assert batching.finish(world.index).embedded == 0
    whole(world)


def records(world: World, job: Job) -> list[str]:
    return (world.index / "batch" / f"{job.params['jobName'][:-2]}.jsonl").read_text().splitlines()


def write_results(world: World, job: Job, lines_in: list[str]) -> None:
    from rag.emulator.embedding import embed

    lines = []
    for record in map(json.loads, lines_in):
        made = embed(job.params["modelId"], json.dumps(record["modelInput"]).encode())
        lines.append(json.dumps({**record, "modelOutput": json.loads(made.body)}))
    name = job.params["jobName"]
    world.s3.put_object(
        Bucket="work", Key=f"jobs/{name}/{job.id}/{name}.jsonl.out", Body="\n".join(lines).encode()
    )


def test_another_role_is_taken_up_by_the_same_command(world: World) -> None:
    world.jobs.fail = "The role cannot be assumed."
    world.build("--batch", PLACE, "--role-arn", ROLE + "-wrong", code=1)
    world.jobs.fail = ""
    world.build("--batch", PLACE, "--role-arn", ROLE)
    assert [job.params["roleArn"] for job in world.started] == [ROLE + "-wrong", ROLE]
    whole(world)


def test_a_job_that_aws_has_forgotten_is_started_again(world: World) -> None:
    world.emulator.job_s = 60
    begin(world)
    batching.go_on(world.index, wait=False)
    world.jobs.known.popitem()[1].stop.set()
    with pytest.raises(EmbeddingError, match=r"is Failed \(AWS no longer knows this job\)"):
        batching.go_on(world.index, sleep=quick)
    world.emulator.job_s = 0
    assert batching.go_on(world.index, sleep=quick)
    assert batching.finish(world.index).embedded == 0


def test_an_expired_job_is_an_error(world: World) -> None:
    world.jobs.expire = True
    begin(world)
    with pytest.raises(EmbeddingError, match=r"is Expired .*timeout"):
        batching.go_on(world.index, sleep=quick)


def test_cancel_stops_the_jobs_and_keeps_what_was_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "MAX_RECORDS", 66)
    world.jobs.min_records, world.jobs.max_running, world.emulator.job_s = 66, 1, 60
    begin(world, min_records=66)
    assert not batching.go_on(world.index, wait=False)
    [job] = world.started
    while job.status != "InProgress":  # its thread would write over an end that came before
        quick(1)
    write_results(world, job, records(world, job))
    job.status = "Completed"
    assert not batching.go_on(world.index, wait=False)
    assert "66 vectors of it are in the cache" in world.rag("batch", "cancel", str(world.index))
    assert [job.status for job in world.started] == ["Completed", "Stopped"]
    assert "no batch is under way" in world.rag("batch", "status", str(world.index))
    assert "no batch is under way" in world.rag("batch", "resume", str(world.index), code=2)
    assert rag.build(world.docs, world.index, embedder=TITAN).embedded == 66
    whole(world)


def test_a_connection_that_comes_and_goes_does_not_end_the_waiting(world: World) -> None:
    begin(world)
    jobs = BatchJobs(PLACE, retry=aws.Retry(attempts=1))
    world.emulator.fail_next("InternalServerException", times=3)
    assert batching.go_on(world.index, sleep=quick, jobs=jobs)
    assert len(world.started) == 1


def test_results_go_on_behind_the_last_byte_where_the_connection_was_cut(world: World) -> None:
    class Cut:
        """A storage whose first bodies end early."""

        def __init__(self, inner: Any) -> None:
            self.inner, self.asked = inner, []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def get_object(self, **given: Any) -> Any:
            self.asked.append(given.get("Range"))
            answer = self.inner.get_object(**given)
            if len(self.asked) < 4:
                answer["Body"] = Body(answer["Body"].read()[:70_001])
            return answer

    class Body:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def iter_chunks(self, size: int) -> Iterator[bytes]:
            yield self.data
            raise ConnectionResetError

    lines = [f"{n} " + "x" * 3_000 for n in range(100)]
    world.s3.put_object(Bucket="work", Key="jobs/a/000000000001/a.jsonl.out", Body="\n".join(lines).encode())
    storage = Cut(world.s3)
    read = BatchJobs(PLACE, storage=storage).results("a", "arn/000000000001")
    assert [line.decode() for line in read] == lines
    assert storage.asked == [None, "bytes=70001-", "bytes=140002-", "bytes=210003-"]


def test_the_wire_form_is_what_the_emulator_takes(world: World) -> None:
    begin(world)
    batching.go_on(world.index, sleep=quick)
    assert world.emulator.problems == []


# ---------------------------------------------------------------------- wrong from the start


def test_without_a_role_the_error_says_which_one_is_needed(world: World) -> None:
    said = world.build("--batch", PLACE, code=2)
    assert said.startswith(
        "rag: a batch job needs a role for Bedrock to assume: give --role-arn arn:aws:iam::"
    )
    for needed in (
        "trust bedrock.amazonaws.com (sts:AssumeRole)", "s3:GetObject and s3:PutObject on arn:aws:s3:::work/jobs/*",
        "s3:ListBucket on arn:aws:s3:::work;", "iam:PassRole",
    ):  # fmt: skip
        assert needed in said
    assert said.count("\n") == 1 and not world.index.exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"role_arn": ROLE}, "give --batch s3://bucket/prefix"),
        ({"s3": "work/jobs", "role_arn": ROLE}, "write s3://bucket/prefix"),
        ({"s3": "s3://work/a b", "role_arn": ROLE}, "write s3://bucket/prefix"),
        ({"s3": PLACE, "role_arn": "rag-batch"}, "write arn:aws:iam::ACCOUNT:role/NAME"),
        ({"s3": PLACE, "role": ROLE}, "did you mean 'role_arn'?"),
        ({"s3": PLACE, "role_arn": ROLE, "min_records": "100"}, "min_records is a whole number, not '100'"),
        ({"s3": PLACE, "role_arn": ROLE, "min_records": 0}, "min_records of at least 1"),
        ({"s3": PLACE, "role_arn": ROLE, "timeout_hours": 12}, "timeout_hours of 24 to 168"),
    ],
)
def test_settings_that_cannot_be_meant_are_one_line(world: World, given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        batching.start(world.docs, world.index, batch=given, embedder=TITAN)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not world.index.exists()


def test_an_embedder_without_batch_jobs_is_refused(world: World) -> None:
    with pytest.raises(ConfigError, match="has no batch jobs: choose titan"):
        batching.start(world.docs, world.index, batch=BATCH, embedder="static")
    with pytest.raises(ConfigError, match="give names or mappings of settings, not a TitanEmbeddings"):
        batching.start(world.docs, world.index, batch=BATCH, embedder=rag.TitanEmbeddings(256))
    assert not world.index.exists()


def test_a_folder_of_other_things_is_refused(world: World) -> None:
    world.index.mkdir()
    (world.index / "letter.txt").write_text("Dear all")
    with pytest.raises(UsageError, match="is not empty and no index"):
        begin(world)
    assert [path.name for path in world.index.iterdir()] == ["letter.txt"]


def test_a_bucket_that_is_not_there_is_one_line(world: World) -> None:
    said = world.build("--batch", "s3://nowhere/jobs", "--role-arn", ROLE, code=1)
    last = said.strip().splitlines()[-1]
    assert "cannot upload in s3://nowhere/jobs (Amazon S3: " in last and "s3:PutObject" in last
    assert "(NoSuchBucket)" in last and "AWS documentation" not in last
    assert world.started == []


def test_what_may_not_be_called_is_told_with_all_that_is_needed(world: World) -> None:
    world.emulator.fail_next("AccessDeniedException", times=1)
    begin(world)
    with pytest.raises(
        EmbeddingError, match=r"bedrock:CreateModelInvocationJob is not allowed.*iam:PassRole"
    ):
        batching.go_on(world.index)


def test_without_a_batch_there_is_nothing_to_go_on_with(world: World) -> None:
    for call in (batching.go_on, batching.finish, batching.cancel, batching.status):
        with pytest.raises(UsageError, match="no batch is under way"):
            call(world.index)
    assert not world.index.exists()


def test_a_damaged_state_is_told(world: World) -> None:
    begin(world)
    (world.index / "batch.json").write_text('{"format": 2}')
    with pytest.raises(StoreCorruptError, match="look after its jobs in the Bedrock console"):
        batching.go_on(world.index)


def test_a_budget_stops_a_batch_before_it_is_begun(world: World) -> None:
    with pytest.raises(BudgetError, match="stop_usd"):
        batching.start(world.docs, world.index, batch=BATCH, embedder=TITAN, ledger={"stop_usd": 0.0})
    assert not (world.index / "batch.json").exists()


# ---------------------------------------------------------------------- the emulator's jobs


def control(world: World) -> Any:
    return boto3.client("bedrock", endpoint_url=world.emulator.url)


def job_request(name: str = "one", **more: Any) -> dict[str, Any]:
    return {
        "jobName": name, "roleArn": ROLE, "modelId": "amazon.titan-embed-text-v2:0",
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://work/in/"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://work/out/"}}, **more,
    }  # fmt: skip


def ended(client: Any, arn: str) -> dict[str, Any]:
    while (found := client.get_model_invocation_job(jobIdentifier=arn))["status"] not in aws.ENDED:
        quick(1)
    return found


def put_input(world: World, key: str, records: list[dict[str, Any]]) -> None:
    body = "".join(json.dumps(record) + "\n" for record in records).encode()
    world.s3.put_object(Bucket="work", Key=key, Body=body)


def test_the_emulator_reads_a_prefix_and_makes_up_record_ids(world: World) -> None:
    put_input(
        world,
        "in/a.jsonl",
        [{"modelInput": {"inputText": f"Text {n}", "dimensions": 256}} for n in range(60)],
    )
    put_input(
        world, "in/b.jsonl", [{"recordId": f"r{n}", "modelInput": {"inputText": ""}} for n in range(40)]
    )
    put_input(world, "in/notes.txt", [{}])
    client = control(world)
    arn = client.create_model_invocation_job(**job_request())["jobArn"]
    assert re.fullmatch(r"arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/[a-z0-9]{12}", arn)
    found = ended(client, arn)
    assert (found["status"], found["successRecordCount"], found["errorRecordCount"]) == ("Completed", 60, 40)
    folder = f"out/{arn[-12:]}"
    lines = world.s3.get_object(Bucket="work", Key=f"{folder}/a.jsonl.out")["Body"].read().splitlines()
    records = [json.loads(line) for line in lines]
    ids = [record["recordId"] for record in records]
    assert len(set(ids)) == 60 and all(len(one) == 11 for one in ids) and ids != sorted(ids)
    assert all(len(record["modelOutput"]["embedding"]) == 256 for record in records)
    line = world.s3.get_object(Bucket="work", Key=f"{folder}/b.jsonl.out")["Body"].read().splitlines()[0]
    error = json.loads(line)["error"]
    assert error["errorCode"] == 400 and not error["expired"] and not error["retryable"]
    manifest = json.loads(
        world.s3.get_object(Bucket="work", Key=f"{folder}/manifest.json.out")["Body"].read()
    )
    assert manifest["totalRecordCount"] == 100 and manifest["inputTokenCount"] > 60


def test_the_emulator_validates_what_it_reads(world: World) -> None:
    client = control(world)
    name = iter("abcdef")

    def failed(**more: Any) -> str:
        arn = client.create_model_invocation_job(**job_request(next(name), **more))["jobArn"]
        found = ended(client, arn)
        assert found["status"] == "Failed"
        return str(found["message"])

    assert "holds no file" in failed()
    put_input(world, "in/a.jsonl", [{"modelInput": {"inputText": f"Text {n}"}} for n in range(99)])
    assert "99 records; at least 100" in failed()
    world.jobs.max_records = 50
    put_input(world, "in/b.jsonl", [{"modelInput": {"inputText": "x"}}])
    assert "100 records" in failed()
    put_input(world, "in/b.jsonl", [{"inputText": "x"}])
    assert failed() == "b.jsonl, line 1 is not a record."
    with pytest.raises(ClientError, match="roleArn"):
        client.create_model_invocation_job(**job_request(roleArn="arn:aws:iam::1:user/x"))
    wrong = {"s3InputDataConfig": {"s3Uri": "https://work/in"}}
    with pytest.raises(ClientError, match="s3Uri"):
        client.create_model_invocation_job(**job_request(inputDataConfig=wrong))


def test_the_emulator_lists_stops_and_starts_once_a_token(world: World) -> None:
    put_input(world, "in/a.jsonl", [{"modelInput": {"inputText": f"Text {n}"}} for n in range(100)])
    world.emulator.job_s = 60
    client = control(world)
    one = client.create_model_invocation_job(**job_request("one", clientRequestToken="t1"))["jobArn"]
    assert client.create_model_invocation_job(**job_request("one", clientRequestToken="t1"))["jobArn"] == one
    two = client.create_model_invocation_job(**job_request("two"))["jobArn"]
    assert one != two and len(world.started) == 2
    listed = client.list_model_invocation_jobs()["invocationJobSummaries"]
    assert [job["jobArn"] for job in listed] == [two, one]
    listed = client.list_model_invocation_jobs(nameContains="on")["invocationJobSummaries"]
    assert [job["jobName"] for job in listed] == ["one"]
    first = client.list_model_invocation_jobs(maxResults=1, sortOrder="Ascending")
    assert [job["jobArn"] for job in first["invocationJobSummaries"]] == [one]
    after = client.list_model_invocation_jobs(
        maxResults=1, sortOrder="Ascending", nextToken=first["nextToken"]
    )
    assert [job["jobArn"] for job in after["invocationJobSummaries"]] == [two] and "nextToken" not in after
    client.stop_model_invocation_job(jobIdentifier=one)
    assert ended(client, one)["status"] == "Stopped"
    with pytest.raises(ClientError, match="ConflictException"):
        client.stop_model_invocation_job(jobIdentifier=one)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.get_model_invocation_job(jobIdentifier=one[:-1] + "x")
    world.jobs.max_running = 1
    with pytest.raises(ClientError, match="ServiceQuotaExceededException"):
        client.create_model_invocation_job(**job_request("three"))
    client.stop_model_invocation_job(jobIdentifier=two)


def test_record_ids_are_alike_for_alike_texts_alone() -> None:
    texts = [f"Text {n}" for n in range(20_000)]
    assert len({aws.record_id(text) for text in texts}) == len(texts)
    assert aws.record_id("Text 1") == aws.record_id("Text 1")
    assert np.mean([len(aws.record_id(text)) for text in texts]) == 11
