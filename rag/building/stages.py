"""What a build is about to do: its stages, and what has changed since the last one."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.document_loaders import BaseLoader

from rag.building.upgrade import cut_by_older
from rag.chunking import estimate_tokens
from rag.config import registry, stages
from rag.config import settings as rag_toml
from rag.core import embedders
from rag.core.errors import ConfigError, LoadError, SourceError, StoreMismatchError, near_miss
from rag.core.extras import can_be_read_now
from rag.core.files import SourceFile
from rag.index.storage.formats import FORMAT
from rag.index.storage.manifest import EmbedderEntry, Manifest, current_version, read_any_format
from rag.index.storage.sources import SourceRecord, open_sources, read_sources
from rag.loading.base import BuildLoader
from rag.loading.documents import DocumentLoader
from rag.loading.loader import Loader
from rag.usage.budget import Meter


@dataclass
class Stages:
    """The stages of a build, and the index they build."""

    folder: Path
    loader: BuildLoader
    files: list[SourceFile]
    chunker: Any
    embedder: Any
    entry: EmbedderEntry
    chunking: str
    previous: Manifest | None
    cache: Path
    cache_bytes: int
    meter: Meter
    #: Of the files of `previous`, which reads as one of today's.
    format: int = FORMAT

    estimate = staticmethod(estimate_tokens)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """End the loader's use of its place; what it fetched stays if the build does not get done."""
        done = False
        try:
            yield
            done = True
        finally:
            self.loader.close(done=done)


@dataclass
class Change:
    """What differs between the files and the index."""

    records: dict[str, SourceRecord]
    todo: list[SourceFile] = field(default_factory=list)
    outdated: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    any: bool = False

    def record(self, file: SourceFile, chunks: int, error: LoadError | None) -> None:
        """Note how a file went."""
        reason, advice = (error.reason, error.advice) if error else ("", "")
        self.records[file.source] = SourceRecord(
            file.source, file.sha256, file.metadata_sha256, file.bytes, chunks, reason, advice
        )


def prepare(source: Any, index: str | Path, *, rebuild: bool, settings: Mapping[str, Any]) -> Stages:
    """Make the stages, find the files, and refuse an index that does not fit."""
    known = ("embedder", "chunker", "loader", "metadata", "metadata_from_path", "cache", "ledger", "prices")
    for name in settings:
        if name not in known:
            raise ConfigError(f"build has no argument {name!r}: {near_miss(name, known)}")
    folder = Path(index)
    if folder.exists() and not folder.is_dir():
        raise SourceError(f"{folder} is a file: name a folder for the index")
    loader = _loader(source, settings)
    files = loader.files()
    if not files:
        why = f" ({'; '.join(loader.notes)})" if loader.notes else ""
        raise SourceError(f"{loader.name} holds no files{why}: nothing was changed")
    written_in: int = FORMAT
    previous = None
    if not rebuild and current_version(folder) is not None:
        written_in, previous = read_any_format(folder)
    elif not rebuild and folder.is_dir() and any(folder.iterdir()) and not (folder / "LOCK").exists():
        raise SourceError(f"{folder} is not empty and no index: name another folder")
    embedder = _embedder(settings.get("embedder"), previous, folder)
    entry = EmbedderEntry(
        embedders.name(embedder), embedders.fingerprint(embedder), embedders.dimensions(embedder)
    )
    count = embedders.token_counter(embedder)
    value = settings.get("chunker")
    chunker = stages.chunker(value, count)
    own = getattr(chunker, "fingerprint", None)
    chunking = f"loader/{loader.version} " + (own or _describe(chunker))
    if previous is not None and previous.chunker != chunking:
        raise _other_chunker(folder, previous.chunker, chunking, written_in)
    cache, most = rag_toml.cache(settings.get("cache"))
    return Stages(
        folder,
        loader,
        files,
        chunker,
        embedder,
        entry,
        chunking,
        previous,
        cache or folder / "cache.sqlite",
        most,
        stages.meter(settings.get("ledger"), settings.get("prices"), folder),
        written_in,
    )


