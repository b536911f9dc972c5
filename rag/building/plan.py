"""What a build would do and cost, without embedding or writing anything."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from rag.building.report import BuildPlan
from rag.building.stages import Source, prepare
from rag.building.texts import embedding_usd, missing_texts, token_counter
from rag.core import embedders
from rag.core.progress import Progress, Task
from rag.embedding.cache import CachedEmbeddings
from rag.index.storage.sources import quarantined
from rag.loading.loader import Loader
from rag.usage.prices import PriceTable, stale


def plan(
    source: Source,
    index: str | Path,
    *,
    rebuild: bool = False,
    retry: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> BuildPlan:
    """Return what `rag.build` would do and cost, without embedding or writing anything.

    Parameters
    ----------
    source, index, rebuild, retry, progress, **settings
        As for `rag.build`.

    Returns
    -------
    BuildPlan
        `BuildPlan.cost_usd` is by the prices of ``prices`` and the built-in list.

    Raises
    ------
    SourceError
        The path does not exist, or holds nothing that can be indexed.
    StoreMismatchError
        The index was built with another embedder or chunker.

    Examples
    --------
    >>> rag.plan("data/handbook", "indexes/handbook").cost_usd           # doctest: +SKIP
    0.0
    """
    stages = prepare(source, index, rebuild=rebuild, settings=settings, allow_batch=True)
    change = stages.compare(stages.previous, retry=retry)
    count = token_counter(stages.embedder)
    cache = CachedEmbeddings(stages.embedder, stages.cache) if stages.cache.exists() else None
    chunks = texts = tokens = 0
    with (
        stages.reading(),
        contextlib.closing(cache) if cache else contextlib.nullcontext(),
        Task(progress, "plan", of=len(change.todo), unit="file", speed_of="chunks") as task,
    ):
        for number, (missing, of_chunks) in enumerate(missing_texts(stages.cut(change), cache), 1):
            texts += len(missing)
            chunks += of_chunks
            tokens += sum(count(missing))
            task.show(number, chunks=chunks)
    prices = stages.meter.prices
    usd = embedding_usd(stages.embedder, tokens, prices)
    return BuildPlan(
        source=stages.loader.name, index=str(index), embedder=stages.entry.fingerprint,
        chunks=chunks, texts=texts, tokens=tokens, cost_usd=usd,
        minutes=embedders.minutes(stages.embedder, tokens), rebuild=rebuild, **change.counts,
        quarantined=quarantined(change.records.values()),
        notes=(*change.notes, *_price_notes(stages.embedder, usd, prices)),
        parsers=stages.loader.confinement if isinstance(stages.loader, Loader) else "",
    )  # fmt: skip


def _price_notes(embedder: Embeddings, usd: float | None, prices: PriceTable) -> tuple[str, ...]:
    """Return what to do about a price that is unknown or old."""
    if usd is None:
        advice = prices.advice(embedders.billed_model(embedder) or "", "embed")
        third_party = not embedders.name(embedder)
        return (f"{advice}; input = 0 if it runs on this machine" if third_party else advice,)
    old = stale() if usd else None
    return (old,) if old else ()
