"""Looking after an index: its versions, its files, and what is wrong with them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rag.core.errors import StoreMissingError, UsageError
from rag.core.files import Quarantined
from rag.index.filters.parse import WhereLike
from rag.index.index import Index
from rag.index.storage import verify
from rag.index.storage.edits import widened
from rag.index.storage.manifest import fsync_folder, kept_versions, newest_version, pointer, read_manifest
from rag.index.storage.sources import quarantined
from rag.index.storage.writer import clear_orphans, open_writer


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an index.

    Attributes
    ----------
    why : str
        What made it: ``"build"``, ``"compact"``, ``"rollback to 3"``, ``"edit"``, ``"add"``, …
    error : str
        What is wrong with it; empty for one that can be opened.
    """

    number: int
    created: str
    why: str
    files: int
    chunks: int
    segments: int
    current: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Diff:
    """What differs between two versions, by document (a source, or the id of one without)."""

    old: int
    new: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    metadata: tuple[str, ...]
    chunks_added: int
    chunks_removed: int
    fields: Mapping[str, tuple[str | None, str | None]]


class Store:
    """An index's folder, to be looked after.

    Reading needs no lock; what writes (`rollback`, `prune`, `compact`, `edit`) makes a new version or
    takes old ones away, and leaves readers the version that they have open.

    Examples
    --------
    >>> store = rag.Store("indexes/handbook")                                # doctest: +SKIP
    >>> [version.why for version in store.versions()]                        # doctest: +SKIP
    ['build', 'build', 'rollback to 1']
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not newest_version(self.path):
            raise StoreMissingError(
                f"there is no index in {self.path}: build it with `rag build SRC {self.path}`"
            )

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def versions(self) -> list[Version]:
        """Return the versions that are kept, oldest first."""
        current = newest_version(self.path)
        out = []
        for number in kept_versions(self.path):
            try:
                manifest = read_manifest(self.path, number)
            except Exception as error:  # a damaged version is shown with what is wrong
                out.append(Version(number, "", "", 0, 0, 0, number == current, str(error)))
                continue
            out.append(Version(
                number, manifest.created, manifest.why, manifest.files, manifest.chunks,
                len(manifest.segments), number == current,
            ))  # fmt: skip
        return out

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Return the files that the last build could not index, why, and what to do."""
        return quarantined(Index.open(self.path).sources)

    def diff(self, old: int, new: int | None = None) -> Diff:
        """Compare two versions; by default with the current one.

        Raises
        ------
        StoreMissingError
            A version is not kept any more.
        """
        one, two = (Index.open(self.path, version=number) for number in (old, new))
        before, after = verify.differing(one, two)
        chunks = [
            {chunk for document in side.values() for chunk in document.chunks} for side in (before, after)
        ]
        both = before.keys() & after.keys()
        changed = {key for key in both if before[key].chunks != after[key].chunks}
        metadata = {key for key in both - changed if before[key].metadata != after[key].metadata}
        kinds = [side.manifest.schema for side in (one, two)]
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
        """Read every file of a version (by default the current one) and check all there is to check.

        See `rag.index.storage.verify`.
        """
        return verify.verify(self.path, version)

    def rollback(self, version: int) -> int:
        """Make an older version current again, as a new version; return its number.

        Nothing is lost: the version that was current stays until it is pruned. The next build
        compares the files with what the older version held.

        Raises
        ------
        StoreMissingError
            The version is not kept any more.
        """
        # Nothing of the current version is needed, which may be damaged.
        with open_writer(self.path, self._embedder(version), rebuild=True) as writer:
            old = read_manifest(self.path, version)
            if version == pointer(self.path):
                raise UsageError(f"version {version} is the current one: there is nothing to roll back")
            manifest = replace(
                old, version=writer.version, why=f"rollback to {version}",
                created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            )  # fmt: skip
            writer.publish(manifest)
            return manifest.version

    def prune(self, keep: int = 1) -> list[int]:
        """Delete all but the newest versions, and the files that only they used.

        Returns
        -------
        list of int
            The versions that are gone.
        """
        if keep < 1:
            raise UsageError(f"keep is {keep}: the current version always stays")
        with open_writer(self.path, self._embedder(None), rebuild=True):
            gone = kept_versions(self.path)[:-keep]
            for version in gone:  # the manifests first: whatever happens then, no version lacks a file
                (self.path / "manifests" / f"{version:06d}.json").unlink(missing_ok=True)
            fsync_folder(self.path / "manifests")
            clear_orphans(self.path)
        return gone

    def compact(self) -> int:
        """Merge all segments into one, and drop removed rows; return the version.

        Search finds the same before and after. Builds merge what has piled up by themselves.
        """
        with open_writer(self.path) as writer:
            manifest = writer.previous
            assert manifest is not None
            segments = manifest.segments
            dirty = len(segments) > 1 or any(s.gone or s.documents for s in segments)
            return writer.commit(compact=True, why="compact").version if dirty else manifest.version

    def edit(self, where: WhereLike, changes: Mapping[str, Any]) -> int:
        """Change metadata of the documents that match a filter; nothing is read or embedded again.

        A change lasts until the document's file changes and is read anew.

        Parameters
        ----------
        where : Where, str or dict
            A document is changed if any of its chunks matches.
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
        with open_writer(self.path) as writer:
            index = Index.open(self.path)
            bound = index.check(where)
            writer.schema = widened(index.manifest.schema, changes)
            if not changes or not index.count(bound):
                return index.version
            return writer.commit(edit=(bound, changes), why="edit").version

    def _embedder(self, version: int | None) -> Any:
        """Return a version's embedder; of the newest that can be read where the current one cannot."""
        if version is None:
            for number in reversed(kept_versions(self.path)):
                try:
                    return read_manifest(self.path, number).embedder
                except Exception:  # look on: the caller only needs the lock
                    continue
        return read_manifest(self.path, version).embedder


def _names(side: Mapping[str, verify.Document], keys: Any) -> tuple[str, ...]:
    return tuple(sorted(side[key].name for key in keys))