def _other_chunker(folder: Path, before: str, now: str, written_in: int) -> StoreMismatchError:
    """Return why new chunks cannot be added to those of another chunker, and what to do."""
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


def _loader(source: Any, settings: Mapping[str, Any]) -> BuildLoader:
    """Return what reads the source: a path or URL, a loader, or Documents."""
    given = {name: settings[name] for name in ("metadata", "metadata_from_path") if settings.get(name)}
    value = settings.get("loader")
    for own in (source, value):
        if isinstance(own, BuildLoader):
            if given:
                raise ConfigError(f"{next(iter(given))} is the loader's own argument: give it there")
            return own
    if not isinstance(source, str | Path):
        return stages.checked(DocumentLoader, {"documents": source, **given}, "loader")  # type: ignore[no-any-return]
    if not registry.is_own("loader", value):
        value = stages.stage("loader", value, path=source)
    if isinstance(value, BaseLoader):
        return DocumentLoader(value, **given)
    loader = stages.stage("loader", value, path=source, **given)
    if not isinstance(loader, Loader):
        raise ConfigError(f"the loader is a {type(loader).__name__}: give a LangChain loader")
    return loader


def _embedder(value: Any, previous: Manifest | None, folder: Path) -> Any:
    """Return the embedder asked for; by default the one the index was built with."""
    if value is None and previous is not None:
        name = previous.embedder.name
        if name not in registry.LOCAL:
            raise StoreMismatchError(
                f"{folder} was built with {previous.embedder.fingerprint}: name that embedder with "
                "--embedder (or --bedrock), or build again with --rebuild"
            )
        value = name
    embedder = stages.stage("embedder", value)
    if previous is not None:
        stages.check_embedder(embedder, previous.embedder.fingerprint, str(folder))
    return embedder


def _describe(chunker: Any) -> str:
    kind = type(chunker)
    plain = {
        name: value for name, value in sorted(vars(chunker).items())
        if isinstance(value, str | int | float | bool | list)
    }  # fmt: skip
    return f"{kind.__module__}:{kind.__qualname__} {plain}"


def compare(stages: Stages, previous: Manifest | None, *, retry: bool) -> Change:
    """Compare the files with the index, by content and metadata."""
    old: dict[str, SourceRecord] = {}
    if previous is not None:
        table = read_sources(open_sources(stages.folder / previous.sources.path))
        old = {record.source: record for record in table}
    change = Change({})
    added, changed, unchanged = [], 0, 0
    for file, error in stages.loader.hashed(stages.files):
        before = old.get(file.source)
        same = before is not None and (
            (before.sha256, before.metadata_sha256) == (file.sha256, file.metadata_sha256)
        )
        if error is not None:
            change.record(file, 0, error)
            change.any |= before is None or before.reason != error.reason
        elif (
            same and before is not None and not (before.reason and (retry or can_be_read_now(before.reason)))
        ):
            change.records[file.source] = before
        else:
            change.todo.append(file)
        if before is None:
            added.append(file)
        elif same:
            unchanged += 1
        else:
            changed += 1
        if before is not None and before.chunks and change.records.get(file.source) is not before:
            change.outdated.add(file.source)
    names = {file.source for file in stages.files}
    gone = [record for name, record in old.items() if name not in names]
    change.outdated |= {record.source for record in gone}
    new = Counter(file.sha256 for file in change.todo if file.source not in old)
    left = Counter(record.sha256 for record in gone if record.sha256)
    renamed = (new & left).total()
    change.any |= bool(change.todo or gone)
    change.counts = {
        "added": len(added) - renamed, "changed": changed, "removed": len(gone) - renamed,
        "renamed": renamed, "unchanged": unchanged,
    }  # fmt: skip
    return change
