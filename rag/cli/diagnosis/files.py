"""What `rag` writes to: the folders of indexes and caches, their locks, the ledger; and one index."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rag.core.errors import RagError
from rag.core.findings import Finding, checked, ok

#: Free bytes below which a build is likely to stop.
_LITTLE = 1_000_000_000
#: Largest index that is read whole here, in bytes: some seconds.
_SHORT = 2_000_000_000
#: Where `rag build SRC indexes/NAME` puts indexes.
_INDEXES = Path("indexes")


def findings(index: Path | None, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Check the files of an index, or those of the default folder."""
    yield from _folder("index folder", index or _INDEXES)
    yield from checked("cache", lambda: _cache(index, settings.get("cache")))
    yield from checked("locks", lambda: _locks([index] if index else sorted(_INDEXES.glob("*"))))
    yield from checked("ledger", lambda: _ledger(index, settings.get("ledger")))
    if index is not None:
        yield from checked(str(index), lambda: _index(index))


def _folder(name: str, folder: Path) -> Iterator[Finding]:
    """Check whether a folder can be written, or made, and the room on its disk."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    made = "" if folder.exists() else " (it is made by the first build)"
    if not there.is_dir():
        yield Finding(name, "fail", f"{there} is no folder", "name another folder")
        return
    if not os.access(there, os.W_OK | os.X_OK):
        advice = "give yourself the right to write, or name another folder; questions need none"
        yield Finding(name, "warn", f"{there} cannot be written", advice)
        return
    free = shutil.disk_usage(there).free
    text = f"{folder}{made}, {free / 1e9:.1f} GB free"
    if free < _LITTLE:
        yield Finding(name, "warn", text, "make room before you build")
    else:
        yield ok(name, text)


def _cache(index: Path | None, value: Any) -> Iterator[Finding]:
    from rag.embedding import cache as holdings
    from rag.embedding import cache_settings

    settings = cache_settings.settings(value)
    path = settings.file(index) if index else settings.path
    if path is None:
        return
    if path.is_file():
        held = holdings.info(path)
        yield ok("cache", f"{path}: {held.vectors} vectors, {held.bytes / 1e6:.1f} MB")
    if settings.path is not None:
        yield from _folder("cache folder", settings.path.absolute().parent)


def _locks(folders: list[Path]) -> Iterator[Finding]:
    from rag.index.storage.own_files import writer_of

    held = {folder: number for folder in folders if (number := writer_of(folder)) is not None}
    for folder, process in held.items():
        who = f"process {process}" if process else "another process"
        yield Finding("lock", "warn", f"{who} is writing to {folder}", "wait until it is done, or stop it")
    if not held:
        yield ok("locks", "no process is writing to an index here")


def _ledger(index: Path | None, value: Any) -> Iterator[Finding]:
    from rag.usage import ledger_settings
    from rag.usage.ledger import NAME, Ledger

    path = ledger_settings.settings(value).path or (index / NAME if index else None)
    if path is None or not path.exists():
        yield Finding("ledger", "skip", f"none yet{f' at {path}' if path else ''}")
        return
    groups = Ledger(path).rows()
    calls, usd = sum(group.calls for group in groups), sum(group.usd or 0.0 for group in groups)
    yield ok("ledger", f"{path}: {calls} calls, ${usd:,.4f}")


def _index(index: Path) -> Iterator[Finding]:
    from rag.index.index import Index
    from rag.index.maintenance import Store
    from rag.index.storage.formats import FORMAT

    opened = Index.open(index)
    manifest = opened.manifest
    yield ok("index", f"version {manifest.version}, format {FORMAT}, {manifest.chunks} chunks of "
                      f"{manifest.files} files, {manifest.embedder.fingerprint}")  # fmt: skip
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
    if size > _SHORT:
        yield Finding("index files", "skip", f"{size / 1e9:.1f} GB are not read here", f"rag verify {index}")
        return
    store = Store(index)
    result = store.verify()
    if result.sound:
        yield ok("index files", f"{result.files} files, {result.bytes / 1e6:.1f} MB, sound")
    else:
        yield Finding("index files", "fail", "; ".join(result.problems[:3]), result.advice)
    if quarantined := len(store.quarantined()):
        advice = f"rag quarantine {index}"
        yield Finding("quarantine", "warn", f"{quarantined} files are not in the index", advice)


def usable(index: str | None) -> Path | None:
    """Return the index's folder.

    Raises
    ------
    StoreMissingError
        There is no index.
    """
    if index is None:
        return None
    from rag.index.maintenance import Store

    try:
        return Store(index).path
    except NotADirectoryError:
        raise RagError(f"{index} is a file: name an index's folder") from None
