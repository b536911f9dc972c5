"""Batch inference on Amazon Bedrock: jobs that process files of records on S3 at half price.

Sources, all of November 2026: calls and arguments are from botocore 1.44.5's service model of
``bedrock``; the line format, and that the output is unordered, from the Bedrock User Guide, "Format and
upload your batch inference data" and "View the results of a batch inference job"; limits from the quotas
for batch inference. The minimum number of records is a quota per model: 100 in recent accounts, 1,000 in
2024.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from rag.bedrock.runtime.client import explain, region_name
from rag.bedrock.runtime.faults import code_of, fault_of
from rag.bedrock.runtime.retry import Retry
from rag.bedrock.storage.ranged_read import ObjectVersion, read_object
from rag.core.errors import EmbeddingError, RagError

#: Most records in one job (quota "Records per batch inference job").
MAX_RECORDS = 50_000
#: Most bytes in one file: well below the quota "Batch inference input file size" of 1 GB.
MAX_BYTES = 200_000_000
#: Final statuses of a job.
ENDED = ("Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired")
#: Final statuses of a successful job.
DONE = ("Completed", "PartiallyCompleted")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job's progress: its status in AWS's terms, counts of records, and AWS's message."""

    status: str
    records: int = 0
    processed: int = 0
    failed: int = 0
    message: str = ""

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in ENDED


