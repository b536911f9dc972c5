"""Batch inference of the emulator: jobs that read JSON lines from S3 and write their results there.

A job goes through the statuses of AWS's (Submitted, Validating, Scheduled, InProgress, then one of
the ends) in a thread of its own. Its output lies where AWS puts it, ``<output>/<job id>/<file>.out``
and ``manifest.json.out`` beside it, in no order. `Jobs` says what is to go wrong.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from rag.emulator.wire import Refusal, Reply, Request

if TYPE_CHECKING:
    from rag.emulator import Emulator

#: Statuses that a job does not leave.
ENDED = ("Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired")
_ACCOUNT = "123456789012"


@dataclass(eq=False)
class Job:
    """One job: its request, and how far it is."""

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
        """The last part of its ARN, and the name of its folder of results."""
        return self.arn.rsplit("/", 1)[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return it as GetModelInvocationJob does."""
        kept = (
            "jobName", "modelId", "roleArn", "clientRequestToken", "inputDataConfig", "outputDataConfig",
            "timeoutDurationInHours", "modelInvocationType",
        )  # fmt: skip
        found: dict[str, Any] = {name: self.params[name] for name in kept if name in self.params}
        found |= {"jobArn": self.arn, "status": self.status, "submitTime": _when(self.submitted)}
        found |= {"lastModifiedTime": _when(self.modified), **self.counts}
        if self.status in ENDED:
            found["endTime"] = _when(self.modified)
        return found | ({"message": self.message} if self.message else {})


@dataclass(eq=False)
class Jobs:
    """The batch jobs of one emulator, and what is to go wrong with the next ones.

    Attributes
    ----------
    min_records, max_records : int
        Of a job; the least is a quota of each account and model.
    max_running : int
        Jobs that may be under way at once; more are refused with ServiceQuotaExceededException.
    fail_records : float
        Probability that a record ends as an error.
    lose_records : int
        So many records are missing in the output.
    cut_lines : int
        So many lines of the output are cut in the middle.
    finished : float
        The share of the records that are worked off in time; less than 1: PartiallyCompleted.
    fail : str
        The message with which the jobs fail; empty: they do not.
    expire : bool
        The jobs never begin, and expire.
    seed : int
        Of the order of the output, and of what fails.
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


_JOBS: WeakKeyDictionary[Emulator, Jobs] = WeakKeyDictionary()


def jobs_of(emulator: Emulator) -> Jobs:
    """Return an emulator's jobs and their settings.

    Examples
    --------
    >>> jobs_of(emulator).fail_records = 0.05                            # doctest: +SKIP
    """
    return _JOBS.setdefault(emulator, Jobs())


def create(emulator: Emulator, request: Request) -> Reply:
    """CreateModelInvocationJob: the same clientRequestToken gives the same job."""
    jobs, params = jobs_of(emulator), request.params
    if emulator.s3_endpoint is None:
        raise Refusal("ValidationException", "This emulator has no S3: start it with s3_endpoint.")
    if params.get("modelInvocationType", "InvokeModel") != "InvokeModel":
        raise Refusal("ValidationException", "This emulator's jobs are of the type InvokeModel.")
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
        arn = f"arn:aws:bedrock:{_region(request)}:{_ACCOUNT}:model-invocation-job/{number:012d}"
        job = jobs.known[arn] = Job(arn, params)
    threading.Thread(target=_run, args=(emulator, jobs, job), daemon=True, name=f"job {number}").start()
    return Reply({"jobArn": arn})


def get(emulator: Emulator, request: Request) -> Reply:
    """GetModelInvocationJob."""
    return Reply(_job(emulator, request).to_dict())


def list_jobs(emulator: Emulator, request: Request) -> Reply:
    """ListModelInvocationJobs: newest first, unless asked otherwise."""
    params, jobs = request.params, jobs_of(emulator)
    with jobs.lock:
        found = [job.to_dict() for job in jobs.known.values()]
    found = [
        job for job in found
        if params.get("nameContains", "") in job["jobName"]
        and params.get("statusEquals", job["status"]) == job["status"]
        and str(params.get("submitTimeAfter", "")) <= job["submitTime"]
        and job["submitTime"] <= str(params.get("submitTimeBefore", "~"))
    ]  # fmt: skip
    if params.get("sortOrder") != "Ascending":
        found.reverse()
    at, most = int(params.get("nextToken", "0") or 0), int(params.get("maxResults", 100))
    more = {"nextToken": str(at + most)} if at + most < len(found) else {}
    return Reply({"invocationJobSummaries": found[at : at + most], **more})


def stop(emulator: Emulator, request: Request) -> Reply:
    """StopModelInvocationJob."""
    job = _job(emulator, request)
    with jobs_of(emulator).lock:
        if job.status in ENDED:
            raise Refusal("ConflictException", f"The job is {job.status} and cannot be stopped.")
        job.status, job.modified = "Stopping", time.time()
        job.stop.set()
    return Reply({})


def _job(emulator: Emulator, request: Request) -> Job:
    name = str(request.params["jobIdentifier"])
    for arn, job in list(jobs_of(emulator).known.items()):
        if name in (arn, job.id):
            return job
    raise Refusal("ResourceNotFoundException", f"The job {name} could not be found.")


def _region(request: Request) -> str:
    found = re.search(r"Credential=[^/]+/\d+/([a-z0-9-]+)/", request.headers.get("authorization", ""))
    return found[1] if found else "us-east-1"


def _when(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# ---------------------------------------------------------------------- a job's thread


class _Ended(Exception):  # noqa: N818 -- a way out, not an error
    def __init__(self, status: str, message: str = "") -> None:
        super().__init__(message)
        self.status, self.message = status, message


def _run(emulator: Emulator, jobs: Jobs, job: Job) -> None:
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
        status = _work(bucket, jobs, job, files)
        raise _Ended(status)
    except _Ended as end:
        status, message = end.status, end.message
    except Exception as error:  # the thread has nobody else to tell
        status, message = "Failed", f"{type(error).__name__}: {error}"
    with jobs.lock:
        job.status, job.message, job.modified = status, message, time.time()


def _read(bucket: _Bucket, jobs: Jobs, job: Job) -> dict[str, list[dict[str, Any]]]:
    """Return the records of each input file, checked as AWS does: the lines' form, and their number."""
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
            records.append({"recordId": _made_up(len(records)), **record})
    count = sum(map(len, files.values()))
    if not files:
        raise _Ended("Failed", f"{uri} holds no file that ends in .jsonl, or the role cannot read it.")
    if not jobs.min_records <= count <= jobs.max_records:
        allowed = f"at least {jobs.min_records} and at most {jobs.max_records}"
        raise _Ended("Failed", f"The job has {count} records; {allowed} are allowed.")
    return files


