"""Make what a build needs: its stages, its files, and the index that it continues."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag.building.chunks import CutFile
from rag.building.clock import Clock
from rag.building.diff import Change, compare
from rag.building.reading import cut_files
from rag.chunking import Chunker, FixedChunker, RecursiveChunker, SemanticChunker
from rag.config import registry, stages
from rag.core import embedders
from rag.core.embedders import Fingerprinted
from rag.core.errors import ConfigError, SourceError, StoreMismatchError, UsageError, near_miss
from rag.core.files import BATCH_STATE, SourceFile, local_folder
from rag.embedding import cache_settings
from rag.index.storage import forgotten
from rag.index.storage.formats import FORMAT
from rag.index.storage.manifest import EmbedderEntry, Manifest, current_version, read_any_format
from rag.index.storage.own_files import is_unused
from rag.loading.base import BuildLoader
from rag.loading.documents import DocumentLoader
from rag.loading.loader import Loader
from rag.usage.meter import Meter

#: What an index can be built from.
Source = str | Path | BaseLoader | Iterable[Document]
#: Settings of `rag.build`.
_SETTINGS = ("embedder", "chunker", "loader", "metadata", "metadata_from_path", "cache", "ledger", "prices")


@dataclass
class Stages:
    """The stages of a build, and the index they build.

    Attributes
    ----------
    folder : Path
        The index's.
    files : list of SourceFile
        What the loader lists; nothing has been read yet.
    entry : EmbedderEntry
        The embedder as the manifest names it.
    chunking : str
        The fingerprint of loader and chunker.
    previous : Manifest or None
        The current version, converted to today's format; None for a new index or a rebuild.
    format : int
        The format in which the files of `previous` are written.
    """

    folder: Path
    loader: BuildLoader
    files: list[SourceFile]
    chunker: Chunker
    embedder: Embeddings
    entry: EmbedderEntry
    chunking: str
    previous: Manifest | None
    cache: Path
    cache_bytes: int
    meter: Meter
    rebuild: bool = False
    format: int = FORMAT
    clock: Clock = field(default_factory=Clock)

    def compare(self, previous: Manifest | None, *, retry: bool) -> Change:
        """Compare the files with a version of the index; see `rag.building.diff.compare`."""
        return compare(
            self.loader, self.files, self.folder, previous, retry=retry, forgotten=forgotten.read(self.folder)
        )

    def cut(self, change: Change, *, embed: bool = False) -> Generator[CutFile]:
        """Read the files of a change and cut them into chunks; see `rag.building.reading.cut_files`."""
        return cut_files(self.loader, self.chunker, self.clock, change, self.embedder if embed else None)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Close the loader at the end; what it downloaded is kept unless the body succeeds."""
        done = False
        try:
            yield
            done = True
        finally:
            self.loader.close(done=done)


def prepare(
    source: Source,
    index: str | Path,
    *,
    rebuild: bool,
    settings: Mapping[str, Any],
    allow_batch: bool = False,
) -> Stages:
    """Make the stages, list the files, and refuse an index that does not fit.

    Parameters
    ----------
    source, index, rebuild, settings
        As for `rag.build`.
    allow_batch : bool
        Whether the index may have a batch under way: a plan only looks, and a batch ends in a build.

    Raises
    ------
    UsageError
        A batch is under way, a setting or the source is wrong, or the index's folder holds other files.
    StoreMismatchError
        The index was built with another embedder or chunker.
    """
    clock = Clock()
    folder = local_folder(index)
    if not allow_batch and (folder / BATCH_STATE).exists():
        raise UsageError(
            f"{index} has a batch under way, and a build would pay for its texts again: `rag batch resume "
            f"{index}` continues it, `rag batch cancel {index}` drops it"
        )
    for name in settings:
        if name not in _SETTINGS:
            raise ConfigError(f"build has no argument {name!r}: {near_miss(name, _SETTINGS)}")
    if folder.exists() and not folder.is_dir():
        raise SourceError(f"{folder} is a file: name a folder for the index")
    loader = loader_of(source, settings)
    files = loader.files()
    if not files:
        why = f" ({'; '.join(loader.notes)})" if loader.notes else ""
        raise SourceError(f"{loader.name} holds no files{why}: nothing was changed")
    written_in: int = FORMAT
    previous = None
    if not rebuild and current_version(folder) is not None:
        written_in, previous = read_any_format(folder)
    elif not rebuild and folder.is_dir() and not (folder / "LOCK").exists() and not is_unused(folder):
        raise SourceError(f"{folder} is not empty and no index: name another folder")
    embedder = _embedder(settings.get("embedder"), previous, folder)
    chunker = _chunker(settings.get("chunker"), embedder)
    chunking = f"loader/{loader.version} {_fingerprint(chunker)}"
    check_chunker(folder, previous, chunking, written_in)
    cache = cache_settings.settings(settings.get("cache"))
    entry = EmbedderEntry(
        embedders.name(embedder), embedders.fingerprint(embedder), embedders.dimensions(embedder)
    )
    return Stages(
        folder=folder, loader=loader, files=files, chunker=chunker, embedder=embedder, entry=entry,
        chunking=chunking, previous=previous, cache=cache.file(folder), cache_bytes=cache.max_bytes,
        meter=stages.meter(settings.get("ledger"), settings.get("prices"), folder), rebuild=rebuild,
        format=written_in, clock=clock,
    )  # fmt: skip


