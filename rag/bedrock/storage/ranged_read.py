"""Read an object on Amazon S3 in ranges, and continue after a broken connection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rag.bedrock.runtime.faults import response_of
from rag.core.jitter import full_jitter

#: Bytes of one piece.
_PIECE = 1 << 20
#: Times in a row that reading may fail without a byte.
_FAILURES = 8


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of an object: bucket, key, ETag, and size in bytes."""

    bucket: str
    key: str
    etag: str
    size: int


def read_object(client: Any, version: ObjectVersion, *, start: int = 0) -> Iterator[bytes]:
    """Yield an object's bytes from `start` to its end.

    When the connection breaks, the next request begins after the last byte received. Every request
    names the ETag, so bytes of two versions are never mixed.

    Parameters
    ----------
    client : boto3 S3 client
    version : ObjectVersion
    start : int
        Offset of the first byte.

    Raises
    ------
    botocore.exceptions.ClientError
        S3 refuses the request; code ``PreconditionFailed`` if the object has changed.
    botocore.exceptions.BotoCoreError
        The connection broke before a single byte of a request arrived, or the checksum is wrong.
    """
    from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError
    from urllib3.exceptions import HTTPError

    at = start
    while at < version.size:
        requested, failure = at, None
        # Without a range botocore also verifies the object's checksum, if it has one.
        range_ = {"Range": f"bytes={at}-"} if at else {}
        reply = client.get_object(Bucket=version.bucket, Key=version.key, IfMatch=version.etag, **range_)
        try:
            for piece in reply["Body"].iter_chunks(_PIECE):
                at += len(piece)
                yield piece
        except (HTTPClientError, IncompleteReadError, HTTPError, OSError) as error:
            failure = error
        if at == requested:
            raise ResponseStreamingError(error=failure or "the reply is empty") from failure


def read_patiently(client: Any, version: ObjectVersion, *, start: int = 0) -> Iterator[bytes]:
    """Yield an object's bytes as `read_object` does, and go on after failures of the network or of S3.

    Whether the bytes are right is for the caller to check: it has a checksum of its own.

    Raises
    ------
    botocore.exceptions.ClientError
        S3 refuses the request; code ``PreconditionFailed`` if the object has changed.
    botocore.exceptions.BotoCoreError
        It failed eight times in a row without a byte.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    at, failures = start, 0
    while at < version.size:
        try:
            for piece in read_object(client, version, start=at):
                at, failures = at + len(piece), 0
                yield piece
        except ClientError as error:
            failures += 1
            if failures == _FAILURES or response_of(error)["ResponseMetadata"]["HTTPStatusCode"] < 500:
                raise
        except (BotoCoreError, HTTPError, OSError):
            failures += 1
            if failures == _FAILURES:
                raise
        if failures:
            time.sleep(full_jitter(failures, 0.1, 5.0))
