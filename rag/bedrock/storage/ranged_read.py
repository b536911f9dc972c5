"""Read an object on Amazon S3 in ranges, and continue after a broken connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: Bytes of one piece.
_PIECE = 1 << 20


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
