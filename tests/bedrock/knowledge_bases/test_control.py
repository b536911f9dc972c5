"""Creating, ingesting, looking at and deleting knowledge bases, by HTTP to the emulator."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config

from rag.bedrock.knowledge_bases.bucket import Bucket, Place
from rag.bedrock.knowledge_bases.control import KnowledgeBases
from rag.bedrock.knowledge_bases.ingestion import Ingestion, ingestion_of
from rag.bedrock.knowledge_bases.service import Service, until
from rag.bedrock.knowledge_bases.settings import settings
from rag.bedrock.knowledge_bases.vector_store import prepared
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import ConfigError, RagError, UsageError
from rag.emulator import Emulator
from tests.bedrock.knowledge_bases.conftest import HANDBOOK, ROLE, uploaded

MODELS = "arn:aws:bedrock:us-east-1::foundation-model/"


@pytest.fixture
def bases(aws: Emulator) -> KnowledgeBases:
    retry = Retry(base_s=0)
    return KnowledgeBases(
        agents=Service("bedrock-agent", "bedrock", retry=retry),
        vectors=Service("s3vectors", "s3vectors", retry=retry), poll_s=0.01,
    )  # fmt: skip


def wanted(**options: Any) -> Any:
    return settings(**{"name": "handbook", "role_arn": ROLE, **options})


def sent(emulator: Emulator, operation: str) -> list[Any]:
    return [request.params for request in emulator.requests if request.operation == operation]


def test_a_knowledge_base_is_created_with_its_vector_store(aws: Emulator, bases: KnowledgeBases) -> None:
    aws.job_s = 0.05
    steps: list[str] = []
    made = bases.create(wanted(dimensions=512, chunking="fixed"), HANDBOOK, steps.append)
    assert (made.status, made.store) == ("ACTIVE", "S3_VECTORS")
    assert made.embedding == "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0"
    assert [(source.name, source.s3) for source in made.sources] == [("handbook", "s3://handbook/docs/")]
    assert steps[0] == "vector bucket and index" and steps[-1] == "data source over s3://handbook/docs/"
    assert any(step.endswith("CREATING") for step in steps)
    (index,) = sent(aws, "CreateIndex")
    assert (index["vectorBucketName"], index["indexName"], index["dimension"]) == (
        "handbook-vectors", "handbook", 512,
    )  # fmt: skip
    assert index["metadataConfiguration"]["nonFilterableMetadataKeys"] == [
        "AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA",
    ]  # fmt: skip
    (source,) = sent(aws, "CreateDataSource")
    assert source["vectorIngestionConfiguration"]["chunkingConfiguration"]["fixedSizeChunkingConfiguration"] == {
        "maxTokens": 300, "overlapPercentage": 20,
    }  # fmt: skip
    assert source["dataSourceConfiguration"]["s3Configuration"] == {
        "bucketArn": "arn:aws:s3:::handbook", "inclusionPrefixes": ["docs/"],
    }  # fmt: skip


def test_creating_again_takes_what_is_there(aws: Emulator, bases: KnowledgeBases) -> None:
    first = bases.create(wanted(), HANDBOOK)
    assert bases.create(wanted(), HANDBOOK) == first
    assert len(sent(aws, "CreateKnowledgeBase")) == len(sent(aws, "CreateDataSource")) == 1
    with pytest.raises(
        ConfigError, match=r"which embeds with .*titan-embed-text-v2:0, not .*cohere.embed-v4:0"
    ):
        bases.create(wanted(embedding="cohere.embed-v4:0"), HANDBOOK)
    with pytest.raises(
        ConfigError, match="has a data source of this name over s3://handbook/docs/, not over"
    ):
        bases.create(wanted(), Place("handbook", ""))


def test_a_kill_between_the_steps_is_gone_on_from(aws: Emulator, bases: KnowledgeBases) -> None:
    aws.fail_next("AccessDeniedException", times=1)
    with pytest.raises(RagError, match="allow bedrock:ListKnowledgeBases"):
        bases.create(wanted(), HANDBOOK)

    def killed(line: str) -> None:
        if line.startswith("data source"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bases.create(wanted(), HANDBOOK, killed)
    assert len(bases.create(wanted(), HANDBOOK).sources) == 1
    assert len(sent(aws, "CreateKnowledgeBase")) == len(sent(aws, "CreateIndex")) == 1


def test_a_call_that_is_repeated_creates_nothing_twice(aws: Emulator, bases: KnowledgeBases) -> None:
    """A reply that is lost comes with the retry: both calls have one token."""
    made = bases.create(wanted(), HANDBOOK)
    aws.fail_next("InternalServerException", times=2)
    bases.sync(made.id)
    tokens = [params["clientToken"] for params in sent(aws, "StartIngestionJob")]
    client = boto3.client("bedrock-agent")
    again = [
        client.start_ingestion_job(
            knowledgeBaseId=made.id, dataSourceId=made.sources[0].id, clientToken=tokens[-1]
        )["ingestionJob"]["ingestionJobId"]
        for _ in range(2)
    ]
    assert len(bases.jobs(made.id, made.sources[0].id)) == 1 and again[0] == again[1]


def test_an_index_that_does_not_fit_is_refused(aws: Emulator, bases: KnowledgeBases) -> None:
    client = boto3.client("s3vectors")
    client.create_vector_bucket(vectorBucketName="handbook-vectors")
    client.create_index(
        vectorBucketName="handbook-vectors", indexName="handbook", dataType="float32", dimension=256,
        distanceMetric="cosine",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="has 256 dimensions, the embedding model 1024"):
        bases.create(wanted(), HANDBOOK)
    with pytest.raises(ConfigError, match="AMAZON_BEDROCK_TEXT and AMAZON_BEDROCK_METADATA filterable"):
        bases.create(wanted(dimensions=256), HANDBOOK)
    assert sent(aws, "CreateKnowledgeBase") == []
    bases.create(wanted(vector_index="other"), HANDBOOK)


def test_open_search_takes_a_collection(aws: Emulator, bases: KnowledgeBases) -> None:
    arn = "arn:aws:aoss:us-east-1:123456789012:collection/abc123"
    made = bases.create(wanted(store="opensearch-serverless", collection_arn=arn), HANDBOOK)
    assert made.store == "OPENSEARCH_SERVERLESS"
    (request,) = sent(aws, "CreateKnowledgeBase")
    assert request["storageConfiguration"]["opensearchServerlessConfiguration"] == {
        "collectionArn": arn, "vectorIndexName": "bedrock-knowledge-base-default-index",
        "fieldMapping": {
            "vectorField": "bedrock-knowledge-base-default-vector", "textField": "AMAZON_BEDROCK_TEXT",
            "metadataField": "AMAZON_BEDROCK_METADATA",
        },
    }  # fmt: skip
    assert sent(aws, "CreateVectorBucket") == []


@pytest.mark.parametrize(("options", "sent_"), [
    ({}, {}),
    ({"chunking": "none"}, {"chunkingStrategy": "NONE"}),
    ({"chunking": "semantic", "breakpoint": 90}, {
        "chunkingStrategy": "SEMANTIC", "semanticChunkingConfiguration": {
            "maxTokens": 300, "bufferSize": 0, "breakpointPercentileThreshold": 90}}),
    ({"chunking": "hierarchical", "chunk_tokens": 200, "overlap": 30}, {
        "chunkingStrategy": "HIERARCHICAL", "hierarchicalChunkingConfiguration": {
            "levelConfigurations": [{"maxTokens": 1500}, {"maxTokens": 200}], "overlapTokens": 30}}),
], ids=["default", "none", "semantic", "hierarchical"])  # fmt: skip
def test_chunking(aws: Emulator, bases: KnowledgeBases, options: Any, sent_: Any) -> None:
    bases.create(wanted(**options), HANDBOOK)
    (source,) = sent(aws, "CreateDataSource")
    assert source.get("vectorIngestionConfiguration", {}).get("chunkingConfiguration", {}) == sent_
    assert not any("CreateDataSource" in line for line in aws.problems)


@pytest.mark.parametrize(("options", "fault"), [
    ({"name": "a name"}, "the knowledge base's name: write letters, digits"),
    ({"role_arn": "kb"}, "the knowledge base's role_arn: write arn:aws:iam::ACCOUNT:role/NAME, not 'kb'"),
    ({"dimensions": 300}, "has the dimensions 256, 512, 1024, not 300"),
    ({"embedding": "my.model"}, "the dimensions of my.model are not known: give them"),
    ({"store": "opensearch-serverless"}, "OpenSearch Serverless needs a collection: give its ARN"),
    ({"collection_arn": "arn:aws:aoss:us-east-1:123456789012:collection/abc"}, "choose that store"),
    ({"chunking": "fixed", "overlap": 100}, "in percent, from 1 to 99, not 100"),
    ({"chunking": "hierarchical", "parent_tokens": 300}, "do not fit into parents of 300"),
    ({"chunking": "none", "overlap": 5}, "an overlap goes with the chunking fixed or hierarchical"),
    ({"breakpoint": 20}, "the knowledge base's breakpoint is a number from 50 to 99, not 20"),
    ({"shape": 1}, "has no setting 'shape'"),
], ids=lambda value: value if isinstance(value, str) else next(iter(value)))  # fmt: skip
def test_wrong_settings_are_refused_before_a_call(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        wanted(**options)


def test_sync_counts_what_changed(
    aws: Emulator, bases: KnowledgeBases, documents: Any, bucket: Bucket, s3: Any
) -> None:
    uploaded(documents, bucket)
    made = bases.create(wanted(), HANDBOOK)
    seen: list[Ingestion] = []
    job = bases.sync(made.id, tell=seen.append)
    assert (job.scanned, job.metadata_scanned, job.new, job.failed) == (3, 2, 3, 0)
    assert seen[-1].status == "COMPLETE" and not job.joined
    (documents / "leave.md").write_text("---\nregion: eu\n---\nNow it is 30 days.\n")
    (documents / "leave-us.md").unlink()
    uploaded(documents, bucket, delete=True)
    job = bases.sync(made.id, made.sources[0].id)
    assert (job.scanned, job.new, job.modified, job.deleted, job.done) == (2, 0, 1, 1, 2)
    assert bases.jobs(made.id, made.sources[0].id)[0].id == job.id


def test_documents_that_fail_have_reasons(aws: Emulator, bases: KnowledgeBases, s3: Any) -> None:
    s3.put_object(Bucket="handbook", Key="docs/a.md", Body=b"Leave is 28 days.")
    s3.put_object(Bucket="handbook", Key="docs/b.exe", Body=b"MZ")
    s3.put_object(Bucket="handbook", Key="docs/c.md", Body=b"Dogs.")
    s3.put_object(Bucket="handbook", Key="docs/c.md.metadata.json", Body=b'{"metadataAttributes": {"a": {}}}')
    made = bases.create(wanted(), HANDBOOK)
    job = bases.sync(made.id)
    assert (job.status, job.new, job.failed) == ("COMPLETE", 1, 2)
    assert any(
        "their file format was not supported. [Files: s3://handbook/docs/b.exe]" in f for f in job.failures
    )
    assert any("s3://handbook/docs/c.md" in failure for failure in job.failures)


def test_a_job_that_fails_as_a_whole_is_an_error(aws: Emulator, bases: KnowledgeBases) -> None:
    made = bases.create(wanted(), HANDBOOK)
    aws.bases.fail = "the role cannot read the bucket"
    with pytest.raises(
        RagError, match=r"the ingestion job IJ\d+ of KB\d+ is FAILED: .*cannot read the bucket"
    ):
        bases.sync(made.id)


def test_a_job_under_way_is_joined(aws: Emulator, bases: KnowledgeBases) -> None:
    made = bases.create(wanted(), HANDBOOK)
    aws.job_s = 0.3
    client = boto3.client("bedrock-agent", config=Config(retries={"total_max_attempts": 1}))
    started = client.start_ingestion_job(knowledgeBaseId=made.id, dataSourceId=made.sources[0].id)
    job = bases.sync(made.id)
    assert (job.id, job.joined) == (started["ingestionJob"]["ingestionJobId"], True)


def test_one_of_several_data_sources_must_be_named(aws: Emulator, bases: KnowledgeBases) -> None:
    made = bases.create(wanted(), HANDBOOK)
    other = boto3.client("bedrock-agent").create_data_source(
        knowledgeBaseId=made.id, name="more",
        dataSourceConfiguration={"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::handbook"}},
    )["dataSource"]["dataSourceId"]  # fmt: skip
    with pytest.raises(
        UsageError, match=rf"has 2 data sources, .*{other} \(more\): name one with --data-source"
    ):
        bases.sync(made.id)
    assert bases.sync(made.id, other).scanned == 0


def test_list_show_and_delete(aws: Emulator, bases: KnowledgeBases) -> None:
    assert bases.bases() == []
    made = [bases.create(wanted(name=f"base{n}"), HANDBOOK) for n in range(12)]
    assert [base.name for base in bases.bases()] == [f"base{n}" for n in range(12)]
    assert bases.show(made[3].id) == made[3]
    bases.delete(made[3].id)
    assert len(bases.bases()) == 11
    with pytest.raises(RagError, match="check the id and the region"):
        bases.show(made[3].id)


def test_waiting_ends() -> None:
    with pytest.raises(RagError, match="it is not ready after 1 s: look at it later"):
        until(lambda: False, "it", timeout_s=1, every_s=0.6, sleep=lambda seconds: None)


def test_reasons_are_read_in_both_forms() -> None:
    job = {
        "ingestionJobId": "A",
        "status": "FAILED",
        "failureReasons": ['["one", "two\\n lines"]', "three [x]"],
    }
    assert ingestion_of(job).failures == ("one", "two lines", "three [x]")


def test_moto_takes_the_same_requests(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second validator of S3 Vectors and of CreateKnowledgeBase, which knows nothing of ours."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    clients = {
        name: boto3.client(name, endpoint_url=moto, region_name="us-east-1")
        for name in ("bedrock-agent", "s3vectors")
    }
    vectors = Service("s3vectors", "s3vectors", given=clients["s3vectors"])
    arn = prepared(wanted(), vectors)["s3VectorsConfiguration"]["indexArn"]
    assert clients["s3vectors"].get_index(indexArn=arn)["index"]["dimension"] == 1024
    agents = Service("bedrock-agent", "bedrock", given=clients["bedrock-agent"])
    collection = "arn:aws:aoss:us-east-1:123456789012:collection/abc123"
    chosen = wanted(store="opensearch-serverless", collection_arn=collection)  # it has no S3 Vectors here
    number = KnowledgeBases(agents=agents)._created(chosen, f"{MODELS}{chosen.embedding}", lambda line: None)
    found = KnowledgeBases(agents=agents)._get(number)
    assert found["storageConfiguration"]["opensearchServerlessConfiguration"]["collectionArn"] == collection