def _work(bucket: _Bucket, jobs: Jobs, job: Job, files: Mapping[str, list[dict[str, Any]]]) -> str:
    """Work the records off and write the results; return the job's last status."""
    chance = random.Random(f"{jobs.seed} {job.id}")
    target = job.params["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].rstrip("/") + f"/{job.id}"
    total = sum(map(len, files.values()))
    in_time = round(total * jobs.finished)
    done = failed = tokens = 0
    for name, records in files.items():
        results = []
        for record in records:
            result, cost = (_expired(), 0) if done >= in_time else _result(job, jobs, record, chance)
            done, failed, tokens = done + 1, failed + ("error" in result), tokens + cost
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
    manifest = {**job.counts, "inputTokenCount": tokens, "outputTokenCount": 0}
    bucket.write(f"{target}/manifest.json.out", json.dumps(manifest))
    return "Completed" if in_time >= total else "PartiallyCompleted"


def _result(
    job: Job, jobs: Jobs, record: Mapping[str, Any], chance: random.Random
) -> tuple[dict[str, Any], int]:
    """Return what a record's result adds to its line, and the tokens that it cost."""
    from rag.emulator import embedding

    if chance.random() < jobs.fail_records:
        return _error(500, "Internal error: try the record again.", retryable=True), 0
    try:
        made = embedding.embed(str(job.params["modelId"]), json.dumps(record["modelInput"]).encode())
    except Refusal as refusal:
        return _error(refusal.status, refusal.message), 0
    return {"modelOutput": json.loads(made.body)}, made.tokens


def _expired() -> dict[str, Any]:
    return _error(408, "The job ended before this record was processed.", expired=True, retryable=True)


def _error(code: int, message: str, *, expired: bool = False, retryable: bool = False) -> dict[str, Any]:
    error = {"errorCode": code, "errorMessage": message, "expired": expired, "retryable": retryable}
    return {"error": error}


def _made_up(number: int) -> str:
    """Return a record id for a record without one: 11 characters, as AWS makes them."""
    return base64.b32encode((number << 1).to_bytes(7, "big")).decode()[:11]  # 55 of the 56 bits


class _Bucket:
    """Files by ``s3://`` URI."""

    def __init__(self, endpoint: str) -> None:
        import boto3

        self._client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip

    def files(self, uri: str) -> Iterator[tuple[str, bytes]]:
        """Yield name and bytes of a file, or of each file below a prefix that ends in .jsonl."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        for item in (item for page in pages for item in page.get("Contents", ())):
            name = item["Key"].rsplit("/", 1)[-1]
            inside = item["Key"] == key or item["Key"].startswith(key.rstrip("/") + "/")
            if name.endswith(".jsonl") and inside:
                yield name, self._client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()

    def write(self, uri: str, text: str) -> None:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        self._client.put_object(Bucket=bucket, Key=key, Body=text.encode())
