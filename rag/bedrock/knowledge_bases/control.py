"""Create knowledge bases over documents on S3, ingest, list and delete them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from rag.bedrock.knowledge_bases.bucket import Place
from rag.bedrock.knowledge_bases.ingestion import Ingestion, ingestion_of
from rag.bedrock.knowledge_bases.service import Service, fault_code, until
from rag.bedrock.knowledge_bases.settings import KnowledgeBaseSettings
from rag.bedrock.knowledge_bases.vector_store import prepared
from rag.core.displayable import Displayable
from rag.core.errors import ConfigError, RagError, UsageError

#: How long a knowledge base may take to become active, or to be deleted, and how often AWS is asked.
READY_S, POLL_S = 900.0, 2.0
_CREATE_ADVICE = {
    "ValidationException": "check the role: it must trust bedrock.amazonaws.com, and be allowed to call the "
    "embedding model (bedrock:InvokeModel), to read the documents (s3:ListBucket, s3:GetObject), and to use "
    "the vector store (s3vectors:* on the index, or aoss:APIAccessAll and a data access policy)",
    "ConflictException": "the name is taken: choose another, or delete that knowledge base",
    "AccessDeniedException": "allow bedrock:CreateKnowledgeBase, and iam:PassRole on the role",
}  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class KnowledgeBase(Displayable):
    """A knowledge base, and its data sources by id.

    Attributes
    ----------
    embedding : str
        The embedding model's ARN; empty for one that has none.
    store : str
        ``S3_VECTORS``, ``OPENSEARCH_SERVERLESS``, …; ``MANAGED`` where AWS keeps the vectors.
    """

    id: str
    name: str
    status: str
    embedding: str = ""
    store: str = ""
    sources: tuple[DataSource, ...] = ()
    failures: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DataSource:
    """A data source; `s3` is where its documents are, empty if they are not on S3."""

    id: str
    name: str
    status: str
    s3: str = ""


class KnowledgeBases:
    """The knowledge bases of an account and region.

    Parameters
    ----------
    region : str, optional
        By default the environment's.
    agents, vectors : Service, optional
        The services ``bedrock-agent`` and ``s3vectors``.
    poll_s : float
        Seconds between questions to AWS while it works; they grow to eight times that.

    Examples
    --------
    >>> KnowledgeBases().sync("ABCDEFGHIJ").new                            # doctest: +SKIP
    73
    """

    def __init__(
        self, region: str | None = None, *, agents: Service | None = None, vectors: Service | None = None,
        poll_s: float = POLL_S,
    ) -> None:  # fmt: skip
        self._agents = agents or Service("bedrock-agent", "bedrock", region=region)
        self._vectors = vectors or Service("s3vectors", "s3vectors", region=region)
        self._poll_s = poll_s

    # ------------------------------------------------------------------ create

    def create(
        self,
        settings: KnowledgeBaseSettings,
        documents: Place,
        tell: Callable[[str], None] = lambda line: None,
    ) -> KnowledgeBase:
        """Create a knowledge base with a data source, and wait until it is active.

        What exists already is taken: run again after an interruption, it goes on. Each call has a token, so
        that a repeated one creates nothing twice.

        Parameters
        ----------
        settings : KnowledgeBaseSettings
        documents : Place
            Bucket and prefix of the documents.
        tell : callable
            Called with each step.

        Raises
        ------
        ConfigError
            A knowledge base, data source or vector index of this name exists, with other settings.
        RagError
            A call failed, or the knowledge base did.
        """
        arn = self._model_arn(settings.embedding)
        known = next((each for each in self.bases() if each.name == settings.name), None)
        if known is not None:
            found = self.show(known.id)
            self._check_same(found, settings, arn)
            tell(f"{settings.name} exists already: {known.id}")
            number = known.id
        else:
            number = self._created(settings, arn, tell)
        self._wait(number, settings.name, tell)
        self._data_source(number, settings, documents, tell)
        return self.show(number)

    def _created(self, settings: KnowledgeBaseSettings, arn: str, tell: Callable[[str], None]) -> str:
        if settings.store == "s3-vectors":
            tell("vector bucket and index")
            storage = prepared(settings, self._vectors)
        else:
            storage = settings.open_search()
        tell(f"knowledge base {settings.name}")
        reply = self._agents.call(
            "CreateKnowledgeBase", _CREATE_ADVICE, name=settings.name, roleArn=settings.role_arn,
            clientToken=_token(), knowledgeBaseConfiguration=settings.embedding_configuration(arn),
            storageConfiguration=storage,
        )  # fmt: skip
        return str(reply["knowledgeBase"]["knowledgeBaseId"])

    def _data_source(
        self, number: str, settings: KnowledgeBaseSettings, documents: Place, tell: Callable[[str], None]
    ) -> None:
        sources = [self._source(number, row) for row in self._sources(number)]
        if any(source.s3 == str(documents) for source in sources):
            return
        if (same := next((source for source in sources if source.name == settings.name), None)) is not None:
            raise ConfigError(
                f"{settings.name} has a data source of this name over {same.s3 or 'another place'}, "
                f"not over {documents}: choose another name, or delete it"
            )
        tell(f"data source over {documents}")
        prefixes = {"inclusionPrefixes": [documents.prefix]} if documents.prefix else {}
        self._agents.call(
            "CreateDataSource", knowledgeBaseId=number, name=settings.name, clientToken=_token(),
            dataSourceConfiguration={"type": "S3", "s3Configuration": {
                "bucketArn": f"arn:{self._agents.partition}:s3:::{documents.bucket}", **prefixes,
            }},
            dataDeletionPolicy="DELETE", vectorIngestionConfiguration=settings.ingestion() or None,
        )  # fmt: skip

    def _wait(self, number: str, name: str, tell: Callable[[str], None]) -> None:
        def active() -> bool:
            found = self._get(number)
            if found["status"] in ("FAILED", "DELETING", "DELETE_UNSUCCESSFUL"):
                reasons = "; ".join(found.get("failureReasons", ())) or "AWS gives no reason"
                raise RagError(
                    f"the knowledge base {name} ({number}) is {found['status']}: {reasons}: delete it with "
                    f"`rag kb delete {number}`, and create it again"
                )
            tell(f"{name} ({number}): {found['status']}")
            return bool(found["status"] == "ACTIVE")

        until(active, f"the knowledge base {number}", timeout_s=READY_S, every_s=self._poll_s)

    def _check_same(self, found: KnowledgeBase, settings: KnowledgeBaseSettings, arn: str) -> None:
        wanted = {"s3-vectors": "S3_VECTORS", "opensearch-serverless": "OPENSEARCH_SERVERLESS"}[
            settings.store
        ]
        for what, now, then in (("embeds with", arn, found.embedding), ("is stored in", wanted, found.store)):
            if now != then:
                raise ConfigError(
                    f"there is a knowledge base {settings.name} ({found.id}), which {what} "
                    f"{then or 'something else'}, not {now}: choose another name, or delete it"
                )

    def _model_arn(self, model: str) -> str:
        if model.startswith("arn:"):
            return model
        return f"arn:{self._agents.partition}:bedrock:{self._agents.region}::foundation-model/{model}"

    # ------------------------------------------------------------------ sync

    def sync(
        self, number: str, source: str | None = None, tell: Callable[[Ingestion], None] = lambda job: None
    ) -> Ingestion:
        """Ingest the documents of a data source, and wait until that is done.

        A job that is under way already is joined.

        Parameters
        ----------
        number : str
            The knowledge base's id.
        source : str, optional
            The data source's id; by default the only one.
        tell : callable
            Called with the job's progress.

        Raises
        ------
        UsageError
            There are several data sources, or none.
        RagError
            A call failed, or the whole job did. Single documents that fail are counted in the result.
        """
        source = source or self._only_source(number)
        job, joined = self._started(number, source)
        while not job.ended:
            tell(job)
            time.sleep(self._poll_s)
            job = self._job(number, source, job.id)
        tell(job)
        if job.status != "COMPLETE" and not job.failed:
            reasons = "; ".join(job.failures) or "AWS gives no reason"
            raise RagError(f"the ingestion job {job.id} of {number} is {job.status}: {reasons}")
        return replace(job, joined=joined)

    def _started(self, number: str, source: str) -> tuple[Ingestion, bool]:
        try:
            reply = self._agents.call(
                "StartIngestionJob", knowledgeBaseId=number, dataSourceId=source, clientToken=_token()
            )
            return ingestion_of(reply["ingestionJob"]), False
        except RagError as error:
            if fault_code(error) != "ConflictException":
                raise
            under_way = next((job for job in self.jobs(number, source) if not job.ended), None)
            if under_way is None:
                raise
            return under_way, True

    def jobs(self, number: str, source: str, most: int = 5) -> list[Ingestion]:
        """Return the last ingestion jobs of a data source, newest first."""
        reply = self._agents.call(
            "ListIngestionJobs", knowledgeBaseId=number, dataSourceId=source, maxResults=most,
            sortBy={"attribute": "STARTED_AT", "order": "DESCENDING"},
        )  # fmt: skip
        return [ingestion_of(row) for row in reply["ingestionJobSummaries"]]

    def _job(self, number: str, source: str, job: str) -> Ingestion:
        reply = self._agents.call(
            "GetIngestionJob", knowledgeBaseId=number, dataSourceId=source, ingestionJobId=job
        )
        return ingestion_of(reply["ingestionJob"])

    def _only_source(self, number: str) -> str:
        sources = list(self._sources(number))
        if len(sources) != 1:
            named = ", ".join(f"{row['dataSourceId']} ({row['name']})" for row in sources)
            raise UsageError(
                f"the knowledge base {number} has {len(sources) or 'no'} data sources"
                + (f", {named}: name one with --data-source" if sources else ": create one first")
            )
        return str(sources[0]["dataSourceId"])

    # ------------------------------------------------------------------ look, delete

    def bases(self) -> list[KnowledgeBase]:
        """Return the knowledge bases, without their details."""
        rows = self._agents.pages("ListKnowledgeBases", "knowledgeBaseSummaries", maxResults=100)
        return [KnowledgeBase(row["knowledgeBaseId"], row["name"], row["status"]) for row in rows]

    def show(self, number: str) -> KnowledgeBase:
        """Return a knowledge base with its data sources."""
        found = self._get(number)
        configuration = found["knowledgeBaseConfiguration"]
        inner = configuration.get("vectorKnowledgeBaseConfiguration", {})
        store = found.get("storageConfiguration", {}).get("type", configuration["type"])
        return KnowledgeBase(
            number, found["name"], found["status"], inner.get("embeddingModelArn", ""), store,
            tuple(self._source(number, row) for row in self._sources(number)),
            tuple(found.get("failureReasons", ())),
        )  # fmt: skip

    def delete(self, number: str, tell: Callable[[str], None] = lambda line: None) -> None:
        """Delete a knowledge base and its data sources, with their vectors, and wait until they are gone.

        The documents on S3, and the vector bucket and index, stay.
        """
        for row in list(self._sources(number)):
            source = row["dataSourceId"]
            tell(f"data source {source}")
            self._agents.call("DeleteDataSource", knowledgeBaseId=number, dataSourceId=source)
            self._until_gone("GetDataSource", "dataSource", knowledgeBaseId=number, dataSourceId=source)
        tell(f"knowledge base {number}")
        self._agents.call("DeleteKnowledgeBase", knowledgeBaseId=number)
        self._until_gone("GetKnowledgeBase", "knowledgeBase", knowledgeBaseId=number)

    def _until_gone(self, operation: str, member: str, **names: Any) -> None:
        def gone() -> bool:
            try:
                found = self._agents.call(operation, **names)[member]
            except RagError as error:
                if fault_code(error) == "ResourceNotFoundException":
                    return True
                raise
            if found["status"] == "DELETE_UNSUCCESSFUL":
                reasons = "; ".join(found.get("failureReasons", ())) or "AWS gives no reason"
                raise RagError(f"{found['name']} could not be deleted: {reasons}")
            return False

        until(gone, "the deletion", timeout_s=READY_S, every_s=self._poll_s)

    def _get(self, number: str) -> dict[str, Any]:
        found: dict[str, Any] = self._agents.call("GetKnowledgeBase", knowledgeBaseId=number)["knowledgeBase"]
        return found

    def _sources(self, number: str) -> Iterator[dict[str, Any]]:
        return self._agents.pages(
            "ListDataSources", "dataSourceSummaries", knowledgeBaseId=number, maxResults=100
        )

    def _source(self, number: str, row: dict[str, Any]) -> DataSource:
        found = self._agents.call(
            "GetDataSource", knowledgeBaseId=number, dataSourceId=row["dataSourceId"]
        )["dataSource"]  # fmt: skip
        s3 = found["dataSourceConfiguration"].get("s3Configuration")
        place = ""
        if s3 is not None:
            place = (
                f"s3://{s3['bucketArn'].rsplit(':', 1)[-1]}/{next(iter(s3.get('inclusionPrefixes', ())), '')}"
            )
        return DataSource(row["dataSourceId"], row["name"], found["status"], place)


def _token() -> str:
    """Return a token of one call: its retries do nothing twice. ClientToken has 33 characters or more."""
    return f"rag-{uuid.uuid4()}"
