"""Failed jobs, records and connections of a batch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import rag
from rag.bedrock.storage import batch_jobs as aws
from rag.bedrock.storage.batch_jobs import BatchJobs
from rag.building import batch as batching
from rag.building.batch import state
from rag.core.errors import (
    EmbeddingError,
)
from tests.building.batch_world import (
    PLACE,
    ROLE,
    TITAN,
    World,
    begin,
    build,
    quick,
    records,
    whole,
    write_results,
)


def test_failed_records_are_embedded_on_demand(world: World) -> None:
    world.jobs.fail_records = 0.05
    report = build(world)
    failed = world.started[0].counts["errorRecordCount"]
    assert 0 < failed < 30 and (report.embedded, world.on_demand) == (failed, failed)
    assert report.notes == (
        f"batch: {132 - failed} of 132 records were embedded at half price; embedded on demand: "
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
    assert not batching.resume(world.index, wait=False)
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
    assert batching.resume(world.index, sleep=quick)
    part = state.current(world.index).parts[0]
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
        r"rag: the batch job rag-[0-9a-f]{12}-00001-1 is Failed \(The role cannot read s3://work/jobs\): correct "
        r"this, then `rag batch resume \S+ix` starts it again; or `rag batch cancel \S+ix`, and build without --batch",
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
    batching.resume(world.index, wait=False)
    job = world.started[0]
    while job.status != "InProgress":
        quick(1)
    write_results(world, job, records(world, job)[:92])  # then somebody stops it
    job.stop.set()
    with pytest.raises(EmbeddingError, match="is Stopped"):
        batching.resume(world.index, sleep=quick)
    assert [part.records for part in state.current(world.index).parts] == [40]
    world.emulator.job_s, world.jobs.min_records = 0, 30
    assert batching.resume(world.index, sleep=quick)
    assert world.started[1].counts["totalRecordCount"] == 40
    assert batching.finish(world.index).embedded == 0
    whole(world)


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
    batching.resume(world.index, wait=False)
    world.jobs.known.popitem()[1].stop.set()
    with pytest.raises(EmbeddingError, match=r"is Failed \(AWS no longer knows this job\)"):
        batching.resume(world.index, sleep=quick)
    world.emulator.job_s = 0
    assert batching.resume(world.index, sleep=quick)
    assert batching.finish(world.index).embedded == 0


def test_an_expired_job_is_an_error(world: World) -> None:
    world.jobs.expire = True
    begin(world)
    with pytest.raises(EmbeddingError, match=r"is Expired .*timeout"):
        batching.resume(world.index, sleep=quick)


def test_cancel_stops_the_jobs_and_keeps_what_was_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "MAX_RECORDS", 66)
    world.jobs.min_records, world.jobs.max_running, world.emulator.job_s = 66, 1, 60
    begin(world, min_records=66)
    assert not batching.resume(world.index, wait=False)
    [job] = world.started
    while job.status != "InProgress":  # its thread would write over an end that came before
        quick(1)
    write_results(world, job, records(world, job))
    job.status = "Completed"
    assert not batching.resume(world.index, wait=False)
    assert "66 of its vectors are in the cache" in world.rag("batch", "cancel", str(world.index))
    assert [job.status for job in world.started] == ["Completed", "Stopped"]
    assert "no batch is under way" in world.rag("batch", "status", str(world.index))
    assert "no batch is under way" in world.rag("batch", "resume", str(world.index), code=2)
    assert rag.build(world.docs, world.index, embedder=TITAN).embedded == 66
    whole(world)


def test_a_connection_that_comes_and_goes_does_not_end_the_waiting(world: World) -> None:
    begin(world)
    jobs = BatchJobs(PLACE, retry=aws.Retry(attempts=1))
    world.emulator.fail_next("InternalServerException", times=3)
    assert batching.resume(world.index, sleep=quick, jobs=jobs)
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
    batching.resume(world.index, sleep=quick)
    assert world.emulator.problems == []
