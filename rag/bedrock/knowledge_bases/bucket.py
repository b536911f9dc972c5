"""The bucket and prefix on Amazon S3 that hold the documents of a knowledge base."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from rag.bedrock.runtime.client import explain, region_name
from rag.bedrock.runtime.faults import FAULTS, code_of
from rag.core.errors import RagError, UsageError

#: The object metadata that holds the SHA-256 of what was uploaded.
SHA256 = "rag-sha256"
#: Most keys of one DeleteObjects (S3 API reference).
_MOST_DELETED = 1000
#: Names of buckets as CreateDataSource takes them (botocore 1.44.5's model of bedrock-agent, S3BucketArn).
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
#: Most characters of a data source's prefix (S3Prefixes).
_MOST_PREFIX = 300

T = TypeVar("T")


class Stored(NamedTuple):
    """An object as a listing has it."""

    etag: str
    size: int


class Place(NamedTuple):
    """A bucket, and a prefix that is empty or ends in ``/``."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


def place_of(url: str) -> Place:
    """Read ``s3://bucket/prefix``.

    Raises
    ------
    UsageError
        It is no such URL.

    Examples
    --------
    >>> place_of("s3://handbook/docs")
    Place(bucket='handbook', prefix='docs/')
    """
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    prefix = prefix.strip("/")
    if not url.startswith("s3://") or not _NAME.fullmatch(bucket) or "//" in prefix:
        raise UsageError(f"{url!r} is no place on S3: write s3://bucket/prefix")
    if len(prefix) >= _MOST_PREFIX:
        raise UsageError(f"{url!r} has a prefix of more than {_MOST_PREFIX - 1} characters: shorten it")
    return Place(bucket, prefix and f"{prefix}/")


class Bucket:
    """Lists, writes and deletes the objects of a place.

    Parameters
    ----------
    place : Place
    client : optional
        A boto3 S3 client; by default one configured by the AWS environment, which retries.
    parallel : int
        Calls at the same time.
    """

    def __init__(self, place: Place, *, client: Any = None, parallel: int = 8) -> None:
        self.place, self.parallel = place, parallel
        self._given = client

    @property
    def _client(self) -> Any:
        if self._given is None:
            import boto3
            from botocore.config import Config

            retries = {"mode": "standard", "max_attempts": 6}
            config = Config(max_pool_connections=self.parallel + 2, retries=retries)
            self._given = boto3.client("s3", region_name=region_name(), config=config)
        return self._given

    def list(self) -> dict[str, Stored]:
        """Return the objects below the prefix, by key; those of folders, which end in ``/``, left out."""

        def listed() -> dict[str, Stored]:
            pages = self._client.get_paginator("list_objects_v2")
            return {
                item["Key"]: Stored(item["ETag"].strip('"'), item["Size"])
                for page in pages.paginate(Bucket=self.place.bucket, Prefix=self.place.prefix)
                for item in page.get("Contents", ())
                if not item["Key"].endswith("/")
            }

        return self._explained("list", "s3:ListBucket on the bucket", listed)

    def sha256(self, key: str) -> str:
        """Return the SHA-256 that an upload left with an object; empty for an object of others."""

        def read() -> str:
            metadata: Mapping[str, str] = self._client.head_object(Bucket=self.place.bucket, Key=key)[
                "Metadata"
            ]
            return metadata.get(SHA256, "")

        return self._explained(f"look up {key} in", "s3:GetObject on its objects", read)

    def put(self, key: str, body: bytes, *, sha256: str, content_type: str) -> None:
        """Write an object, at once: readers see the old one or the new one."""
        self._explained(f"write {key} to", "s3:PutObject on its objects", lambda: self._client.put_object(
            Bucket=self.place.bucket, Key=key, Body=body, ContentType=content_type, Metadata={SHA256: sha256},
        ))  # fmt: skip

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        for at in range(0, len(keys), _MOST_DELETED):
            named = [{"Key": key} for key in keys[at : at + _MOST_DELETED]]
            call = functools.partial(
                self._client.delete_objects, Bucket=self.place.bucket,
                Delete={"Objects": named, "Quiet": True},
            )  # fmt: skip
            reply = self._explained("delete from", "s3:DeleteObject on its objects", call)
            for error in reply.get("Errors", ()):
                raise RagError(
                    f"cannot delete s3://{self.place.bucket}/{error.get('Key')} ({error.get('Code')}: "
                    f"{error.get('Message')}): allow s3:DeleteObject on it"
                )

    def _explained(self, action: str, needs: str, call: Callable[[], T]) -> T:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except (BotoCoreError, ClientError, Boto3Error) as error:
            advice = {
                "AccessDenied": f"allow {needs}", "403": f"allow {needs}",
                "NoSuchBucket": "create the bucket first, or check its name and the region",
            }  # fmt: skip
            code = code_of(error)
            if code not in FAULTS:  # an error of S3 alone
                advice.setdefault(code, f"check the bucket, and allow {needs}")
            raise RagError(f"cannot {action} {self.place}: {explain(error, 'Amazon S3', advice)}") from error
