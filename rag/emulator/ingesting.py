"""Ingest the documents of a data source: read them from S3, cut and index them, as a knowledge base does.

A knowledge base takes a document's attributes from its sidecar alone, not from front matter. What it refuses
is counted as failed, with reasons. Texts are those of `rag.Loader`, so that an index holds the passages.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.bedrock.knowledge_bases.bucket import Place
from rag.bedrock.knowledge_bases.limits import (
    FORMATS,
    MAX_BYTES,
    MAX_CHARS,
    MAX_MEMBERS,
    MAX_SIDECAR_BYTES,
    VECTORS_BYTES,
    VECTORS_KEYS,
)
from rag.core.errors import LoadError, RagError, SourceError
from rag.emulator.base_state import Agents, Base, Ingested, Job, Source

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from rag.core.files import SourceFile
    from rag.index.storage.chunk import Chunk
    from rag.loading.loader import Loader

#: Files that a reason names.
_NAMED = 10


class _Stopped(Exception):  # noqa: N818 -- control flow, not an error
    pass


def run(emulator: Agents, base: Base, source: Source, job: Job) -> None:
    """Carry out a job, to be called in a thread of its own."""

    def enter(status: str) -> None:
        if job.stop.is_set():
            raise _Stopped
        job.status, job.updated = status, time.time()

    try:
        enter("IN_PROGRESS")
        if job.stop.wait(emulator.job_s):
            raise _Stopped
        if emulator.bases.fail:
            raise RagError(emulator.bases.fail)
        found = _ingest(emulator, base, source, job)
        enter("IN_PROGRESS")
        with emulator.bases.lock:
            source.ingested = found
            _index(emulator, base)
        enter("COMPLETE")
    except _Stopped:
        job.status = "STOPPED"
    except Exception as error:  # no caller could catch it: the job reports it
        job.failures.append(f"{type(error).__name__}: {' '.join(str(error).split())}")
        job.status = "FAILED"
    job.updated = time.time()


# ---------------------------------------------------------------------- reading


def _ingest(emulator: Agents, base: Base, source: Source, job: Job) -> dict[str, Ingested]:
    """Return what a data source holds now; count what is new, changed, deleted and refused."""
    place = _place(source)
    loader = _loader(emulator, place)
    try:
        files = loader.files()
    except SourceError as error:
        if "holds no objects" not in str(error):
            raise
        files = []
    counts, failed = job.statistics, defaultdict[str, list[str]](list)
    vectors = base.params.get("storageConfiguration", {}).get("type") == "S3_VECTORS"
    found: dict[str, Ingested] = {}
    todo: dict[str, tuple[SourceFile, str, str | None, dict[str, Any]]] = {}
    for file in files:
        name = f"{place.bucket}/{place.prefix}{file.source}"
        counts["numberOfDocumentsScanned"] += 1
        try:
            _readable(file)
            content, beside = loader.place.identity(file), loader.place.sidecar_identity(file)
            counts["numberOfMetadataDocumentsScanned"] += beside is not None
            known = source.ingested.get(name)
            if known is not None and (known.content, known.sidecar) == (content, beside):
                found[name] = known
                continue
            attributes = _attributes(loader.place.sidecar(file), vectors=vectors)
            if known is not None and known.content == content:
                found[name] = Ingested(content, beside, attributes, known.chunks)
                counts["numberOfMetadataDocumentsModified"] += 1
                continue
            todo[name] = (file, content, beside, attributes)
        except LoadError as error:
            failed[error.reason].append(name)
    names = {file.source: name for name, (file, *_) in todo.items()}
    for file, document in loader.read([file for file, *_ in todo.values()]):
        name = names[file.source]
        if isinstance(document, LoadError):
            failed[document.reason].append(name)
            continue
        _, content, beside, attributes = todo[name]
        kind = "Modified" if name in source.ingested else "New"
        counts[f"numberOf{kind}DocumentsIndexed"] += 1
        found[name] = Ingested(content, beside, attributes, _chunks(source, name, document))
    counts["numberOfDocumentsDeleted"] = len(
        source.ingested.keys() - found.keys() - set().union(*failed.values())
    )
    counts["numberOfDocumentsFailed"] = sum(map(len, failed.values()))
    for reason, each in failed.items():
        shown = ", ".join(f"s3://{name}" for name in each[:_NAMED])
        job.failures.append(
            json.dumps([f"Encountered error: Ignored {len(each)} files: {reason}. [Files: {shown}]"])
        )
    return found


def _place(source: Source) -> Place:
    settings = source.params["dataSourceConfiguration"]["s3Configuration"]
    prefix = next(iter(settings.get("inclusionPrefixes", ())), "")
    return Place(settings["bucketArn"].rsplit(":", 1)[-1], prefix)


def _loader(emulator: Agents, place: Place) -> Loader:
    """Return the loader of a folder that stands for the bucket, or of the bucket."""
    from rag.loading.loader import Loader

    if place.bucket in emulator.buckets:
        return Loader(
            emulator.buckets[place.bucket] / place.prefix, ignore_files=(), limits={"max_file_mb": 60}
        )
    if emulator.s3_endpoint is None:
        raise RagError("this emulator has no S3: start it with --s3-endpoint or --bucket, or s3_endpoint=")
    import boto3

    from rag.bedrock.storage.s3 import S3Files

    client = boto3.client(
        "s3", endpoint_url=emulator.s3_endpoint, region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    return Loader(S3Files(f"s3://{place.bucket}/{place.prefix}", client=client), limits={"max_file_mb": 60})


def _readable(file: SourceFile) -> None:
    if file.problem is not None:
        raise LoadError(*file.problem)
    if Path(file.source).suffix.lower() not in FORMATS:
        raise LoadError("their file format was not supported", "")
    if file.bytes > MAX_BYTES:
        raise LoadError("they exceed the maximum file size of 50 MB", "")


def _attributes(sidecar: bytes | None, *, vectors: bool) -> dict[str, Any]:
    """Read a sidecar; refuse what the service refuses."""
    from rag.loading.metadata import read_sidecar

    if sidecar is None:
        return {}
    if len(sidecar) > MAX_SIDECAR_BYTES:
        raise LoadError(f"their metadata files have more than {MAX_SIDECAR_BYTES} bytes", "")
    attributes = read_sidecar(sidecar)
    for value in attributes.values():
        texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
        if isinstance(value, list) and not 1 <= len(value) <= MAX_MEMBERS:
            raise LoadError("a list in their metadata has no or too many members", "")
        if not isinstance(value, str | int | float | list) or any(
            not isinstance(text, str) or not 1 <= len(text) <= MAX_CHARS for text in texts
        ):
            raise LoadError("a value in their metadata is of no type that is supported, or too long", "")
    size = len(json.dumps(attributes, ensure_ascii=False).encode())
    if vectors and (size > VECTORS_BYTES or len(attributes) > VECTORS_KEYS):
        raise LoadError(
            f"their metadata exceed {VECTORS_BYTES} bytes or {VECTORS_KEYS} keys, the most in S3 Vectors", ""
        )
    return attributes


# ---------------------------------------------------------------------- indexing


def _chunks(source: Source, name: str, document: Document) -> list[Chunk]:
    """Cut a document as its data source says: into pieces of so many tokens, or not at all."""
    from rag.building.chunks import cut
    from rag.chunking import FixedChunker
    from rag.index.storage.chunk import Chunk

    settings = source.params.get("vectorIngestionConfiguration", {}).get("chunkingConfiguration", {})
    strategy = settings.get("chunkingStrategy", "FIXED_SIZE")
    text = document.page_content
    if strategy == "NONE":
        return [Chunk(f"{name}:0", 0, len(text), text)] if text.strip() else []
    fixed = settings.get("fixedSizeChunkingConfiguration", {"maxTokens": 300, "overlapPercentage": 20})
    tokens, overlap = fixed["maxTokens"], fixed["overlapPercentage"]
    if strategy == "HIERARCHICAL":  # what is found is a small chunk, what is returned its parent
        levels = settings["hierarchicalChunkingConfiguration"]["levelConfigurations"]
        tokens, overlap = levels[0]["maxTokens"], 0
    elif strategy == "SEMANTIC":
        tokens, overlap = settings["semanticChunkingConfiguration"]["maxTokens"], 0
    return cut(FixedChunker(max_tokens=max(tokens, 8), overlap_percentage=min(overlap, 90)), name, document)


def _index(emulator: Agents, base: Base) -> None:
    """Write the index of all that a knowledge base has ingested."""
    from rag.embedding.static import StaticEmbeddings
    from rag.index.storage.manifest import EmbedderEntry
    from rag.index.storage.writer import open_writer

    documents = {
        name: document
        for source in base.sources.values()
        for name, document in sorted(source.ingested.items())
    }
    if not any(document.chunks for document in documents.values()):
        emulator.knowledge_bases.pop(base.id, None)
        return
    embedder, folder = StaticEmbeddings(), emulator.bases.folder(base.id)
    entry = EmbedderEntry("static", StaticEmbeddings.fingerprint, 256)
    with open_writer(folder, entry, rebuild=True) as writer:
        for number, (name, document) in enumerate(documents.items()):
            at = writer.add_document(f"d{number}", name, document.attributes)
            vectors = embedder.vectors([chunk.text for chunk in document.chunks])
            writer.add_chunks([(at, chunk) for chunk in document.chunks], vectors)
        # The root of all buckets: a source is a bucket's name and a key.
        writer.commit(removed=set(), sources=[], root="s3://", chunker="none")
    emulator.knowledge_bases[base.id] = folder
