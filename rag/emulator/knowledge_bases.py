"""Answer the control operations of knowledge bases, data sources and ingestion jobs (bedrock-agent)."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from rag.emulator.base_state import Agents, Base, Job, Source
from rag.emulator.ingesting import run
from rag.emulator.wire import ACCOUNT, Refusal, Reply, Request, moment

#: Entries of a page unless the request says otherwise (API reference of ListKnowledgeBases).
PAGE = 10


# ---------------------------------------------------------------------- knowledge bases


def create_base(emulator: Agents, request: Request) -> Reply:
    """Answer CreateKnowledgeBase."""

    def make() -> Mapping[str, Any]:
        params = request.params
        if any(base.params["name"] == params["name"] for base in emulator.bases.known.values()):
            raise Refusal("ConflictException", f"KnowledgeBase with name {params['name']} already exists.")
        _check_vectors(emulator, params)
        base = Base(emulator.bases.new_id("KB"), params, request.region)
        emulator.bases.known[base.id] = base
        return {"knowledgeBase": _base_row(emulator, base)}

    return emulator.bases.once(request, make)


def get_base(emulator: Agents, request: Request) -> Reply:
    """Answer GetKnowledgeBase."""
    return Reply({"knowledgeBase": _base_row(emulator, _base(emulator, request))})


def list_bases(emulator: Agents, request: Request) -> Reply:
    """Answer ListKnowledgeBases."""
    kept = ("knowledgeBaseId", "name", "status", "updatedAt")
    rows = [_base_row(emulator, base) for base in list(emulator.bases.known.values())]
    return _page(request, "knowledgeBaseSummaries", [{name: row[name] for name in kept} for row in rows])


def delete_base(emulator: Agents, request: Request) -> Reply:
    """Answer DeleteKnowledgeBase; its index goes with it."""
    base = _base(emulator, request)
    with emulator.bases.lock:
        if base.sources:
            raise Refusal("ConflictException", "Delete the data sources of the knowledge base first.")
        del emulator.bases.known[base.id]
        emulator.knowledge_bases.pop(base.id, None)
    return Reply({"knowledgeBaseId": base.id, "status": "DELETING"}, 202)


def _check_vectors(emulator: Agents, params: Mapping[str, Any]) -> None:
    """Refuse an index of S3 Vectors that does not fit, if such were created here."""
    arn = params.get("storageConfiguration", {}).get("s3VectorsConfiguration", {}).get("indexArn")
    if arn is None or not emulator.vector_buckets.buckets:
        return
    index = emulator.vector_buckets.indexes.get(arn)
    if index is None:
        raise Refusal(
            "ValidationException",
            f"The knowledge base storage configuration provided is invalid: {arn} does not exist",
        )
    vector = params["knowledgeBaseConfiguration"]["vectorKnowledgeBaseConfiguration"]
    size = (
        vector.get("embeddingModelConfiguration", {})
        .get("bedrockEmbeddingModelConfiguration", {})
        .get("dimensions")
    )
    if size not in (None, index["dimension"]):
        raise Refusal(
            "ValidationException",
            f"Query vector is invalid for this index: {size} dimensions, not {index['dimension']}",
        )


def _base_row(emulator: Agents, base: Base) -> dict[str, Any]:
    kept = ("name", "description", "roleArn", "knowledgeBaseConfiguration", "storageConfiguration")
    ready = time.time() - base.created >= emulator.job_s
    return {
        **{name: base.params[name] for name in kept if name in base.params},
        "knowledgeBaseId": base.id, "status": "ACTIVE" if ready else "CREATING",
        "knowledgeBaseArn": f"arn:aws:bedrock:{base.region}:{ACCOUNT}:knowledge-base/{base.id}",
        "createdAt": moment(base.created), "updatedAt": moment(base.created),
    }  # fmt: skip


def _base(emulator: Agents, request: Request) -> Base:
    name = request.params["knowledgeBaseId"]
    base = emulator.bases.known.get(name)
    if base is None:
        raise Refusal("ResourceNotFoundException", f"Knowledge Base with id {name} does not exist")
    return base


# ---------------------------------------------------------------------- data sources


def create_source(emulator: Agents, request: Request) -> Reply:
    """Answer CreateDataSource; only those on S3 can be ingested."""

    def make() -> Mapping[str, Any]:
        base, params = _base(emulator, request), request.params
        if _base_row(emulator, base)["status"] != "ACTIVE":
            raise Refusal("ValidationException", f"Knowledge base {base.id} is not active.")
        if any(source.params["name"] == params["name"] for source in base.sources.values()):
            raise Refusal("ConflictException", f"DataSource with name {params['name']} already exists.")
        source = Source(emulator.bases.new_id("DS"), params)
        base.sources[source.id] = source
        return {"dataSource": _source_row(base, source)}

    return emulator.bases.once(request, make)


def get_source(emulator: Agents, request: Request) -> Reply:
    """Answer GetDataSource."""
    return Reply({"dataSource": _source_row(*_source(emulator, request))})


def list_sources(emulator: Agents, request: Request) -> Reply:
    """Answer ListDataSources."""
    base = _base(emulator, request)
    kept = ("knowledgeBaseId", "dataSourceId", "name", "status", "updatedAt")
    rows = [_source_row(base, source) for source in list(base.sources.values())]
    return _page(request, "dataSourceSummaries", [{name: row[name] for name in kept} for row in rows])


def delete_source(emulator: Agents, request: Request) -> Reply:
    """Answer DeleteDataSource; what was ingested from it goes with it."""
    base, source = _source(emulator, request)
    with emulator.bases.lock:
        del base.sources[source.id]
        emulator.knowledge_bases.pop(base.id, None)
    row = {"knowledgeBaseId": base.id, "dataSourceId": source.id, "status": "DELETING"}
    return Reply(row, 202)


def _source_row(base: Base, source: Source) -> dict[str, Any]:
    kept = (
        "name",
        "description",
        "dataSourceConfiguration",
        "dataDeletionPolicy",
        "vectorIngestionConfiguration",
    )
    return {
        **{name: source.params[name] for name in kept if name in source.params},
        "knowledgeBaseId": base.id, "dataSourceId": source.id, "status": "AVAILABLE",
        "createdAt": moment(source.created), "updatedAt": moment(source.created),
    }  # fmt: skip


def _source(emulator: Agents, request: Request) -> tuple[Base, Source]:
    base, name = _base(emulator, request), request.params["dataSourceId"]
    source = base.sources.get(name)
    if source is None:
        raise Refusal("ResourceNotFoundException", f"DataSource with id {name} in {base.id} does not exist")
    return base, source


# ---------------------------------------------------------------------- ingestion jobs


def start_job(emulator: Agents, request: Request) -> Reply:
    """Answer StartIngestionJob."""

    def make() -> Mapping[str, Any]:
        base, source = _source(emulator, request)
        if any(not job.ended for each in base.sources.values() for job in each.jobs.values()):
            raise Refusal(
                "ConflictException", f"There is an ongoing ingestion job for knowledge base {base.id}."
            )
        if "s3Configuration" not in source.params["dataSourceConfiguration"]:
            raise Refusal("ValidationException", "The emulator ingests documents from S3 alone.")
        job = Job(emulator.bases.new_id("IJ"))
        source.jobs[job.id] = job
        threading.Thread(target=run, args=(emulator, base, source, job), daemon=True, name=job.id).start()
        return {"ingestionJob": _job_row(base, source, job)}

    return emulator.bases.once(request, make)


def get_job(emulator: Agents, request: Request) -> Reply:
    """Answer GetIngestionJob."""
    return Reply({"ingestionJob": _job_row(*_job(emulator, request))})


def list_jobs(emulator: Agents, request: Request) -> Reply:
    """Answer ListIngestionJobs, by the time of their start."""
    base, source = _source(emulator, request)
    wanted = [value for each in request.params.get("filters", ()) for value in each["values"]]
    rows = [
        _job_row(base, source, job)
        for job in list(source.jobs.values())
        if not wanted or job.status in wanted
    ]
    if request.params.get("sortBy", {}).get("order") == "DESCENDING":
        rows.reverse()
    return _page(request, "ingestionJobSummaries", [
        {name: value for name, value in row.items() if name != "failureReasons"} for row in rows
    ])  # fmt: skip


def stop_job(emulator: Agents, request: Request) -> Reply:
    """Answer StopIngestionJob."""
    base, source, job = _job(emulator, request)
    if job.ended:
        raise Refusal("ConflictException", f"The ingestion job is {job.status} and cannot be stopped.")
    job.stop.set()
    job.status = "STOPPING"
    return Reply({"ingestionJob": _job_row(base, source, job)}, 202)


def _job(emulator: Agents, request: Request) -> tuple[Base, Source, Job]:
    base, source = _source(emulator, request)
    job = source.jobs.get(request.params["ingestionJobId"])
    if job is None:
        raise Refusal("ResourceNotFoundException", "The ingestion job does not exist")
    return base, source, job


def _job_row(base: Base, source: Source, job: Job) -> dict[str, Any]:
    return {
        "knowledgeBaseId": base.id, "dataSourceId": source.id, "ingestionJobId": job.id, "status": job.status,
        "statistics": dict(job.statistics), "failureReasons": list(job.failures),
        "startedAt": moment(job.started), "updatedAt": moment(job.updated),
    }  # fmt: skip


def _page(request: Request, member: str, rows: list[dict[str, Any]]) -> Reply:
    token = request.params.get("nextToken", "0")
    if not token.isdecimal():
        raise Refusal("ValidationException", "The nextToken is not valid.")
    at, most = int(token), int(request.params.get("maxResults", PAGE))
    more = {"nextToken": str(at + most)} if at + most < len(rows) else {}
    return Reply({member: rows[at : at + most], **more})
