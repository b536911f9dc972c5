"""Upgrading an index: what its format needs of the other stages, put together."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from rag.chunking import FixedChunker, RecursiveChunker, SemanticChunker
from rag.chunking.offsets import place
from rag.config import registry, stages
from rag.config import settings as rag_toml
from rag.config.loader import Loader
from rag.embedding.cache import CachedEmbeddings
from rag.index.storage.formats import FORMAT
from rag.index.storage.layout import Vectors
from rag.index.storage.manifest import EmbedderEntry, Manifest, read_any_format
from rag.index.storage.upgrade import upgrade as upgrade_files
from rag.loading.formats.plain import outline
from rag.usage.collector import Collector, note

#: Files whose tables are found in their text alone.
_MARKDOWN = (".md", ".markdown", ".mdx", ".qmd")


@dataclass(frozen=True, slots=True)
class UpgradeReport:
    """What an upgrade did.

    Attributes
    ----------
    version : int
        The current version now.
    before, format : int
        The index's format before, and now; the same where there was nothing to do.
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
) -> UpgradeReport:
    """Bring an index up to the format of today, in place: chunks, vectors, metadata and versions stay.

    Parameters
    ----------
    index : str or Path
    version : int, optional
        An older version, to make it the current one; by default the one that is.
    embedder : optional
        An Embeddings object, a name or a mapping: the one that the index was built with. Needed only
        where vectors are missing (the first indexes of format 1) and it is not a local one.
    cache, ledger, prices : optional
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
        A file of the index is not what was written; it is left as it is.

    Examples
    --------
    >>> upgrade("indexes/handbook").before                           # doctest: +SKIP
    2
    """
    started = time.perf_counter()
    folder = Path(index)
    file, _ = rag_toml.cache(cache)
    _, old = read_any_format(folder, version)
    vectors = None
    if embedder is not None or old.embedder.name in registry.LOCAL:
        vectors = _Vectors(
            lambda: _embedder(embedder, old.embedder, folder),
            file or folder / "cache.sqlite",
        )
    collector = Collector(stages.meter(ledger, prices, folder))
    before, manifest = collector.run(
        upgrade_files, folder, version=version, embed=vectors, table_heads=table_heads
    )
    notes = [*collector.notes]
    if before < FORMAT and cut_by_older(manifest.chunker):
        notes.append(
            f"its chunks are as an older rag cut them ({manifest.chunker.split(' max_tokens')[0]}): they are "
            "searched as they are; to build from changed files, build again with --rebuild (what was "
            "embedded comes from the cache)"
        )
    return UpgradeReport(
        str(folder), manifest.version, before, FORMAT, manifest.chunks, vectors.embedded if vectors else 0,
        time.perf_counter() - started, tuple(notes),
    )  # fmt: skip


def bring_up(folder: Path, embedder: Embeddings, cache: Path) -> Manifest:
    """Upgrade an index before it is built, with the embedder of the build."""
    before, manifest = upgrade_files(folder, embed=_Vectors(lambda: embedder, cache), table_heads=table_heads)
    note(f"upgraded from format {before} to {FORMAT} first (version {manifest.version})")
    return manifest


def _embedder(value: Any, entry: EmbedderEntry, folder: Path) -> Embeddings:
    made: Embeddings = stages.stage("embedder", entry.name if value is None else value)
    stages.check_embedder(made, entry.fingerprint, str(folder))
    return made


class _Vectors:
    """Makes the vectors of heading paths, through the cache, as a build makes them."""

    def __init__(self, embedder: Callable[[], Embeddings], cache: Path) -> None:
        self._embedder, self._cache = embedder, cache
        self.embedded = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        with contextlib.closing(CachedEmbeddings(self._embedder(), self._cache)) as cache:
            vectors = cache.vectors(list(texts))
            self.embedded += cache.embedded
        return vectors


def table_heads(source: str, text: str, starts: Sequence[int]) -> list[tuple[str, int] | None]:
    r"""Find the head of the table that has a row at each of some offsets of a file's text.

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


def cut_by_older(chunker: str) -> bool:
    """Whether a manifest's chunker is one of an older version of `rag`'s own loader or chunkers."""
    found = re.match(r"loader/(\d+) (?:(semantic|recursive|fixed)/(\d+) )?", chunker)
    if found is None:
        return False
    loader, name, version = found.groups()
    now = {
        "semantic": SemanticChunker.version, "recursive": RecursiveChunker.version,
        "fixed": FixedChunker.version,
    }  # fmt: skip
    return int(loader) < Loader.version or (name is not None and int(version) < now[name])
