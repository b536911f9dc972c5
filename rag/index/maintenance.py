"""Maintenance of an index: its versions, their differences, its files and their damage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rag.core.arguments import real, whole
from rag.core.displayable import Displayable
from rag.core.errors import StoreMissingError, UsageError
from rag.core.files import Quarantined, local_folder
from rag.index.filters.parse import WhereLike
from rag.index.index import Index
from rag.index.storage import held, verify
from rag.index.storage.edits import checked, widened
from rag.index.storage.locking import locked
from rag.index.storage.manifest import (
    HELD,
    fsync_folder,
    held_versions,
    kept_versions,
    manifest_path,
    newest_version,
    next_version,
    pointer,
    read_manifest,
)
from rag.index.storage.orphans import clear_orphans
from rag.index.storage.sources import quarantined
from rag.index.storage.writer import IndexWriter, open_writer, publish

#: What stands in `Version.why` before the reason.
HELD_BACK = ", held back"


@dataclass(frozen=True, slots=True, repr=False)
class Version(Displayable):
    """One version of an index.

    Attributes
    ----------
    why : str
        What created it: ``"build"``, ``"compact"``, ``"rollback to 3"``, ``"edit"``, ``"add"``, …; also
        why it is held back, or by whom and why it was promoted.
    error : str
        Why it cannot be opened; empty if it can.
    """

    number: int
    created: str
    why: str
    files: int
    chunks: int
    segments: int
    current: bool
    error: str = ""
    held: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, repr=False)
class Diff(Displayable):
    """The differences between two versions, by document (its source, or its id if it has none)."""

    old: int
    new: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    metadata: tuple[str, ...]
    chunks_added: int
    chunks_removed: int
    fields: Mapping[str, tuple[str | None, str | None]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


class Store(Displayable):
    """The versions and files of an index.

    Reading needs no lock. Methods that write (`rollback`, `prune`, `compact`, `edit`) add a version or
    delete old ones; readers keep the version that they opened.

    Parameters
    ----------
    path : str or Path
    timeout_s : float
        How long a method that writes waits for another writer; by default it fails at once.

    Examples
    --------
    >>> store = rag.Store("indexes/handbook")                                # doctest: +SKIP
    >>> [version.why for version in store.versions()]                        # doctest: +SKIP
    ['build', 'build', 'rollback to 1']
    """

    def __init__(self, path: str | Path, *, timeout_s: float = 0.0) -> None:
        self.path = local_folder(path)
        self.timeout_s = real("timeout_s", timeout_s, 0)
        if not newest_version(self.path) and not held_versions(self.path):
            raise StoreMissingError(
                f"there is no index in {self.path}: build it with `rag build SRC {self.path}`"
            )

    def versions(self) -> list[Version]:
        """Return all versions, oldest first, with those that are held back."""
        current, waiting = newest_version(self.path), held_versions(self.path)
        out = []
        for number in sorted({*kept_versions(self.path), *waiting}):
            try:
                manifest = read_manifest(self.path, number)
            except Exception as error:  # a damaged version is listed with its error
                out.append(Version(number, "", "", 0, 0, 0, number == current, str(error)))
                continue
            out.append(Version(
                number, manifest.created, manifest.why, manifest.files, manifest.chunks,
                len(manifest.segments), number == current, held=number in waiting and number != current,
            ))  # fmt: skip
        return out

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Return the files that the last build could not index, the reasons, and what to do."""
        return quarantined(Index.open(self.path).sources)

    def diff(self, old: int, new: int | None = None) -> Diff:
        """Compare a version with another, by default with the current one.

        Raises
        ------
        StoreMissingError
            There is no such version.
        """
        one, two = (Index.open(self.path, version=number).manifest for number in (old, new))
        before, after = verify.differing(self.path, one, two)
        chunks = [
            {chunk for document in side.values() for chunk in document.chunks} for side in (before, after)
        ]
        both = before.keys() & after.keys()
        changed = {key for key in both if before[key].chunks != after[key].chunks}
        metadata = {key for key in both - changed if before[key].metadata != after[key].metadata}
        kinds = [side.schema for side in (one, two)]
        names = sorted(kinds[0].keys() | kinds[1].keys())
        return Diff(
            one.version, two.version,
            added=_names(after, after.keys() - both), removed=_names(before, before.keys() - both),
            changed=_names(after, changed), metadata=_names(after, metadata),
            chunks_added=len(chunks[1] - chunks[0]), chunks_removed=len(chunks[0] - chunks[1]),
            fields={
                name: (kinds[0].get(name), kinds[1].get(name))
                for name in names if kinds[0].get(name) != kinds[1].get(name)
            },
        )  # fmt: skip

    def verify(self, version: int | None = None) -> verify.Verification:
        """Read and check every file of a version, by default the current one.

        The checks are those of `rag.index.storage.verify`.
        """
        return verify.verify(self.path, version)

    def rollback(self, version: int) -> int:
        """Make an older version current again, as a new version; return its number.

        Nothing is lost: the version that was current stays until it is pruned. The next build
        compares the files with the older version's.

        Raises
        ------
        StoreMissingError
            There is no such version.
        UsageError
            It is the current version.
        """
        # Reads nothing of the current version, which may be damaged.
        with locked(self.path, timeout_s=self.timeout_s):
            if version in held_versions(self.path):
                raise UsageError(f"version {version} was never current: `rag promote` makes it so")
            old = read_manifest(self.path, version)
            if version == pointer(self.path):
                raise UsageError(f"version {version} is the current one: there is nothing to roll back")
            manifest = replace(
                old, version=next_version(self.path), why=f"rollback to {version}",
                created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            )  # fmt: skip
            publish(self.path, manifest)
            return manifest.version

    def promote(self, version: int, because: str = "", by: str = "") -> int:
        """Make a version that is held back current; return its number.

        Parameters
        ----------
        version : int
        because, by : str
            Why, and who decides so; kept as `Version.why`.

        Raises
        ------
        StoreMissingError
            No such version is held back.
        UsageError
            A later one became current meanwhile, whose changes it lacks.
        """
        with locked(self.path, timeout_s=self.timeout_s):
            manifest = held.held(self.path, version)
            why = "".join(
                [manifest.why.partition(HELD_BACK)[0], ", promoted", f" by {by}" if by else "",
                 f": {because}" if because else ""]
            )  # fmt: skip
            publish(self.path, replace(manifest, why=why))
            manifest_path(self.path, version, HELD).unlink(missing_ok=True)
            fsync_folder(self.path / "manifests")
            return version

    def hold_back(self, version: int, reason: str) -> None:
        """Write down why a version is held back, as `Version.why`.

        Raises
        ------
        StoreMissingError
            No such version is held back.
        """
        with locked(self.path, timeout_s=self.timeout_s):
            before = held.held(self.path, version).why.partition(HELD_BACK)[0]
            held.explain(self.path, version, f"{before}{HELD_BACK}: {' '.join(reason.split())[:300]}")

    def prune(self, keep: int = 1) -> list[int]:
        """Delete all but the newest versions, and the files that only they used.

        Versions that are held back go, too, where a later one is current.

        Returns
        -------
        list of int
            The deleted versions.
        """
        whole("keep", keep)  # the current version always stays
        with locked(self.path, timeout_s=self.timeout_s, makes_room=True):
            deleted = kept_versions(self.path)[:-keep]
            for version in deleted:  # the manifests first, so that no version ever lacks a file
                (self.path / "manifests" / f"{version:06d}.json").unlink(missing_ok=True)
            fsync_folder(self.path / "manifests")
            deleted += held.drop(self.path, newest_version(self.path))
            clear_orphans(self.path)
        return sorted(deleted)

    def compact(self) -> int:
        """Merge all segments into one without the removed rows; return the version.

        Searches return the same before and after. Builds merge segments themselves when there are many
        (`rag.index.storage.compaction`).
        """
        with open_writer(self.path, timeout_s=self.timeout_s) as writer:
            manifest = writer.previous
            assert manifest is not None
            segments = manifest.segments
            dirty = len(segments) > 1 or any(s.gone or s.documents for s in segments)
            return writer.commit(compact=True, why="compact").version if dirty else manifest.version

    def edit(self, where: WhereLike, changes: Mapping[str, Any]) -> int:
        """Edit metadata of the documents that match a filter; no file is read, nothing is embedded.

        An edit lasts until the document's file changes and is indexed anew.

        Parameters
        ----------
        where : Where, str or dict
            A document is edited if any of its chunks matches.
        changes : mapping
            New values by field; None removes the field.

        Returns
        -------
        int
            The new version, or the current one where nothing matches.

        Examples
        --------
        >>> store.edit("source == 'policy.md'", {"status": "archived"})       # doctest: +SKIP
        """
        with open_writer(self.path, timeout_s=self.timeout_s) as writer:
            return edit(writer, where, changes)


def snapshot(writer: IndexWriter) -> Index:
    """Open the version that a writer starts from; its lock keeps it the current one."""
    assert writer.previous is not None
    return Index(writer.folder, writer.previous, None)


def edit(writer: IndexWriter, where: WhereLike, changes: Mapping[str, Any]) -> int:
    """Edit metadata under a writer's lock; see `Store.edit`."""
    index = snapshot(writer)
    bound = index.check(where)
    values = checked(changes)
    writer.schema = widened(index.manifest.schema, values)
    if not values or not index.count(bound):
        return index.version
    return writer.commit(edit=(bound, values), why="edit").version


def _names(side: Mapping[str, verify.Document], keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(side[key].name for key in keys))
