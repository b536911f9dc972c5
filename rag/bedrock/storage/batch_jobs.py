"""Batch inference on Amazon Bedrock: files of records on S3, jobs that work them off at half price.

Facts, all of November 2026: the calls and the forms of their arguments are those of botocore
1.44.5's service model of ``bedrock``; the lines' form, and that their order is not kept, of the
Bedrock User Guide, "Format and upload your batch inference data" and "View the results of a batch
inference job"; the limits of its quotas for batch inference (the least number of records is a quota
of each model, 100 in recent accounts and 1,000 in 2024).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rag.bedrock.runtime.client import explain
from rag.bedrock.runtime.faults import code_of, fault_of
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import EmbeddingError

#: The most records of one job (quota "Records per batch inference job").
MAX_RECORDS = 50_000
#: The most bytes of one file: well below the quota "Batch inference input file size" of 1 GB.
MAX_BYTES = 200_000_000
#: Statuses that a job does not leave.
ENDED = ("Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired")
#: Of these, what says that there is nothing to complain about.
DONE = ("Completed", "PartiallyCompleted")

_PIECE = 1 << 18
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How far a job is: its status as AWS names it, counts of records, and what AWS says of it."""

    status: str
    records: int = 0
    processed: int = 0
    failed: int = 0
    message: str = ""

    @property
    def ended(self) -> bool:
        """Whether it does not change any more."""
        return self.status in ENDED


def record_id(text: str) -> str:
    """Return a text's name in a job: 11 letters and digits, as AWS's own have, made from its hash.

    55 bits: two of a million texts have the same with a probability of 1e-5, and as a result is
    checked against its text, too, one of them would only be embedded on demand.

    Examples
    --------
    >>> record_id("Staff take 28 days of leave.")
    'EOWTCA6RRCS'
    """
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=7).digest()
    return base64.b32encode(digest).decode()[:11]


def record(text: str, body: Mapping[str, Any]) -> str:
    """Return the line of an input file for a text and the request that embeds it."""
    return json.dumps({"recordId": record_id(text), "modelInput": dict(body)}, ensure_ascii=True) + "\n"


def fault_code(error: BaseException) -> str:
    """Return the code of the AWS error that an error of ours was raised from; empty if there is none."""
    return code_of(error.__cause__) if error.__cause__ is not None else ""


