"""Answer the batch inference operations: jobs read JSON lines from S3 and write their results there.

Every job runs in a thread and passes through AWS's statuses: Submitted, Validating, Scheduled,
InProgress, then a final one. It writes its results where AWS does, to ``<output>/<job id>/<file>.out``
in random order, with ``manifest.json.out`` beside them. The settings of `Jobs` make jobs go wrong.
"""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rag.emulator import job_records
from rag.emulator.wire import ACCOUNT, Refusal, Reply, Request, region_of, when

#: Final statuses.
ENDED = ("Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired")


@dataclass(eq=False)
class Job:
    """A job: its request and its progress."""

    arn: str
    params: Mapping[str, Any]
    status: str = "Submitted"
    message: str = ""
    submitted: float = field(default_factory=time.time)
    modified: float = field(default_factory=time.time)
    counts: dict[str, int] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def id(self) -> str:
        """The last part of the ARN, which also names the folder of results."""
        return self.arn.rsplit("/", 1)[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return the response of GetModelInvocationJob."""
        kept = (
            "jobName", "modelId", "roleArn", "clientRequestToken", "inputDataConfig", "outputDataConfig",
            "timeoutDurationInHours", "modelInvocationType",
        )  # fmt: skip
        row: dict[str, Any] = {name: self.params[name] for name in kept if name in self.params}
        row |= {"jobArn": self.arn, "status": self.status, "submitTime": when(self.submitted)}
        row |= {"lastModifiedTime": when(self.modified), **self.counts}
        if self.status in ENDED:
            row["endTime"] = when(self.modified)
        return row | ({"message": self.message} if self.message else {})


@dataclass(eq=False)
class Jobs:
    """The batch jobs of one emulator, and the failures of jobs to come.

    Attributes
    ----------
    min_records, max_records : int
        Limits of records per job; AWS sets the minimum per account and model.
    max_running : int
        Jobs that may run at once; more are refused with ServiceQuotaExceededException.
    fail_records : float
        Probability that a record results in an error.
    lose_records : int
        Records missing in every output file.
    cut_lines : int
        Lines cut in the middle, in every output file.
    finished : float
        Share of the records processed before the timeout; below 1, jobs end as PartiallyCompleted.
    fail : str
        Message with which jobs fail; empty for no failure.
    expire : bool
        Whether jobs expire before they begin.
    seed : int
        Seed of the output's order and of record errors.
    """

    min_records: int = 100
    max_records: int = 50_000
    max_running: int = 20
    fail_records: float = 0.0
    lose_records: int = 0
    cut_lines: int = 0
    finished: float = 1.0
    fail: str = ""
    expire: bool = False
    seed: int = 0
    known: dict[str, Job] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Batch(job_records.Answers, Protocol):
    """The state of an emulator that batch operations use."""

    @property
    def jobs(self) -> Jobs:
        """The jobs and their failures."""

    @property
    def s3_endpoint(self) -> str | None:
        """Where jobs read and write."""

    @property
    def job_s(self) -> float:
        """Seconds that a job is in progress."""


def jobs_of(emulator: Batch) -> Jobs:
    """Return an emulator's jobs and their settings; the same as ``emulator.jobs``."""
    return emulator.jobs


def create(emulator: Batch, request: Request) -> Reply:
    """Answer CreateModelInvocationJob; equal clientRequestTokens return the same job."""
    jobs, params = emulator.jobs, request.params
    if emulator.s3_endpoint is None:
        raise Refusal(
            "ValidationException", "This emulator has no S3: start it with --s3-endpoint, or s3_endpoint=."
        )
    token = params.get("clientRequestToken")
    with jobs.lock:
        for job in jobs.known.values():
            if token and job.params.get("clientRequestToken") == token:
                return Reply({"jobArn": job.arn})
        if sum(job.status not in ENDED for job in jobs.known.values()) >= jobs.max_running:
            raise Refusal(
                "ServiceQuotaExceededException",
                "The number of concurrent batch inference jobs of this model exceeds the quota.",
            )
        number = len(jobs.known) + 1
        arn = f"arn:aws:bedrock:{region_of(request)}:{ACCOUNT}:model-invocation-job/{number:012d}"
        job = jobs.known[arn] = Job(arn, params)
    threading.Thread(target=_run, args=(emulator, jobs, job), daemon=True, name=f"job {number}").start()
    return Reply({"jobArn": arn})


def get(emulator: Batch, request: Request) -> Reply:
    """Answer GetModelInvocationJob."""
    return Reply(_job(emulator, request).to_dict())


def list_jobs(emulator: Batch, request: Request) -> Reply:
    """Answer ListModelInvocationJobs; newest first unless ``sortOrder`` is Ascending."""
    params, jobs = request.params, emulator.jobs
    with jobs.lock:
        rows = [job.to_dict() for job in jobs.known.values()]
    rows = [
        job for job in rows
        if params.get("nameContains", "") in job["jobName"]
        and params.get("statusEquals", job["status"]) == job["status"]
        and str(params.get("submitTimeAfter", "")) <= job["submitTime"]
        and job["submitTime"] <= str(params.get("submitTimeBefore", "~"))
    ]  # fmt: skip
    if params.get("sortOrder") != "Ascending":
        rows.reverse()
    at, most = int(params.get("nextToken", "0") or 0), int(params.get("maxResults", 100))
    more = {"nextToken": str(at + most)} if at + most < len(rows) else {}
    return Reply({"invocationJobSummaries": rows[at : at + most], **more})


def stop(emulator: Batch, request: Request) -> Reply:
    """Answer StopModelInvocationJob."""
    job = _job(emulator, request)
    with emulator.jobs.lock:
        if job.status in ENDED:
            raise Refusal("ConflictException", f"The job is {job.status} and cannot be stopped.")
        job.status, job.modified = "Stopping", time.time()
        job.stop.set()
    return Reply({})


def _job(emulator: Batch, request: Request) -> Job:
    name = str(request.params["jobIdentifier"])
    for arn, job in list(emulator.jobs.known.items()):
        if name in (arn, job.id):
            return job
    raise Refusal("ResourceNotFoundException", f"The job {name} could not be found.")


# ---------------------------------------------------------------------- a job's thread


class _Ended(Exception):  # noqa: N818 -- control flow, not an error
    def __init__(self, status: str, message: str = "") -> None:
        super().__init__(message)
        self.status, self.message = status, message


def _run(emulator: Batch, jobs: Jobs, job: Job) -> None:
    def enter(status: str) -> None:
        with jobs.lock:
            if job.stop.is_set():
                raise _Ended("Stopped")
            job.status, job.modified = status, time.time()

    try:
        enter("Validating")
        bucket = _Bucket(str(emulator.s3_endpoint))
        files = _read(bucket, jobs, job)
        enter("Scheduled")
        if jobs.expire:
            raise _Ended("Expired", "The job did not begin before its timeout.")
        enter("InProgress")
        job.counts = {"totalRecordCount": sum(map(len, files.values())), "processedRecordCount": 0}
        if job.stop.wait(emulator.job_s):
            raise _Ended("Stopped")
        status = _work(emulator, bucket, job, files)
        raise _Ended(status)
    except _Ended as end:
        status, message = end.status, end.message
    except Exception as error:  # no caller could catch it: the job reports it
        status, message = "Failed", f"{type(error).__name__}: {error}"
    with jobs.lock:
        job.status, job.message, job.modified = status, message, time.time()


def _read(bucket: _Bucket, jobs: Jobs, job: Job) -> dict[str, list[dict[str, Any]]]:
    """Read the records of every input file; check their form and number, as AWS does."""
    if jobs.fail:
        raise _Ended("Failed", jobs.fail)
    uri = job.params["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]
    files: dict[str, list[dict[str, Any]]] = {}
    for name, data in bucket.files(uri):
        records = files[name] = []
        for number, line in enumerate(data.decode("utf-8").splitlines(), 1):
            try:
                record = json.loads(line)
                if not isinstance(record["modelInput"], dict) or set(record) - {"recordId", "modelInput"}:
                    raise KeyError("modelInput")
            except (ValueError, KeyError, TypeError):
                raise _Ended("Failed", f"{name}, line {number} is not a record.") from None
            records.append({"recordId": _record_id(len(records)), **record})
    count = sum(map(len, files.values()))
    if not files:
        raise _Ended("Failed", f"{uri} holds no file that ends in .jsonl, or the role cannot read it.")
    if not jobs.min_records <= count <= jobs.max_records:
        allowed = f"at least {jobs.min_records} and at most {jobs.max_records}"
        raise _Ended("Failed", f"The job has {count} records; {allowed} are allowed.")
    return files


def _work(emulator: Batch, bucket: _Bucket, job: Job, files: Mapping[str, list[dict[str, Any]]]) -> str:
    """Process the records and write the results; return the job's final status."""
    jobs = emulator.jobs
    chance = random.Random(f"{jobs.seed} {job.id}")
    target = job.params["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].rstrip("/") + f"/{job.id}"
    total = sum(map(len, files.values()))
    in_time = round(total * jobs.finished)
    done = failed = read = written = 0
    for name, records in files.items():
        results = []
        for record in records:
            late = done >= in_time
            result, tokens = (_expired(), (0, 0)) if late else _result(emulator, job, record, chance)
            done, failed = done + 1, failed + ("error" in result)
            read, written = read + tokens[0], written + tokens[1]
            results.append(json.dumps({**record, **result}, ensure_ascii=False))
        chance.shuffle(results)
        results = results[min(jobs.lose_records, len(results)) :]
        results = [line[: len(line) // 2] if n < jobs.cut_lines else line for n, line in enumerate(results)]
        bucket.write(f"{target}/{name}.out", "".join(f"{line}\n" for line in results))
        if job.stop.is_set():
            raise _Ended("Stopped")
    job.counts = {
        "totalRecordCount": total, "processedRecordCount": done,
        "successRecordCount": done - failed, "errorRecordCount": failed,
    }  # fmt: skip
    manifest = {**job.counts, "inputTokenCount": read, "outputTokenCount": written}
    bucket.write(f"{target}/manifest.json.out", json.dumps(manifest))
    return "Completed" if in_time >= total else "PartiallyCompleted"


def _result(
    emulator: Batch, job: Job, record: Mapping[str, Any], chance: random.Random
) -> tuple[dict[str, Any], tuple[int, int]]:
    """Return the fields that a record's result adds to its line, and the tokens in and out."""
    if chance.random() < emulator.jobs.fail_records:
        return _error(500, "Internal error: try the record again.", retryable=True), (0, 0)
    kind = str(job.params.get("modelInvocationType", "InvokeModel"))
    try:
        output, *tokens = job_records.answered(
            emulator, kind, str(job.params["modelId"]), record["modelInput"]
        )
    except Refusal as refusal:
        return _error(refusal.status, refusal.message), (0, 0)
    return {"modelOutput": output}, (tokens[0], tokens[1])


def _expired() -> dict[str, Any]:
    return _error(408, "The job ended before this record was processed.", expired=True, retryable=True)


def _error(code: int, message: str, *, expired: bool = False, retryable: bool = False) -> dict[str, Any]:
    error = {"errorCode": code, "errorMessage": message, "expired": expired, "retryable": retryable}
    return {"error": error}


def _record_id(number: int) -> str:
    """Return an id for a record without one: 11 characters, as on AWS."""
    return base64.b32encode((number << 1).to_bytes(7, "big")).decode()[:11]  # 55 of the 56 bits


class _Bucket:
    """Reads and writes S3 objects by URI."""

    def __init__(self, endpoint: str) -> None:
        import boto3

        self._client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

    def files(self, uri: str) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of a .jsonl file, or of every .jsonl file under a prefix."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        for item in (item for page in pages for item in page.get("Contents", ())):
            name = item["Key"].rsplit("/", 1)[-1]
            inside = item["Key"] == key or item["Key"].startswith(key.rstrip("/") + "/")
            if name.endswith(".jsonl") and inside:
                yield name, self._client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()

    def write(self, uri: str, text: str) -> None:
        """Write an object."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self._client.put_object(Bucket=bucket, Key=key, Body=text.encode())
