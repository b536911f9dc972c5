"""Rules of knowledge bases that the service enforces and its model does not state.

Most say that a ``type`` or strategy names the member that must be set (API references of CreateKnowledgeBase,
CreateDataSource and RetrieveAndGenerate).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rag.bedrock.search.generation_limits import PASSAGES

_CONFIGURATIONS = {
    "VECTOR": "vectorKnowledgeBaseConfiguration", "KENDRA": "kendraKnowledgeBaseConfiguration",
    "SQL": "sqlKnowledgeBaseConfiguration", "MANAGED": "managedKnowledgeBaseConfiguration",
}  # fmt: skip
_STORES = {
    "OPENSEARCH_SERVERLESS": "opensearchServerlessConfiguration", "PINECONE": "pineconeConfiguration",
    "REDIS_ENTERPRISE_CLOUD": "redisEnterpriseCloudConfiguration", "RDS": "rdsConfiguration",
    "MONGO_DB_ATLAS": "mongoDbAtlasConfiguration", "NEPTUNE_ANALYTICS": "neptuneAnalyticsConfiguration",
    "OPENSEARCH_MANAGED_CLUSTER": "opensearchManagedClusterConfiguration",
    "S3_VECTORS": "s3VectorsConfiguration",
}  # fmt: skip
_STRATEGIES = {
    "FIXED_SIZE": "fixedSizeChunkingConfiguration", "HIERARCHICAL": "hierarchicalChunkingConfiguration",
    "SEMANTIC": "semanticChunkingConfiguration",
}  # fmt: skip


def broken(operation: str, params: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line per rule that a request breaks; the request fits the service model."""
    if operation == "CreateKnowledgeBase":
        yield from _base(params)
    elif operation == "CreateDataSource":
        yield from _source(params)
    elif operation.startswith("RetrieveAndGenerate"):
        yield from _generation(params)


def _base(params: Mapping[str, Any]) -> Iterator[str]:
    configuration = params["knowledgeBaseConfiguration"]
    yield from _member("knowledgeBaseConfiguration", configuration, _CONFIGURATIONS)
    storage = params.get("storageConfiguration")
    if storage is None:
        if configuration["type"] == "VECTOR":
            yield "storageConfiguration: a knowledge base of type VECTOR needs one"
        return
    yield from _member("storageConfiguration", storage, _STORES)
    vectors = storage.get("s3VectorsConfiguration", {})
    if storage["type"] == "S3_VECTORS" and not (
        "indexArn" in vectors or {"vectorBucketArn", "indexName"} <= vectors.keys()
    ):
        yield "s3VectorsConfiguration: give indexArn, or vectorBucketArn and indexName"


def _source(params: Mapping[str, Any]) -> Iterator[str]:
    configuration = params["dataSourceConfiguration"]
    yield from _member(
        "dataSourceConfiguration", configuration, {"S3": "s3Configuration", "WEB": "webConfiguration"}
    )
    chunking = params.get("vectorIngestionConfiguration", {}).get("chunkingConfiguration")
    if chunking is None:
        return
    wanted = _STRATEGIES.get(chunking["chunkingStrategy"])
    for member in _STRATEGIES.values():
        if (member in chunking) != (member == wanted):
            what = "needs" if member == wanted else "excludes"
            yield f"chunkingConfiguration: the strategy {chunking['chunkingStrategy']} {what} {member}"
    levels = [
        level["maxTokens"]
        for level in chunking.get("hierarchicalChunkingConfiguration", {}).get("levelConfigurations", ())
    ]
    if levels and levels[0] <= levels[-1]:
        yield "levelConfigurations: the tokens of the first level must exceed those of the second"


def _generation(params: Mapping[str, Any]) -> Iterator[str]:
    configuration = params.get("retrieveAndGenerateConfiguration")
    if configuration is None:
        if "sessionId" not in params:
            yield "retrieveAndGenerateConfiguration is required for a new session"
        return
    yield from _member("retrieveAndGenerateConfiguration", configuration, {
        "KNOWLEDGE_BASE": "knowledgeBaseConfiguration", "EXTERNAL_SOURCES": "externalSourcesConfiguration",
    })  # fmt: skip
    if configuration["type"] != "KNOWLEDGE_BASE":
        yield "the emulator answers from knowledge bases alone, not from EXTERNAL_SOURCES"
    inner = configuration.get("knowledgeBaseConfiguration", {})
    template = inner.get("generationConfiguration", {}).get("promptTemplate", {}).get("textPromptTemplate")
    if template is not None and PASSAGES not in template:
        yield f"textPromptTemplate: the prompt must contain {PASSAGES}"
    if not params["input"]["text"].strip():
        yield "input.text: must not be blank"


def _member(name: str, value: Mapping[str, Any], members: Mapping[str, str]) -> Iterator[str]:
    wanted = members.get(value["type"])
    if wanted is not None and wanted not in value:
        yield f"{name}: type {value['type']} needs {wanted}"
