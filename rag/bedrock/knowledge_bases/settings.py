"""What a knowledge base is created with: its embedding model, its vector store, and how it cuts documents.

Shapes, ranges and names are those of botocore 1.44.5's model of bedrock-agent.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rag.usage.model_ids import split
from rag.usage.settings import Settings, checked

#: Dimensions of embedding models: all that they have, the default first (Bedrock User Guide, "Supported
#: models and Regions for Amazon Bedrock knowledge bases", read November 2026; `rag.bedrock.embeddings`).
DIMENSIONS = {
    "amazon.titan-embed-text-v2:0": (1024, 512, 256),
    "amazon.titan-embed-text-v1": (1536,),
    "cohere.embed-english-v3": (1024,),
    "cohere.embed-multilingual-v3": (1024,),
    "cohere.embed-v4:0": (1536, 1024, 512, 256),
    "amazon.nova-2-multimodal-embeddings-v1:0": (1024, 384, 256, 3072),
}
EMBEDDING = "amazon.titan-embed-text-v2:0"
_NAME = re.compile(r"([0-9a-zA-Z][_-]?){1,100}")
_ROLE = re.compile(r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+")
_COLLECTION = re.compile(r"arn:aws:aoss:[a-z]{2}(-gov)?-[a-z]+-\d{1}:\d{12}:collection/[a-z0-9-]{3,32}")

Chunking = Literal["default", "fixed", "hierarchical", "semantic", "none"]
Store = Literal["s3-vectors", "opensearch-serverless"]


class KnowledgeBaseSettings(Settings):
    """What a knowledge base is created with.

    Attributes
    ----------
    name : str
        Letters, digits, ``-`` and ``_``; at most 100 characters.
    role_arn : str
        The role that the knowledge base assumes: to read the documents, to embed, to write vectors.
    embedding : str
        The embedding model's id or ARN.
    dimensions : int, optional
        By default the first that the model has.
    store : {"s3-vectors", "opensearch-serverless"}
    vector_bucket, vector_index : str
        Of S3 Vectors; created unless they exist. By default named like the knowledge base. For OpenSearch
        Serverless `vector_index` names an index that exists.
    collection_arn : str
        Of OpenSearch Serverless.
    vector_field, text_field, metadata_field : str
        Of the index in OpenSearch; by default the names that AWS's console gives.
    chunking : {"default", "fixed", "hierarchical", "semantic", "none"}
        ``"none"`` takes each document as one chunk.
    chunk_tokens : int
        Most tokens of a chunk.
    overlap : int
        Of fixed chunks in percent, of hierarchical ones in tokens.
    parent_tokens : int
        Most tokens of the upper level of hierarchical chunks.
    breakpoint : int
        Of semantic chunks, in percent: how unlike neighbours must be, among all, to be cut apart.
    """

    name: str
    role_arn: str
    embedding: str = EMBEDDING
    dimensions: int | None = Field(None, ge=1, le=4096, description="a number from 1 to 4096")
    store: Store = "s3-vectors"
    vector_bucket: str = ""
    vector_index: str = ""
    collection_arn: str = ""
    vector_field: str = "bedrock-knowledge-base-default-vector"
    text_field: str = "AMAZON_BEDROCK_TEXT"
    metadata_field: str = "AMAZON_BEDROCK_METADATA"
    chunking: Chunking = "default"
    chunk_tokens: int = Field(300, ge=1, le=8192, description="a number from 1 to 8192")
    overlap: int | None = Field(None, ge=1, description="a number of at least 1")
    parent_tokens: int = Field(1500, ge=1, le=8192, description="a number from 1 to 8192")
    breakpoint: int = Field(95, ge=50, le=99, description="a number from 50 to 99")

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(
                f"write letters, digits, - and _, at most 100, beginning with a letter, not {value!r}"
            )
        return value

    @field_validator("role_arn")
    @classmethod
    def _is_role(cls, value: str) -> str:
        if not _ROLE.fullmatch(value):
            raise ValueError(f"write arn:aws:iam::ACCOUNT:role/NAME, not {value!r}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> KnowledgeBaseSettings:
        known = DIMENSIONS.get(split(self.embedding)[1])
        if known is None and self.dimensions is None:
            raise ValueError(f"the dimensions of {self.embedding} are not known: give them")
        if known is not None and self.dimensions not in (None, *known):
            raise ValueError(
                f"{self.embedding} has the dimensions {', '.join(map(str, sorted(known)))}, "
                f"not {self.dimensions}"
            )
        if self.store == "opensearch-serverless" and not _COLLECTION.fullmatch(self.collection_arn):
            raise ValueError(
                "OpenSearch Serverless needs a collection: give its ARN, "
                f"arn:aws:aoss:REGION:ACCOUNT:collection/ID, not {self.collection_arn!r}"
            )
        if self.store == "s3-vectors" and self.collection_arn:
            raise ValueError("a collection is one of OpenSearch Serverless: choose that store")
        if self.overlap is not None and self.chunking not in ("fixed", "hierarchical"):
            raise ValueError("an overlap goes with the chunking fixed or hierarchical")
        if self.chunking == "fixed" and (self.overlap or 0) > 99:
            raise ValueError(f"the overlap of fixed chunks is in percent, from 1 to 99, not {self.overlap}")
        if self.chunking == "hierarchical" and self.chunk_tokens >= self.parent_tokens:
            raise ValueError(
                f"chunks of {self.chunk_tokens} tokens do not fit into parents of {self.parent_tokens}: "
                "make these larger"
            )
        return self

    @property
    def size(self) -> int:
        """The dimensions of the vectors."""
        return self.dimensions or DIMENSIONS[split(self.embedding)[1]][0]

    def embedding_configuration(self, arn: str) -> dict[str, Any]:
        """Return the ``knowledgeBaseConfiguration``; dimensions are sent where the model has several."""
        several = len(DIMENSIONS.get(split(self.embedding)[1], (0, 0))) > 1
        size = {
            "bedrockEmbeddingModelConfiguration": {"dimensions": self.size, "embeddingDataType": "FLOAT32"}
        }
        return {
            "type": "VECTOR",
            "vectorKnowledgeBaseConfiguration": {
                "embeddingModelArn": arn, **({"embeddingModelConfiguration": size} if several else {}),
            },
        }  # fmt: skip

    def open_search(self) -> dict[str, Any]:
        """Return the ``storageConfiguration`` of a collection of OpenSearch Serverless."""
        return {
            "type": "OPENSEARCH_SERVERLESS",
            "opensearchServerlessConfiguration": {
                "collectionArn": self.collection_arn,
                "vectorIndexName": self.vector_index or "bedrock-knowledge-base-default-index",
                "fieldMapping": {
                    "vectorField": self.vector_field, "textField": self.text_field,
                    "metadataField": self.metadata_field,
                },
            },
        }  # fmt: skip

    def ingestion(self) -> dict[str, Any]:
        """Return the ``vectorIngestionConfiguration``; empty where AWS's defaults hold."""
        if self.chunking == "default":
            return {}
        tokens = self.chunk_tokens
        kinds: dict[str, dict[str, Any]] = {
            "fixed": {
                "chunkingStrategy": "FIXED_SIZE",
                "fixedSizeChunkingConfiguration": {
                    "maxTokens": tokens, "overlapPercentage": self.overlap or 20,
                },
            },
            "hierarchical": {
                "chunkingStrategy": "HIERARCHICAL",
                "hierarchicalChunkingConfiguration": {
                    "levelConfigurations": [{"maxTokens": self.parent_tokens}, {"maxTokens": tokens}],
                    "overlapTokens": self.overlap or 60,
                },
            },
            "semantic": {
                "chunkingStrategy": "SEMANTIC",
                "semanticChunkingConfiguration": {
                    "maxTokens": tokens, "bufferSize": 0, "breakpointPercentileThreshold": self.breakpoint,
                },
            },
            "none": {"chunkingStrategy": "NONE"},
        }  # fmt: skip
        return {"chunkingConfiguration": kinds[self.chunking]}


def settings(**values: Any) -> KnowledgeBaseSettings:
    """Check what a knowledge base is to be created with; None counts as missing.

    Raises
    ------
    ConfigError
        A value is refused.

    Examples
    --------
    >>> settings(name="handbook", role_arn="arn:aws:iam::123456789012:role/kb").size
    1024
    """
    given = {name: value for name, value in values.items() if value is not None}
    return checked(KnowledgeBaseSettings, given, "the knowledge base")
