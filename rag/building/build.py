"""The build path: prepare -> compare -> load -> chunk -> embed -> commit."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any

from rag.building.diff import Change
from rag.building.report import BuildReport
from rag.building.stages import Source, Stages, check_chunker, prepare
from rag.building.upgrade import upgrade_first
from rag.core.errors import SourceError
from rag.core.passages import STRUCTURE
from rag.core.progress import Progress, Task
from rag.embedding import cache as cache_file
from rag.embedding.cache import CachedEmbeddings
from rag.index.storage.chunk import Chunk
from rag.index.storage.formats import FORMAT
from rag.index.storage.layout import Vectors
from rag.index.storage.manifest import Manifest
from rag.index.storage.own_files import check_inside
from rag.index.storage.sources import quarantined
from rag.index.storage.writer import IndexWriter, open_writer
from rag.usage.collector import Collector

#: Chunks that are embedded and written together.
BATCH = 1024
#: What an interruption of a build leaves.
KEPT = "readers keep the version they have, and texts that were embedded are kept: build again to go on"


def build(
    source: Source,
    index: str | Path,
    *,
    rebuild: bool = False,
    retry: bool = False,
    hold: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> BuildReport:
    """Build an index from files, or bring it up to date; only new chunk texts are embedded.

    Parameters
    ----------
    source : str, Path, BaseLoader or iterable of Document
        A folder, a file, or ``s3://bucket/prefix``; any LangChain loader, or its Documents.
    index : str or Path
        The index's folder, created if it is missing. Readers see the previous version until the build
        is done.
    rebuild : bool
        Start empty, e.g. to change the embedder. The embedding cache is kept.
    retry : bool
        Read quarantined files again though they have not changed.
    hold : bool
        Hold the new version back: readers stay where they are until `Store.promote`.
    progress : Progress, optional
        Told how far it is: `rag.progress_bar`, or any callable (`rag.core.progress`). A file is done once
        its chunks have vectors; ``chunks`` counts these, ``bytes`` the files that were read.
    **settings
        ``embedder``, ``chunker`` and ``loader`` as objects, names or mappings (as in ``rag.toml``);
        ``metadata``: a JSON-lines table; ``metadata_from_path``: a template; ``cache``: the file of
        the embedding cache, to share it between indexes, or a mapping of ``path`` and ``max_mb``;
        ``ledger``: where calls that cost money are recorded, and the budget; ``prices`` of models.

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
    UsageError
        A batch is under way for this index (`rag.building.batch`).

    Examples
    --------
    >>> report = rag.build("data/handbook", "indexes/handbook")          # doctest: +SKIP
    >>> report.added, report.quarantined                                 # doctest: +SKIP
    (73, ())
    """
    return carry_out(
        prepare(source, index, rebuild=rebuild, settings=settings), retry=retry, hold=hold, progress=progress
    )


def carry_out(
    stages: Stages, *, retry: bool, hold: bool = False, progress: Progress | None = None
) -> BuildReport:
    """Build with stages that are prepared; see `build`."""
    clock = stages.clock
    collector = Collector(stages.meter)
    check_inside(stages.folder / "downloads")
    stages.loader.keep_in(stages.folder / "downloads")
    previous = stages.previous
    if previous is not None and stages.format < FORMAT:
        previous = collector.run(upgrade_first, stages.folder, stages.embedder, stages.cache)
    with (
        Task(progress, "build", unit="file", speed_of="chunks", kept=KEPT) as task,
        stages.reading(),
        open_writer(stages.folder, stages.entry, rebuild=stages.rebuild, previous=previous) as writer,
        contextlib.closing(CachedEmbeddings(stages.embedder, stages.cache)) as cache,
    ):
        check_chunker(stages.folder, writer.previous, stages.chunking)  # of now, under the lock
        task.show(0, detail="comparing files")
        with clock.timing("load"):
            change = stages.compare(writer.previous, retry=retry)
        if writer.previous is not None and not change.any:
            manifest: Manifest = writer.previous
        else:
            collector.run(_write, stages, change, writer, cache, task)
            if not any(record.chunks for record in change.records.values()):
                raise SourceError(_nothing(stages, change))
            task.show(len(change.todo), detail="writing the index")
            with clock.timing("write"):
                manifest = writer.commit(
                    removed=change.outdated, sources=list(change.records.values()),
                    root=stages.loader.name, chunker=stages.chunking, hold=hold,
                )  # fmt: skip
        notes = (*collector.notes, *stages.loader.notes, *change.notes, *writer.notes)
    cache_file.prune(stages.cache, stages.cache_bytes)
    return BuildReport(
        index=str(stages.folder), version=manifest.version, files=manifest.files,
        chunks=manifest.chunks, embedded=cache.embedded, notes=notes, **change.counts,
        held=hold and manifest is not writer.previous, seconds={**clock.seconds, "total": clock.total},
        quarantined=quarantined(change.records.values()),
    )  # fmt: skip


def _write(
    stages: Stages,
    change: Change,
    writer: IndexWriter,
    cache: CachedEmbeddings,
    task: Task,
) -> None:
    """Load, chunk and embed the files to read, and pass them to the writer in batches."""
    waiting: list[tuple[int, Chunk]] = []
    ahead: dict[str, Vectors] = {}
    files = read = chunks = embedded = 0

    def show(of_batch: int = 0) -> None:
        # Reading runs ahead of embedding, which takes most of the time.
        with_vectors = embedded + of_batch
        done = files * (with_vectors / chunks) if chunks else files
        task.show(done, len(change.todo), chunks=with_vectors, bytes=read)

    def flush(size: int) -> None:
        """Embed and write batches until fewer than `size` chunks wait."""
        nonlocal ahead, embedded
        while len(waiting) >= size and waiting:
            batch, waiting[:BATCH] = waiting[:BATCH], []
            headings = writer.new_headings(batch)
            texts = [chunk.text for _, chunk in batch]
            with stages.clock.timing("embed"):
                heading_vectors = cache.vectors(headings, ahead=ahead)
                vectors = cache.vectors(texts, show, ahead=ahead)
            embedded += len(batch)
            with stages.clock.timing("write"):
                writer.add_headings(headings, heading_vectors)
                writer.add_chunks(batch, vectors)
            left = {text for _, chunk in waiting for text in (chunk.text, chunk.heading)}
            ahead = {text: vector for text, vector in ahead.items() if text in left}

    with contextlib.closing(stages.cut(change, embed=True)) as found:
        for cut in found:
            files, read, chunks = files + 1, read + cut.file.bytes, chunks + len(cut.chunks)
            if cut.document is not None and cut.chunks:
                metadata = {k: v for k, v in cut.document.metadata.items() if k not in ("source", STRUCTURE)}
                doc_id = hashlib.blake2b(cut.file.source.encode(), digest_size=8).hexdigest()
                number = writer.add_document(doc_id, cut.file.source, metadata)
                waiting += [(number, chunk) for chunk in cut.chunks]
                ahead |= cut.vectors
            show()
            flush(BATCH)
    flush(1)
    show()


def _nothing(stages: Stages, change: Change) -> str:
    bad = quarantined(change.records.values())
    why = f"{bad[0].source} {bad[0].reason}" if bad else "; ".join(["no file holds text", *change.notes])
    more = f" (and {len(bad) - 1} more files)" if len(bad) > 1 else ""
    return f"{stages.loader.name} holds nothing to index: {why}{more}; nothing was changed"
