"""Reading objects over connections that break, against moto's S3 server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from rag.bedrock.storage.ranged_read import ObjectVersion, read_object

DATA = bytes(range(256)) * 1000


@pytest.fixture
def s3(moto: str) -> Iterator[Any]:
    client = boto3.client(
        "s3", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="test",
        aws_secret_access_key="test", config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip
    client.create_bucket(Bucket="ranges")
    yield client
    for item in client.list_objects_v2(Bucket="ranges").get("Contents", ()):
        client.delete_object(Bucket="ranges", Key=item["Key"])
    client.delete_bucket(Bucket="ranges")


def put(s3: Any, data: bytes) -> ObjectVersion:
    etag = s3.put_object(Bucket="ranges", Key="a", Body=data)["ETag"]
    return ObjectVersion("ranges", "a", etag, len(data))


class Breaking:
    """A client whose connections break after so many bytes of each reply."""

    def __init__(self, s3: Any, lengths: list[int]) -> None:
        self.s3, self.lengths, self.ranges = s3, lengths, list[Any]()

    def get_object(self, **arguments: Any) -> Any:
        self.ranges.append(arguments.get("Range"))
        reply = self.s3.get_object(**arguments)
        if self.lengths:
            reply["Body"] = Body(reply["Body"].read()[: self.lengths.pop(0)])
        return reply


class Body:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        if self.data:
            yield self.data
        raise ConnectionResetError("reset by peer")


def test_whole_object(s3: Any) -> None:
    """An unbroken read is one request without a range, so botocore verifies the checksum."""
    client = Breaking(s3, [])
    assert b"".join(read_object(client, put(s3, DATA))) == DATA
    assert client.ranges == [None]


def test_broken_connection(s3: Any) -> None:
    """Each request continues after the last byte received."""
    client = Breaking(s3, [1, 70_000])
    assert b"".join(read_object(client, put(s3, DATA))) == DATA
    assert client.ranges == [None, "bytes=1-", "bytes=70001-"]


def test_start(s3: Any) -> None:
    """A read may begin inside the object; at its end there is nothing to request."""
    version = put(s3, DATA)
    assert b"".join(read_object(s3, version, start=255_990)) == DATA[255_990:]
    client = Breaking(s3, [])
    assert list(read_object(client, version, start=len(DATA))) == []
    assert client.ranges == []


def test_no_progress(s3: Any) -> None:
    """A connection that breaks before any byte is an error, with the cause."""
    client = Breaking(s3, [10, 0])
    with pytest.raises(BotoCoreError, match="reset by peer") as caught:
        list(read_object(client, put(s3, DATA)))
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert client.ranges == [None, "bytes=10-"]


def test_changed_object(s3: Any) -> None:
    """Bytes of two versions are never mixed."""
    version = put(s3, DATA)
    client = Breaking(s3, [100])
    pieces = read_object(client, version)
    assert next(pieces) == DATA[:100]
    put(s3, DATA[::-1])
    with pytest.raises(ClientError, match="PreconditionFailed"):
        next(pieces)
