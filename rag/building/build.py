"""The build path: find -> compare -> load -> chunk -> embed -> commit."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from rag.building.report import BuildPlan, BuildReport
from rag.building.stages import Change, Stages, compare, prepare
from rag.building.upgrade import bring_up
from rag.chunking import locate
from rag.core import embedders
from rag.core.errors import LoadError, SourceError, UsageError
from rag.core.files import BATCH_STATE, SourceFile
from rag.core.passages import STRUCTURE
from rag.embedding import cache as cache_file
from rag.embedding.cache import CachedEmbeddings
from rag.index.storage.formats import FORMAT
from rag.index.storage.manifest import Manifest
from rag.index.storage.segment_writer import Chunk
from rag.index.storage.sources import quarantined
from rag.index.storage.writer import IndexWriter, open_writer
from rag.usage.collector import Collector

#: What can be built from.
Source = str | Path | BaseLoader | Iterable[Document]
#: Chunks that are embedded and written together.
BATCH = 1024


class Progress(Protocol):
    """Told how a build goes; `rag.cli.main` draws it."""

    def __call__(self, *, files: int, of: int, bytes: int, chunks: int, embedded: int) -> None:
        """Show the counts so far: files read (of how many), chunks made, chunks with vectors."""


def build(
    source: Source,
    index: str | Path,
    *,
    rebuild: bool = False,
    retry: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> BuildReport:
    """Build an index from files, or bring it up to date; only new chunk texts are embedded.

    Parameters
    ----------
    source : str, Path, BaseLoader or iterable of Document
        A folder, a file, or ``s3://bucket/prefix``; any LangChain loader, or its Documents.
    index : str or Path
        The index's folder; made if it is not there. Until the build is done, whoever opens it gets
        the version before.
    rebuild : bool
        Start empty, e.g. to change the embedder. The embedding cache is kept.
    retry : bool
        Read quarantined files again though they have not changed.
    progress : callable, optional
        See `Progress`.
    **settings
        ``embedder``, ``chunker`` and ``loader`` as objects, names or mappings (as in ``rag.toml``);
        ``metadata``: a JSON-lines table; ``metadata_from_path``: a template; ``cache``: the file of
        the embedding cache, to share it between indexes, or a mapping of ``path`` and ``max_mb``;
        ``ledger``: where calls that cost money are written down, and the budget.

    Returns
    -------
    BuildReport
        `BuildReport.quarantined` names every file that is not in the index, why, and what to do.

    Raises
    ------
    SourceError
        The path does not exist, or holds nothing that can be indexed.
    StoreMismatchError
        The index was built with another embedder or chunker: build with ``rebuild=True``.
    BudgetError
        Embedding the next texts could pass the budget; what was embedded before is kept.

    Examples
    --------
    >>> report = rag.build("data/handbook", "indexes/handbook")          # doctest: +SKIP
    >>> report.added, report.quarantined                                 # doctest: +SKIP
    (73, ())
    """
    if (Path(index) / BATCH_STATE).exists():
        raise UsageError(
            f"{index} has a batch under way, and would pay for the same again: `rag batch resume {index}` "
            f"goes on with it, `rag batch cancel {index}` drops it"
        )
    return run(source, index, rebuild=rebuild, retry=retry, progress=progress, **settings)


def run(
    source: Source,
    index: str | Path,
    *,
    rebuild: bool = False,
    retry: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> BuildReport:
    """Build whatever is under way; see `build`."""
    started = time.perf_counter()
    clock: Counter[str] = Counter()
    stages = prepare(source, index, rebuild=rebuild, settings=settings)
    stages.loader.keep_in(stages.folder / "downloads")
    collector = Collector(stages.meter)
    previous = stages.previous
    if previous is not None and stages.format < FORMAT:
        previous = collector.run(bring_up, stages.folder, stages.embedder, stages.cache)
    with (
        stages.reading(),
        open_writer(stages.folder, stages.entry, rebuild=rebuild, previous=previous) as writer,
        contextlib.closing(CachedEmbeddings(stages.embedder, stages.cache)) as cache,
    ):
        with _timed(clock, "load"):
            change = compare(stages, writer.previous, retry=retry)
        if writer.previous is not None and not change.any:
            manifest: Manifest = writer.previous
        else:
            collector.run(_write, stages, change, writer, cache, clock, progress)
            if not any(record.chunks for record in change.records.values()):
                raise SourceError(_nothing(stages, change))
            with _timed(clock, "write"):
                manifest = writer.commit(
                    removed=change.outdated, sources=list(change.records.values()),
                    root=stages.loader.name, chunker=stages.chunking,
                )  # fmt: skip
        notes = (*collector.notes, *stages.loader.notes, *change.notes, *writer.notes)
    cache_file.prune(stages.cache, stages.cache_bytes)
    return BuildReport(
        index=str(stages.folder), version=manifest.version, files=manifest.files,
        chunks=manifest.chunks, embedded=cache.embedded, notes=notes, **change.counts,
        seconds={**clock, "total": time.perf_counter() - started},
        quarantined=quarantined(change.records.values()),
    )  # fmt: skip


def plan(
    source: Source,
    index: str | Path,
    *,
    rebuild: bool = False,
    retry: bool = False,
    **settings: Any,
) -> BuildPlan:
    """Find out what `build` would do and cost, without embedding or writing anything.

    Parameters are those of `build`.

    Examples
    --------
    >>> rag.plan("data/handbook", "indexes/handbook").cost_usd           # doctest: +SKIP
    0.0
    """
    stages = prepare(source, index, rebuild=rebuild, settings=settings)
    change = compare(stages, stages.previous, retry=retry)
    count = embedders.token_counter(stages.embedder) or stages.estimate
    cache = CachedEmbeddings(stages.embedder, stages.cache) if stages.cache.exists() else None
    chunks = texts = tokens = 0
    with stages.reading(), contextlib.closing(cache) if cache else contextlib.nullcontext():
        for fresh, own in texts_to_embed(stages, change, cache):
            texts += len(fresh)
            chunks += own
            tokens += sum(count(fresh))
    return BuildPlan(
        source=stages.loader.name, index=str(index), embedder=stages.entry.fingerprint,
        chunks=chunks, texts=texts,
        tokens=tokens, cost_usd=embedders.cost_usd(stages.embedder, tokens),
        minutes=embedders.minutes(stages.embedder, tokens), rebuild=rebuild, **change.counts,
        quarantined=quarantined(change.records.values()),
    )  # fmt: skip


def texts_to_embed(
    stages: Stages, change: Change, cache: CachedEmbeddings | None
) -> Iterator[tuple[list[str], int]]:
    """Yield file by file the texts whose vectors are missing, each once, and how many of them are chunks.

    The others are heading paths.
    """
    seen: set[bytes] = set()
    for _, made in _chunked(stages, change, Counter()):
        own, above = ({_hash(t): t for t in each} for each in (
            (chunk.text for _, chunk in made), (chunk.heading for _, chunk in made),
        ))  # fmt: skip
        fresh = [text for key, text in (own | above).items() if key not in seen]
        seen |= own.keys() | above.keys()
        fresh = cache.missing(fresh) if cache else fresh
        yield fresh, sum(_hash(text) in own for text in fresh)


def _write(
    stages: Stages,
    change: Change,
    writer: IndexWriter,
    cache: CachedEmbeddings,
    clock: Counter[str],
    progress: Progress | None,
) -> None:
    """Load, chunk and embed what is new, and give it to the writer in batches."""
    waiting: list[tuple[int, Chunk]] = []
    files = read = chunks = embedded = 0

    def tell(done: int = 0) -> None:
        if progress is not None:
            progress(
                files=files,
                of=len(change.todo),
                bytes=read,
                chunks=chunks,
                embedded=embedded + done,
            )

    def flush(size: int) -> None:
        nonlocal embedded
        while len(waiting) >= size and waiting:
            batch, waiting[:BATCH] = waiting[:BATCH], []
            headings = writer.new_headings(batch)
            texts = [chunk.text for _, chunk in batch]
            with _timed(clock, "embed"):
                above = cache.vectors(headings)
                vectors = cache.vectors(texts, tell)
            embedded += len(batch)
            with _timed(clock, "write"):
                writer.add_headings(headings, above)
                writer.add_chunks(batch, vectors)

    for (file, document), made in _chunked(stages, change, clock):
        files, read, chunks = files + 1, read + file.bytes, chunks + len(made)
        if document is not None and made:
            metadata = {k: v for k, v in document.metadata.items() if k not in ("source", STRUCTURE)}
            doc_id = hashlib.blake2b(file.source.encode(), digest_size=8).hexdigest()
            number = writer.add_document(doc_id, file.source, metadata)
            waiting += [(number, chunk) for _, chunk in made]
        tell()
        flush(BATCH)
    flush(1)
    tell()


def _chunked(
    stages: Stages, change: Change, clock: Counter[str]
) -> Iterator[tuple[tuple[SourceFile, Document | None], list[tuple[SourceFile, Chunk]]]]:
    """Yield each file to read with its document and chunks; note failures in ``change``."""
    reading = stages.loader.read(change.todo)
    while True:
        with _timed(clock, "load"):
            item = next(reading, None)
        if item is None:
            return
        file, result = item
        document, chunks = None, []
        if not isinstance(result, LoadError):
            document = result
            notes = document.metadata[STRUCTURE].get("notes", ())
            change.notes += [f"{file.source}: {note}" for note in notes]
            try:
                with _timed(clock, "chunk"):
                    made = stages.chunker.transform_documents([document])
                    name = str(document.metadata.get("title") or Path(file.source).stem)
                    chunks = [(file, _chunk(file.source, name, each)) for each in locate(document, made)]
            except LoadError as error:
                result = error
        change.record(file, len(chunks), result if isinstance(result, LoadError) else None)
        yield (file, document), chunks


def _chunk(source: str, title: str, document: Document) -> Chunk:
    meta, text = document.metadata, document.page_content
    name = f"{source}\0{meta['start']}\0{text}".encode()
    return Chunk(
        hashlib.blake2b(name, digest_size=8).hexdigest(), meta["start"], meta["end"], text,
        meta.get("gap"), meta.get("page_start"), meta.get("page_end"), meta.get("page_breaks", ()),
        meta.get("section", ()), " > ".join(dict.fromkeys([title, *meta.get("section", ())])),
        meta.get("table_head"), meta.get("table_head_start"),
    )  # fmt: skip


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _nothing(stages: Stages, change: Change) -> str:
    bad = quarantined(change.records.values())
    why = f"{bad[0].source} {bad[0].reason}" if bad else "no file holds text"
    more = f" (and {len(bad) - 1} more files)" if len(bad) > 1 else ""
    return f"{stages.loader.name} holds nothing to index: {why}{more}; nothing was changed"


@contextlib.contextmanager
def _timed(clock: Counter[str], name: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        clock[name] += time.perf_counter() - started  # type: ignore[assignment]
