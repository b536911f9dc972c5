"""Answer the operations of S3 Vectors that prepare a vector store; vectors themselves are not served."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from rag.emulator.wire import ACCOUNT, Refusal, Reply, Request


@dataclass(eq=False)
class VectorBuckets:
    """Vector buckets and their indexes, by ARN."""

    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    indexes: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class HasVectors(Protocol):
    """The state of an emulator that these operations use."""

    @property
    def vector_buckets(self) -> VectorBuckets:
        """The buckets and indexes."""


def create_bucket(emulator: HasVectors, request: Request) -> Reply:
    """Answer CreateVectorBucket."""
    name = request.params["vectorBucketName"]
    arn = _bucket_arn(request, name)
    with emulator.vector_buckets.lock:
        if arn in emulator.vector_buckets.buckets:
            raise Refusal("ConflictException", "A vector bucket with the specified name already exists", 409)
        emulator.vector_buckets.buckets[arn] = {
            "vectorBucketName": name, "vectorBucketArn": arn, "creationTime": int(time.time()),
        }  # fmt: skip
    return Reply({"vectorBucketArn": arn})


def get_bucket(emulator: HasVectors, request: Request) -> Reply:
    """Answer GetVectorBucket."""
    return Reply({"vectorBucket": _bucket(emulator, request)})


def create_index(emulator: HasVectors, request: Request) -> Reply:
    """Answer CreateIndex."""
    bucket, params = _bucket(emulator, request), request.params
    arn = f"{bucket['vectorBucketArn']}/index/{params['indexName']}"
    kept = ("indexName", "dataType", "dimension", "distanceMetric", "metadataConfiguration")
    with emulator.vector_buckets.lock:
        if arn in emulator.vector_buckets.indexes:
            raise Refusal("ConflictException", "An index with the specified name already exists", 409)
        emulator.vector_buckets.indexes[arn] = {
            "vectorBucketName": bucket["vectorBucketName"], "indexArn": arn, "creationTime": int(time.time()),
            **{name: params[name] for name in kept if name in params},
        }  # fmt: skip
    return Reply({"indexArn": arn})


def get_index(emulator: HasVectors, request: Request) -> Reply:
    """Answer GetIndex."""
    params = request.params
    arn = params.get("indexArn") or (
        f"{_bucket(emulator, request)['vectorBucketArn']}/index/{params.get('indexName', '')}"
    )
    found = emulator.vector_buckets.indexes.get(arn)
    if found is None:
        raise _missing("index")
    return Reply({"index": found})


def _bucket(emulator: HasVectors, request: Request) -> Mapping[str, Any]:
    params = request.params
    arn = params.get("vectorBucketArn") or _bucket_arn(request, params.get("vectorBucketName", ""))
    found = emulator.vector_buckets.buckets.get(arn)
    if found is None:
        raise _missing("vector bucket")
    return found


def _bucket_arn(request: Request, name: str) -> str:
    return f"arn:aws:s3vectors:{request.region}:{ACCOUNT}:bucket/{name}"


def _missing(what: str) -> Refusal:
    return Refusal("NotFoundException", f"The specified {what} could not be found", 404)