def record_id(text: str) -> str:
    """Return a text's id in a job: 11 letters and digits, like AWS's ids, derived from its hash.

    With 55 bits, any two of a million texts collide with a probability of 1e-5. Results are also
    checked against their texts, so after a collision one text is merely embedded on demand.

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
    """Return the code of the AWS error that caused an error; empty if there is none."""
    return code_of(error.__cause__) if error.__cause__ is not None else ""


class BatchJobs:
    """The jobs of one account and region, and the bucket of their files.

    Parameters
    ----------
    s3 : str
        ``s3://bucket/prefix``.
    region : str, optional
        By default the environment's.
    control, storage : optional
        Clients of ``bedrock`` and ``s3``; by default it creates them.
    retry : Retry
        When to retry a call of Bedrock; the S3 client uses botocore's retries.
    error : type of RagError
        Raised for a failure.
    """

    def __init__(
        self,
        s3: str,
        *,
        region: str | None = None,
        control: Any = None,
        storage: Any = None,
        retry: Retry | None = None,
        error: type[RagError] = EmbeddingError,
    ) -> None:
        self.bucket, _, prefix = s3.removeprefix("s3://").partition("/")
        self.prefix = prefix.strip("/")
        self._region = region or None
        self._control, self._storage = control, storage
        self._retry = retry or Retry()
        self.error = error

    def upload(self, path: Path, name: str) -> None:
        """Put the input file of the job `name` on S3."""
        self._on_s3("upload", lambda s3: s3.upload_file(str(path), self.bucket, self._key(f"{name}.jsonl")))

    def start(
        self,
        name: str,
        token: str,
        *,
        model: str,
        role_arn: str,
        timeout_hours: int,
        invocation: Literal["InvokeModel", "Converse"] = "InvokeModel",
    ) -> str:
        """Start the job `name` and return its ARN; the same token never starts a second job.

        `invocation` is the operation whose requests the records hold. InvokeModel, Bedrock's default, is
        not sent.
        """
        kind = {} if invocation == "InvokeModel" else {"modelInvocationType": invocation}
        reply = self._call(
            "CreateModelInvocationJob", "create_model_invocation_job",
            jobName=name, clientRequestToken=token, roleArn=role_arn, modelId=model,
            inputDataConfig={"s3InputDataConfig": {
                "s3InputFormat": "JSONL", "s3Uri": f"s3://{self.bucket}/{self._key(f'{name}.jsonl')}",
            }},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"s3://{self.bucket}/{self._key(name)}/"}},
            timeoutDurationInHours=timeout_hours, **kind,
        )  # fmt: skip
        return str(reply["jobArn"])

    def find(self, name: str) -> str:
        """Return the ARN of the job `name`; empty if there is none or jobs may not be listed."""
        try:
            reply = self._call("ListModelInvocationJobs", "list_model_invocation_jobs", nameContains=name)
        except self.error as error:
            if fault_code(error) == "AccessDeniedException":  # the token alone prevents a second job
                return ""
            raise
        jobs = reply.get("invocationJobSummaries", ())
        return next((str(job["jobArn"]) for job in jobs if job["jobName"] == name), "")

    def status(self, arn: str) -> JobStatus:
        """Return a job's progress."""
        try:
            job = self._call("GetModelInvocationJob", "get_model_invocation_job", jobIdentifier=arn)
        except self.error as error:
            if fault_code(error) != "ResourceNotFoundException":
                raise
            return JobStatus("Failed", message="AWS no longer knows this job")
        return JobStatus(
            job.get("status", ""), job.get("totalRecordCount", 0), job.get("processedRecordCount", 0),
            job.get("errorRecordCount", 0), " ".join(job.get("message", "").split()),
        )  # fmt: skip

    def stop(self, arn: str) -> None:
        """Stop a job, unless it has ended."""
        try:
            self._call("StopModelInvocationJob", "stop_model_invocation_job", jobIdentifier=arn)
        except self.error as error:
            if fault_code(error) not in (
                "ConflictException", "ResourceNotFoundException", "ValidationException",
            ):  # fmt: skip
                raise

    def results(self, name: str, arn: str) -> Iterator[bytes]:
        """Yield the lines of a job's output, unordered; nothing if there is no output."""
        for file in self._output(name, arn, ".jsonl.out"):
            yield from self._lines(file)

    def tokens(self, name: str, arn: str) -> int:
        """Return the input tokens in a job's manifest; 0 if there is no valid manifest."""
        try:
            manifests = [self._lines(file) for file in self._output(name, arn, "manifest.json.out")]
            return sum(int(json.loads(b"\n".join(lines))["inputTokenCount"]) for lines in manifests)
        except (ValueError, KeyError, TypeError):
            return 0

    def _output(self, name: str, arn: str, end: str) -> list[ObjectVersion]:
        """Return a job's output files whose names have this end."""
        folder = f"{self._key(name)}/{arn.rsplit('/', 1)[-1]}/"

        def listed(s3: Any) -> list[dict[str, Any]]:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=folder)
            return [item for page in pages for item in page.get("Contents", ())]

        items = self._on_s3("list", listed)
        return [
            ObjectVersion(self.bucket, item["Key"], item["ETag"], item["Size"])
            for item in items if item["Key"].endswith(end)
        ]  # fmt: skip

    def _lines(self, file: ObjectVersion) -> Iterator[bytes]:
        """Yield a file's lines; a job's output has hundreds of megabytes, at 25 kB per record."""
        rest = b""
        pieces = self._on_s3("read", lambda s3: read_object(s3, file))
        while piece := self._on_s3("read", lambda _: next(pieces, b"")):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
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
        call = getattr(self._bedrock(), method)
        try:
            return self._retry.call(lambda: call(**arguments), model=f"bedrock:{action}", error=self.error)
        except self.error as error:
            if fault_code(error) != "AccessDeniedException":
                raise
            # The table's advice is about models, not about jobs.
            raise self.error(
                f"bedrock:{action} is not allowed ({error.__cause__}): you need bedrock:"
                "CreateModelInvocationJob, GetModelInvocationJob, ListModelInvocationJobs and "
                "StopModelInvocationJob, and iam:PassRole on the job's role"
            ) from error.__cause__

    def _on_s3(self, action: str, call: Callable[[Any], T]) -> T:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if self._storage is None:
                self._storage = self._s3()
            return call(self._storage)
        except (BotoCoreError, ClientError, Boto3Error) as error:
            in_table = fault_of(error).code  # errors of S3 alone are not
            reason = explain(error, "Amazon S3") if in_table else f"Amazon S3: {' '.join(str(error).split())}"
            raise self.error(
                f"cannot {action} in s3://{self.bucket}/{self.prefix} ({reason}): check "
                "the bucket, and that you are allowed s3:GetObject, s3:PutObject and s3:ListBucket there"
            ) from error

    def _s3(self) -> Any:
        """Create a client with botocore's retries; the table of faults is about Bedrock, not S3."""
        import boto3
        from botocore.config import Config

        retries = {"mode": "standard", "max_attempts": 6}
        return boto3.client("s3", region_name=region_name(self._region), config=Config(retries=retries))
