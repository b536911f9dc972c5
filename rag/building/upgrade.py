"""Upgrade an index to the current format, with what that needs from the other stages."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from rag.building.stages import cut_by_older
from rag.chunking.offsets import place
from rag.config import registry, stages
from rag.core.displayable import Displayable
from rag.core.files import local_folder
from rag.core.progress import Progress
from rag.embedding import cache_settings
from rag.embedding.cache import CachedEmbeddings
from rag.index.storage.formats import FORMAT
from rag.index.storage.layout import Vectors
from rag.index.storage.manifest import EmbedderEntry, Manifest, read_any_format
from rag.index.storage.upgrade import upgrade as upgrade_files
from rag.loading.formats.plain import outline
from rag.usage.collector import Collector, note

#: Files whose tables can be recognised in their text.
_MARKDOWN = (".md", ".markdown", ".mdx", ".qmd")


@dataclass(frozen=True, slots=True, repr=False)
class UpgradeReport(Displayable):
    """What an upgrade did.

    Attributes
    ----------
    version : int
        The current version after the upgrade.
    before, format : int
        The index's format before and after; the same where there was nothing to do.
    embedded : int
        Texts that went to the embedder; 0 for all but the first indexes of format 1.
    notes : tuple of str
        What the user should know.
    """

    index: str
    version: int
    before: int
    format: int
    chunks: int
    embedded: int
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def upgrade(
    index: str | Path,
    *,
    version: int | None = None,
    embedder: Any = None,
    cache: Any = None,
    ledger: Any = None,
    prices: Any = None,
    progress: Progress | None = None,
) -> UpgradeReport:
    """Convert an index to the current format, in place: chunks, vectors, metadata and versions stay.

    Parameters
    ----------
    index : str or Path
    version : int, optional
        An older version, to make it the current one; by default the current one.
    embedder : optional
        The embedder that the index was built with, as an object, a name or a mapping. Needed only where
        vectors are missing (the first indexes of format 1) and the embedder is not local.
    cache, ledger, prices, progress : optional
        As for `rag.build`.

    Returns
    -------
    UpgradeReport
        `UpgradeReport.before` equals `UpgradeReport.format` where there was nothing to do.

    Raises
    ------
    StoreMismatchError
        A newer `rag` wrote the index, or the embedder must be named.
    StoreCorruptError
        A file of the index is damaged; nothing is changed.

    Examples
    --------
    >>> upgrade("indexes/handbook").before                           # doctest: +SKIP
    2
    """
    started = time.perf_counter()
    folder = local_folder(index)
    _, old = read_any_format(folder, version)
    vectors = None
    if embedder is not None or old.embedder.name in registry.LOCAL:
        vectors = _Vectors(
            lambda: _embedder(embedder, old.embedder, folder),
            cache_settings.settings(cache).file(folder),
        )
    collector = Collector(stages.meter(ledger, prices, folder))
    before, manifest = collector.run(
        upgrade_files, folder, version=version, embed=vectors, table_heads=table_heads, progress=progress
    )
    notes = [*collector.notes]
    if before < FORMAT and cut_by_older(manifest.chunker):
        notes.append(
            f"an older rag cut its chunks ({manifest.chunker.split(' max_tokens')[0]}): they can be "
            "searched; to build from changed files, build again with --rebuild (texts embedded before come "
            "from the cache)"
        )
    return UpgradeReport(
        str(folder), manifest.version, before, FORMAT, manifest.chunks, vectors.embedded if vectors else 0,
        time.perf_counter() - started, tuple(notes),
    )  # fmt: skip


def upgrade_first(folder: Path, embedder: Embeddings, cache: Path) -> Manifest:
    """Upgrade an index before a build adds to it, with the build's embedder."""
    before, manifest = upgrade_files(folder, embed=_Vectors(lambda: embedder, cache), table_heads=table_heads)
    note(f"upgraded from format {before} to {FORMAT} first (version {manifest.version})")
    return manifest


def _embedder(value: Any, entry: EmbedderEntry, folder: Path) -> Embeddings:
    embedder: Embeddings = stages.stage("embedder", entry.name if value is None else value)
    stages.check_embedder(embedder, entry.fingerprint, str(folder))
    return embedder


class _Vectors:
    """Embeds heading paths through the cache, as a build does."""

    def __init__(self, embedder: Callable[[], Embeddings], cache: Path) -> None:
        self._embedder, self._cache = embedder, cache
        self.embedded = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        with contextlib.closing(CachedEmbeddings(self._embedder(), self._cache)) as cache:
            vectors = cache.vectors(list(texts))
            self.embedded += cache.embedded
        return vectors


def table_heads(source: str, text: str, starts: Sequence[int]) -> list[tuple[str, int] | None]:
    r"""Return, for each offset into a file's text, the head of the table that has a row there.

    Examples
    --------
    >>> table_heads("a.md", "|Year|\n|-|\n|2024|\n|2025|", [18])
    [('|Year|\n|-|\n', 0)]
    """
    if not source.lower().endswith(_MARKDOWN):
        return [None] * len(starts)
    structure = {"pages": (), "tables": outline(text)[1]}
    places = (place(text, structure, start, start) for start in starts)
    return [(at["table_head"], at["table_head_start"]) if at else None for at in places]