class BatchJobs:
    """Jobs of one account and region, and the bucket of their files.

    Parameters
    ----------
    s3 : str
        ``s3://bucket/prefix``.
    region : str, optional
        By default that of the environment.
    control, storage : optional
        Clients of ``bedrock`` and ``s3`` to use instead of its own.
    retry : Retry
        When a call of Bedrock's is tried again; S3's client has botocore's own retries.
    """

    def __init__(
        self,
        s3: str,
        *,
        region: str | None = None,
        control: Any = None,
        storage: Any = None,
        retry: Retry | None = None,
    ) -> None:
        self.bucket, _, prefix = s3.removeprefix("s3://").partition("/")
        self.prefix = prefix.strip("/")
        self._region = region or None
        self._control, self._storage = control, storage
        self._retry = retry or Retry()

    def upload(self, path: Path, name: str) -> None:
        """Put the input file of the job `name` on S3."""
        self._on_s3("upload", lambda s3: s3.upload_file(str(path), self.bucket, self._key(f"{name}.jsonl")))

    def start(self, name: str, token: str, *, model: str, role_arn: str, timeout_hours: int) -> str:
        """Start the job `name` and return its ARN; the same token never starts a second one."""
        found = self._call(
            "CreateModelInvocationJob", "create_model_invocation_job",
            jobName=name, clientRequestToken=token, roleArn=role_arn, modelId=model,
            inputDataConfig={"s3InputDataConfig": {
                "s3InputFormat": "JSONL", "s3Uri": f"s3://{self.bucket}/{self._key(f'{name}.jsonl')}",
            }},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"s3://{self.bucket}/{self._key(name)}/"}},
            timeoutDurationInHours=timeout_hours,
        )  # fmt: skip
        return str(found["jobArn"])

    def find(self, name: str) -> str:
        """Return the ARN of the job `name`; empty where there is none, or jobs may not be listed."""
        try:
            found = self._call("ListModelInvocationJobs", "list_model_invocation_jobs", nameContains=name)
        except EmbeddingError as error:
            if fault_code(error) == "AccessDeniedException":  # then the token alone must do
                return ""
            raise
        jobs = found.get("invocationJobSummaries", ())
        return next((str(job["jobArn"]) for job in jobs if job["jobName"] == name), "")

    def status(self, arn: str) -> JobStatus:
        """Return how far a job is."""
        try:
            found = self._call("GetModelInvocationJob", "get_model_invocation_job", jobIdentifier=arn)
        except EmbeddingError as error:
            if fault_code(error) != "ResourceNotFoundException":
                raise
            return JobStatus("Failed", message="AWS does not know it any more")
        return JobStatus(
            found.get("status", ""), found.get("totalRecordCount", 0), found.get("processedRecordCount", 0),
            found.get("errorRecordCount", 0), " ".join(found.get("message", "").split()),
        )  # fmt: skip

    def stop(self, arn: str) -> None:
        """Stop a job; one that has ended is left as it is."""
        try:
            self._call("StopModelInvocationJob", "stop_model_invocation_job", jobIdentifier=arn)
        except EmbeddingError as error:
            if fault_code(error) not in (
                "ConflictException", "ResourceNotFoundException", "ValidationException",
            ):  # fmt: skip
                raise

    def results(self, name: str, arn: str) -> Iterator[bytes]:
        """Yield the lines of a job's output, in no order; none where it has written none."""
        for key, etag, size in self._output(name, arn, ".jsonl.out"):
            yield from self._lines(key, etag, size)

    def tokens(self, name: str, arn: str) -> int:
        """Return the tokens that a job has read, by its manifest; 0 where it has written none."""
        try:
            lines = [self._lines(*file) for file in self._output(name, arn, "manifest.json.out")]
            return sum(int(json.loads(b"\n".join(each))["inputTokenCount"]) for each in lines)
        except (ValueError, KeyError, TypeError):
            return 0

    def _output(self, name: str, arn: str, end: str) -> list[tuple[str, str, int]]:
        """Return key, ETag and size of a job's files of results."""
        folder = f"{self._key(name)}/{arn.rsplit('/', 1)[-1]}/"

        def listed(s3: Any) -> list[dict[str, Any]]:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder)
            return [item for page in pages for item in page.get("Contents", ())]

        found = self._on_s3("list", listed)
        return [(item["Key"], item["ETag"], item["Size"]) for item in found if item["Key"].endswith(end)]

    def _lines(self, key: str, etag: str, size: int) -> Iterator[bytes]:
        """Yield an object's lines; where the connection is cut it goes on behind the last byte it got.

        A job's results are hundreds of megabytes: 25 kB a record.
        """
        at, rest = 0, b""
        while at < size:
            before, asked = at, {"Bucket": self.bucket, "Key": key, "IfMatch": etag, "Range": f"bytes={at}-"}
            answer = self._on_s3("read", partial(_get, asked=asked))
            pieces = answer["Body"].iter_chunks(_PIECE)
            with contextlib.suppress(*_cut()):
                for piece in pieces:
                    at += len(piece)
                    *lines, rest = (rest + piece).split(b"\n")
                    yield from lines
            if at == before:
                raise EmbeddingError(f"s3://{self.bucket}/{key} cannot be read: run the same again")
        if rest:
            yield rest

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _bedrock(self) -> Any:
        if self._control is None:
            from rag.bedrock.runtime.client import client

            self._control = client("bedrock", region=self._region)
        return self._control

    def _call(self, action: str, method: str, **arguments: Any) -> Any:
        do = getattr(self._bedrock(), method)
        try:
            return self._retry.call(lambda: do(**arguments), model=f"bedrock:{action}", error=EmbeddingError)
        except EmbeddingError as error:
            if fault_code(error) != "AccessDeniedException":
                raise
            # The table's advice is that of models: here it is about jobs.
            raise EmbeddingError(
                f"bedrock:{action} is not allowed ({error.__cause__}): you need bedrock:"
                "CreateModelInvocationJob, GetModelInvocationJob, ListModelInvocationJobs and "
                "StopModelInvocationJob, and iam:PassRole on the job's role"
            ) from error.__cause__

    def _on_s3(self, what: str, do: Callable[[Any], T]) -> T:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self._storage is None:
                self._storage = self._s3()
            return do(self._storage)
        except (BotoCoreError, ClientError, Boto3Error) as error:
            known = fault_of(error).code  # S3's own errors are none of the table's
            said = explain(error, "Amazon S3") if known else f"Amazon S3: {' '.join(str(error).split())}"
            raise EmbeddingError(
                f"cannot {what} in s3://{self.bucket}/{self.prefix} ({said}): check "
                "the bucket, and that you are allowed s3:GetObject, s3:PutObject and s3:ListBucket there"
            ) from error

    def _s3(self) -> Any:
        """Make a client; S3's faults are no model's, so botocore itself tries again."""
        import boto3
        from botocore.config import Config

        retries = {"mode": "standard", "max_attempts": 6}
        return boto3.client("s3", region_name=self._region, config=Config(retries=retries))


def _get(s3: Any, asked: Mapping[str, Any]) -> Any:
    return s3.get_object(**asked)


def _cut() -> tuple[type[Exception], ...]:
    """Return how a connection breaks while a body is read."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError
    from urllib3.exceptions import HTTPError

    return HTTPClientError, IncompleteReadError, HTTPError, OSError
