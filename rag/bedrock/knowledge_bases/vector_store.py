"""The vector bucket and index of Amazon S3 Vectors in which a knowledge base keeps its chunks."""

from __future__ import annotations

import re
from typing import Any

from rag.bedrock.knowledge_bases.service import Service, fault_code
from rag.bedrock.knowledge_bases.settings import KnowledgeBaseSettings
from rag.core.errors import ConfigError, RagError

#: Keys under which a knowledge base keeps a chunk's text and its own metadata. Filterable metadata may have
#: 2,048 bytes in all, which a text exceeds, so these must be declared as not filterable when the index is
#: created (Amazon S3 User Guide, "Limitations and restrictions" of S3 Vectors; Bedrock User Guide,
#: "Prerequisites for using a vector store you created", read November 2026).
NOT_FILTERABLE = ("AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA")
#: Names (botocore 1.44.5's model of s3vectors, IndexArn and VectorBucketArn).
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADVICE = {"NotFoundException": "check the name and the region"}


def prepared(settings: KnowledgeBaseSettings, vectors: Service) -> dict[str, Any]:
    """Create vector bucket and index unless they exist; return the ``storageConfiguration``.

    Raises
    ------
    ConfigError
        A name is refused, or an index of this name exists that does not fit.
    RagError
        A call failed.
    """
    plain = re.sub(r"[^a-z0-9.-]+", "-", settings.name.lower()).strip("-.")
    bucket, index = settings.vector_bucket or f"{plain}-vectors", settings.vector_index or plain
    for what, name, option in (("bucket", bucket, "--vector-bucket"), ("index", index, "--vector-index")):
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name of a vector {what}: give {option}, 3 to 63 lower-case letters, digits, "
                "- and ."
            )
    _bucket(vectors, bucket)
    arn = _index(vectors, bucket, index, settings.size)
    return {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": arn}}


def _bucket(vectors: Service, name: str) -> None:
    if _found(vectors, "GetVectorBucket", vectorBucketName=name) is None:
        vectors.call("CreateVectorBucket", vectorBucketName=name)


def _index(vectors: Service, bucket: str, name: str, size: int) -> str:
    """Return the ARN of an index, which is created unless it exists."""
    names: dict[str, Any] = {"vectorBucketName": bucket, "indexName": name}
    found = _found(vectors, "GetIndex", **names)
    if found is None:
        vectors.call(
            "CreateIndex", dataType="float32", dimension=size, distanceMetric="cosine",
            metadataConfiguration={"nonFilterableMetadataKeys": list(NOT_FILTERABLE)}, **names,
        )  # fmt: skip
        return str(vectors.call("GetIndex", **names)["index"]["indexArn"])
    index = found["index"]
    if index["dimension"] != size:
        raise ConfigError(
            f"the vector index {bucket}/{name} has {index['dimension']} dimensions, the embedding model "
            f"{size}: choose another name with --vector-index, or --dimensions"
        )
    kept = index.get("metadataConfiguration", {}).get("nonFilterableMetadataKeys", ())
    if lacks := [key for key in NOT_FILTERABLE if key not in kept]:
        raise ConfigError(
            f"the vector index {bucket}/{name} was created with {' and '.join(lacks)} filterable, so that "
            "texts do not fit: choose another name with --vector-index"
        )
    return str(index["indexArn"])


def _found(vectors: Service, operation: str, **names: str) -> dict[str, Any] | None:
    try:
        return vectors.call(operation, _ADVICE, **names)
    except RagError as error:
        if fault_code(error) != "NotFoundException":
            raise
        return None