def check_chunker(folder: Path, previous: Manifest | None, now: str, written_in: int = FORMAT) -> None:
    """Refuse an index whose chunks are another chunker's; a new one has none.

    Raises
    ------
    StoreMismatchError
        It says what to do.
    """
    if previous is not None and previous.chunker != now:
        raise _other_chunker(folder, previous.chunker, now, written_in)


def _other_chunker(folder: Path, before: str, now: str, written_in: int) -> StoreMismatchError:
    if not cut_by_older(before):
        return StoreMismatchError(
            f"{folder} was chunked by {before!r}, not by {now!r}: use those "
            "settings, or build again with --rebuild"
        )
    search = f"; `rag upgrade {folder}` makes it searchable as it is" if written_in < FORMAT else ""
    return StoreMismatchError(
        f"{folder} was chunked by an older rag ({before!r}, now {now!r}), and the chunks of both cannot be "
        f"mixed: build again with --rebuild (its texts come from the embedding cache){search}"
    )


def cut_by_older(chunker: str) -> bool:
    """Tell whether a manifest's chunker is an older version of `rag`'s loader or chunkers."""
    match = re.match(r"loader/(\d+) (?:(semantic|recursive|fixed)/(\d+) )?", chunker)
    if match is None:
        return False
    loader, name, version = match.groups()
    current = {
        "semantic": SemanticChunker.version, "recursive": RecursiveChunker.version,
        "fixed": FixedChunker.version,
    }  # fmt: skip
    return int(loader) < Loader.version or (name is not None and int(version) < current[name])


def loader_of(source: Any, settings: Mapping[str, Any]) -> BuildLoader:
    """Return the loader of a source: a path or URL, a loader, or Documents.

    Parameters
    ----------
    source : Source
    settings : mapping
        ``loader``, ``metadata`` and ``metadata_from_path``, as of `rag.build`.

    Raises
    ------
    ConfigError
        A setting is wrong.
    """
    metadata = {name: settings[name] for name in ("metadata", "metadata_from_path") if settings.get(name)}
    value = settings.get("loader")
    for loader in (source, value):
        if isinstance(loader, BuildLoader):
            if metadata:
                raise ConfigError(f"{next(iter(metadata))} is an argument of the loader: pass it there")
            return loader
    if not isinstance(source, str | Path):
        return stages.checked(DocumentLoader, {"documents": source, **metadata}, "loader")  # type: ignore[no-any-return]
    if not registry.is_builtin("loader", value):
        value = stages.stage("loader", value, path=source)
    if isinstance(value, BaseLoader):
        return DocumentLoader(value, **metadata)
    loader = stages.stage("loader", value, path=source, **metadata)
    if not isinstance(loader, Loader):
        raise ConfigError(f"the loader is a {type(loader).__name__}: give a LangChain loader")
    return loader


def _embedder(value: Any, previous: Manifest | None, folder: Path) -> Embeddings:
    """Return the embedder of the settings; by default the one that the index was built with."""
    if value is None and previous is not None:
        name = previous.embedder.name
        if name not in registry.LOCAL:
            raise StoreMismatchError(
                f"{folder} was built with {previous.embedder.fingerprint}: name that embedder with "
                "--embedder (or --bedrock), or build again with --rebuild"
            )
        value = name
    embedder: Embeddings = stages.stage("embedder", value)
    if previous is not None:
        stages.check_embedder(embedder, previous.embedder.fingerprint, str(folder))
    return embedder


def _chunker(value: Any, embedder: Embeddings) -> Chunker:
    """Return the chunker; `rag`'s counts tokens as the embedder does, so that no chunk is cut off."""
    chunker: Chunker = stages.chunker(value, embedders.token_counter(embedder))
    return chunker


def _fingerprint(chunker: Chunker) -> str:
    """Name what decides where a chunker cuts; for third-party ones their class and plain attributes."""
    if isinstance(chunker, Fingerprinted):
        return chunker.fingerprint
    kind = type(chunker)
    plain = {
        name: value for name, value in sorted(vars(chunker).items())
        if isinstance(value, str | int | float | bool | list)
    }  # fmt: skip
    return f"{kind.__module__}:{kind.__qualname__} {plain}"
