"""The emulator's knowledge bases: it refuses what the service does, and ingests from S3 or a folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rag.emulator import Emulator
from tests.emulator.conftest import client_of

ROLE = "arn:aws:iam::123456789012:role/kb"
TITAN = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.titan-embed-text-v2:0"
VECTOR = {"type": "VECTOR", "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": TITAN}}
INDEX = "arn:aws:s3vectors:eu-west-1:123456789012:bucket/vectors/index/handbook"
STORE = {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": INDEX}}
S3 = {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::handbook", "inclusionPrefixes": ["docs/"]}}
CLAUDE = "anthropic.claude-sonnet-5-5"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "leave.md").write_text("---\nregion: none\n---\nStaff in Europe take 28 days of annual leave.\n")
    (docs / "leave.md.metadata.json").write_text('{"metadataAttributes": {"day": "2024-03-01"}}')
    return tmp_path


@pytest.fixture
def emulator(folder: Path) -> Iterator[Emulator]:
    with Emulator(buckets={"handbook": folder}) as running:
        yield running


@pytest.fixture
def agents(emulator: Emulator) -> Any:
    return client_of(emulator, "bedrock-agent")


def created(agents: Any, **options: Any) -> tuple[str, str]:
    base = agents.create_knowledge_base(**{
        "name": "handbook", "roleArn": ROLE, "knowledgeBaseConfiguration": VECTOR, "storageConfiguration": STORE,
    })["knowledgeBase"]["knowledgeBaseId"]  # fmt: skip
    source = agents.create_data_source(
        knowledgeBaseId=base, name="s3", dataSourceConfiguration=S3, **options
    )["dataSource"]["dataSourceId"]  # fmt: skip
    return base, source


def ingested(agents: Any, base: str, source: str) -> dict[str, Any]:
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    job = agents.start_ingestion_job(**names)["ingestionJob"]
    while job["status"] not in ("COMPLETE", "FAILED", "STOPPED"):
        time.sleep(0.01)
        job = agents.get_ingestion_job(**names, ingestionJobId=job["ingestionJobId"])["ingestionJob"]
    return job  # type: ignore[no-any-return]


def retrieved(emulator: Emulator, base: str, **settings: Any) -> list[dict[str, Any]]:
    reply = client_of(emulator, "bedrock-agent-runtime").retrieve(
        knowledgeBaseId=base, retrievalQuery={"text": "How many days of leave?"},
        retrievalConfiguration={"vectorSearchConfiguration": {"numberOfResults": 5, **settings}},
    )  # fmt: skip
    return reply["retrievalResults"]  # type: ignore[no-any-return]


def test_a_folder_stands_for_a_bucket(emulator: Emulator, agents: Any) -> None:
    base, source = created(agents)
    assert retrieved(emulator, base) == []
    job = ingested(agents, base, source)
    assert job["statistics"]["numberOfNewDocumentsIndexed"] == 1 and job["failureReasons"] == []
    (result,) = retrieved(emulator, base)
    assert result["location"]["s3Location"]["uri"] == "s3://handbook/docs/leave.md"
    # Front matter gives no attributes, only the sidecar does; a date in it is a string.
    assert result["metadata"]["day"] == "2024-03-01" and "region" not in result["metadata"]
    assert len(retrieved(emulator, base, filter={"startsWith": {"key": "day", "value": "2024-"}})) == 1
    assert retrieved(emulator, base, filter={"equals": {"key": "region", "value": "none"}}) == []
    uri = {"key": "x-amz-bedrock-kb-source-uri", "value": "s3://handbook/docs/"}
    assert len(retrieved(emulator, base, filter={"startsWith": uri})) == 1
    assert emulator.problems == []


@pytest.mark.parametrize(("strategy", "chunks"), [
    ({"chunkingStrategy": "NONE"}, 1),
    ({"chunkingStrategy": "FIXED_SIZE",
      "fixedSizeChunkingConfiguration": {"maxTokens": 20, "overlapPercentage": 10}}, 5),
    ({"chunkingStrategy": "HIERARCHICAL", "hierarchicalChunkingConfiguration": {
        "levelConfigurations": [{"maxTokens": 1000}, {"maxTokens": 20}], "overlapTokens": 5}}, 1),
    ({"chunkingStrategy": "SEMANTIC", "semanticChunkingConfiguration": {
        "maxTokens": 20, "bufferSize": 0, "breakpointPercentileThreshold": 90}}, 5),
], ids=["none", "fixed", "hierarchical", "semantic"])  # fmt: skip
def test_chunking(emulator: Emulator, agents: Any, folder: Path, strategy: Any, chunks: int) -> None:
    (folder / "docs" / "leave.md").write_text("Staff in Europe take 28 days of annual leave each year. " * 20)
    base, source = created(agents, vectorIngestionConfiguration={"chunkingConfiguration": strategy})
    ingested(agents, base, source)
    found = retrieved(emulator, base, numberOfResults=50)
    assert (len(found) == 1) if chunks == 1 else len(found) >= chunks


def test_only_changes_are_read_again(agents: Any, folder: Path) -> None:
    base, source = created(agents)
    ingested(agents, base, source)
    (folder / "docs" / "leave.md.metadata.json").write_text('{"metadataAttributes": {"day": "2025-01-01"}}')
    (folder / "docs" / "new.txt").write_text("Dogs are welcome.")
    counts = ingested(agents, base, source)["statistics"]
    assert (counts["numberOfMetadataDocumentsModified"], counts["numberOfNewDocumentsIndexed"]) == (1, 1)
    (folder / "docs" / "leave.md").unlink()
    (folder / "docs" / "leave.md.metadata.json").unlink()
    assert ingested(agents, base, source)["statistics"]["numberOfDocumentsDeleted"] == 1


@pytest.mark.parametrize("sidecar", [
    '{"metadataAttributes": {"a": null}}', '{"metadataAttributes": {"a": []}}', '{"metadataAttributes": {"a": [1]}}',
    '{"metadataAttributes": {"a": ""}}', "{", '{"metadataAttributes": {"a": "' + "x" * 2049 + '"}}',
    '{"metadataAttributes": {"a": "' + "x" * 1100 + '"}}', '{"b": "' + "x" * 11_000 + '"}',
], ids=["null", "no members", "numbers", "empty", "no JSON", "long", "for S3 Vectors", "too large"])  # fmt: skip
def test_a_wrong_sidecar_fails_its_document(agents: Any, folder: Path, sidecar: str) -> None:
    (folder / "docs" / "leave.md.metadata.json").write_text(sidecar)
    base, source = created(agents)
    job = ingested(agents, base, source)
    assert (job["status"], job["statistics"]["numberOfDocumentsFailed"]) == ("COMPLETE", 1)
    assert "s3://handbook/docs/leave.md" in job["failureReasons"][0]


def test_jobs_take_time_and_can_be_stopped(emulator: Emulator, agents: Any) -> None:
    base, source = created(agents)
    emulator.job_s = 5
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    job = agents.start_ingestion_job(**names)["ingestionJob"]
    with pytest.raises(ClientError, match=r"ConflictException.*ongoing ingestion job"):
        agents.start_ingestion_job(**names)
    agents.stop_ingestion_job(**names, ingestionJobId=job["ingestionJobId"])
    status = "STOPPING"
    while status == "STOPPING":
        status = agents.get_ingestion_job(**names, ingestionJobId=job["ingestionJobId"])["ingestionJob"][
            "status"
        ]
    assert status == "STOPPED"
    assert [each["status"] for each in agents.list_ingestion_jobs(**names)["ingestionJobSummaries"]] == [
        "STOPPED"
    ]


def test_the_same_token_creates_once(agents: Any) -> None:
    request = {
        "name": "a", "roleArn": ROLE, "knowledgeBaseConfiguration": VECTOR, "storageConfiguration": STORE,
        "clientToken": "t" * 33,
    }  # fmt: skip
    ids = {agents.create_knowledge_base(**request)["knowledgeBase"]["knowledgeBaseId"] for _ in range(2)}
    assert len(ids) == 1
    with pytest.raises(ClientError, match="ConflictException"):
        agents.create_knowledge_base(**{**request, "clientToken": "u" * 33})


@pytest.mark.parametrize(("change", "wrong"), [
    ({"storageConfiguration": None}, "type VECTOR needs one"),
    ({"storageConfiguration": {"type": "S3_VECTORS"}}, "type S3_VECTORS needs s3VectorsConfiguration"),
    ({"storageConfiguration": {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexName": "abc"}}},
     "give indexArn, or vectorBucketArn and indexName"),
    ({"knowledgeBaseConfiguration": {"type": "VECTOR"}}, "type VECTOR needs vectorKnowledgeBaseConfiguration"),
    ({"name": "a b"}, "does not match"),
    ({"roleArn": "kb"}, "does not match"),
], ids=["no store", "no vectors", "no bucket", "no model", "name", "role"])  # fmt: skip
def test_a_wrong_knowledge_base_is_refused(agents: Any, change: dict[str, Any], wrong: str) -> None:
    request = {
        "name": "a", "roleArn": ROLE, "knowledgeBaseConfiguration": VECTOR, "storageConfiguration": STORE, **change,
    }  # fmt: skip
    with pytest.raises(ClientError, match=f"ValidationException.*{wrong}"):
        agents.create_knowledge_base(**{name: value for name, value in request.items() if value is not None})


@pytest.mark.parametrize(("chunking", "wrong"), [
    ({"chunkingStrategy": "FIXED_SIZE"}, "FIXED_SIZE needs fixedSizeChunkingConfiguration"),
    ({"chunkingStrategy": "NONE", "fixedSizeChunkingConfiguration": {"maxTokens": 9, "overlapPercentage": 9}},
     "NONE excludes fixedSizeChunkingConfiguration"),
    ({"chunkingStrategy": "HIERARCHICAL", "hierarchicalChunkingConfiguration": {
        "levelConfigurations": [{"maxTokens": 20}, {"maxTokens": 20}], "overlapTokens": 5}},
     "the tokens of the first level must exceed"),
], ids=["needs", "excludes", "levels"])  # fmt: skip
def test_wrong_chunking_is_refused(agents: Any, chunking: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ClientError, match=wrong):
        created(agents, vectorIngestionConfiguration={"chunkingConfiguration": chunking})


def test_what_is_there_must_go_in_order(emulator: Emulator, agents: Any) -> None:
    base, source = created(agents)
    with pytest.raises(ClientError, match="Delete the data sources"):
        agents.delete_knowledge_base(knowledgeBaseId=base)
    agents.delete_data_source(knowledgeBaseId=base, dataSourceId=source)
    agents.delete_knowledge_base(knowledgeBaseId=base)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        retrieved(emulator, base)


def test_an_index_of_s3_vectors_must_fit(emulator: Emulator, agents: Any) -> None:
    vectors = client_of(emulator, "s3vectors")
    with pytest.raises(ClientError, match="NotFoundException"):
        vectors.get_vector_bucket(vectorBucketName="vectors")
    vectors.create_vector_bucket(vectorBucketName="vectors")
    with pytest.raises(ClientError, match="ConflictException"):
        vectors.create_vector_bucket(vectorBucketName="vectors")
    with pytest.raises(ClientError, match=r"ValidationException.*does not exist"):
        created(agents)
    index = {"indexName": "handbook", "dataType": "float32", "dimension": 256, "distanceMetric": "cosine"}
    vectors.create_index(vectorBucketName="vectors", **index)
    assert vectors.get_index(indexArn=INDEX)["index"]["dimension"] == 256
    sized = {**VECTOR["vectorKnowledgeBaseConfiguration"], "embeddingModelConfiguration": {
        "bedrockEmbeddingModelConfiguration": {"dimensions": 512},
    }}  # fmt: skip
    with pytest.raises(ClientError, match="512 dimensions, not 256"):
        agents.create_knowledge_base(
            name="a", roleArn=ROLE, storageConfiguration=STORE,
            knowledgeBaseConfiguration={"type": "VECTOR", "vectorKnowledgeBaseConfiguration": sized},
        )  # fmt: skip


# ---------------------------------------------------------------------- RetrieveAndGenerate


def asked(
    emulator: Emulator, base: str, question: str = "How many days of leave in Europe?", **more: Any
) -> Any:
    generation = more.pop("generation", {})
    return client_of(emulator, "bedrock-agent-runtime").retrieve_and_generate(
        input={"text": question}, **more,
        retrieveAndGenerateConfiguration={
            "type": "KNOWLEDGE_BASE",
            "knowledgeBaseConfiguration": {"knowledgeBaseId": base, "modelArn": CLAUDE, **generation},
        },
    )  # fmt: skip


def test_an_answer_has_spans_and_references(emulator: Emulator, agents: Any) -> None:
    base, source = created(agents)
    ingested(agents, base, source)
    reply = asked(emulator, base)
    (citation, *_) = reply["citations"]
    part = citation["generatedResponsePart"]["textResponsePart"]
    assert reply["output"]["text"][part["span"]["start"] : part["span"]["end"]] == part["text"]
    assert "28 days" in citation["retrievedReferences"][0]["content"]["text"]
    assert asked(emulator, base, sessionId=reply["sessionId"])["sessionId"] == reply["sessionId"]
    with pytest.raises(ClientError, match="Session with Id unknown is not valid"):
        asked(emulator, base, sessionId="unknown")


def test_without_results_there_is_no_answer(emulator: Emulator, agents: Any) -> None:
    base, _ = created(agents)
    assert asked(emulator, base)["output"]["text"] == "Sorry, I am unable to assist you with this request."


def test_a_prompt_without_passages_is_refused(emulator: Emulator, agents: Any) -> None:
    base, _ = created(agents)
    template = {"generationConfiguration": {"promptTemplate": {"textPromptTemplate": "Answer."}}}
    with pytest.raises(ClientError, match=r"must contain \$search_results\$"):
        asked(emulator, base, generation=template)
    with pytest.raises(ClientError, match="maximum is 1000"):
        asked(emulator, base, "x" * 1001)


def test_results_can_be_reranked(emulator: Emulator, agents: Any, folder: Path) -> None:
    for number in range(4):
        (folder / "docs" / f"{number}.txt").write_text(f"Text number {number} about leave and dogs.")
    base, source = created(agents)
    ingested(agents, base, source)
    reranking = {"type": "BEDROCK_RERANKING_MODEL", "bedrockRerankingConfiguration": {
        "numberOfRerankedResults": 2,
        "modelConfiguration": {"modelArn": "arn:aws:bedrock:eu-west-1::foundation-model/amazon.rerank-v1:0"},
    }}  # fmt: skip
    found = retrieved(emulator, base, rerankingConfiguration=reranking)
    assert len(found) == 2 and "28 days" in found[0]["content"]["text"]
    assert found[0]["score"] > found[1]["score"]
