"""Compare the files of a source with those of an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rag.core.errors import LoadError
from rag.core.extras import can_be_read_now
from rag.core.files import SourceFile
from rag.index.storage.forgotten import NONE_FORGOTTEN, ForgottenSources
from rag.index.storage.manifest import Manifest
from rag.index.storage.sources import SourceRecord, open_sources, read_sources
from rag.loading.base import BuildLoader


@dataclass
class Change:
    """What differs between the files and the index.

    Attributes
    ----------
    records : dict of str to SourceRecord
        The index's table of sources after the build, filled in as files are read.
    todo : list of SourceFile
        Files to read: new or changed ones, or quarantined ones to retry.
    outdated : set of str
        Sources whose chunks leave the index.
    counts : dict of str to int
        Files ``added``, ``changed``, ``removed``, ``renamed`` and ``unchanged``.
    notes : list of str
        What the user should know about the files that were read.
    any : bool
        Whether the index has to change.
    """

    records: dict[str, SourceRecord]
    todo: list[SourceFile] = field(default_factory=list)
    outdated: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    any: bool = False

    def record(self, file: SourceFile, chunks: int, error: LoadError | None) -> None:
        """Record that a file was read, or why it could not be."""
        reason, advice = (error.reason, error.advice) if error else ("", "")
        self.records[file.source] = SourceRecord(
            file.source, file.sha256, file.metadata_sha256, file.bytes, chunks, reason, advice
        )


def compare(
    loader: BuildLoader,
    files: Sequence[SourceFile],
    folder: Path,
    previous: Manifest | None,
    *,
    retry: bool,
    forgotten: ForgottenSources = NONE_FORGOTTEN,
) -> Change:
    """Compare the files with the index, by content and metadata.

    Parameters
    ----------
    loader : BuildLoader
    files : sequence of SourceFile
        What the loader lists.
    folder : Path
        The index's.
    previous : Manifest or None
        The index's current version; None where there is none.
    retry : bool
        Read quarantined files again though they have not changed.
    forgotten : ForgottenSources
        Files with these names are left out, and new ones with their content.
    """
    old: dict[str, SourceRecord] = {}
    if previous is not None:
        table = read_sources(open_sources(folder / previous.sources.path))
        old = {record.source: record for record in table}
    change = Change({})
    added, changed, unchanged = [], 0, 0
    skipped = [file.source for file in files if forgotten.has(file.source)]
    files = [file for file in files if not forgotten.has(file.source)] if skipped else files
    for file, error in loader.hashed(files):
        before = old.get(file.source)
        if before is None and forgotten.has_content(file.sha256):
            skipped.append(file.source)
            continue
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
    names = {file.source for file in files}
    gone = [record for name, record in old.items() if name not in names]
    change.outdated |= {record.source for record in gone}
    new = Counter(file.sha256 for file in change.todo if file.source not in old)
    left = Counter(record.sha256 for record in gone if record.sha256)
    renamed = (new & left).total()
    change.any |= bool(change.todo or gone)
    change.notes += forgotten.notes(skipped, folder)
    change.counts = {
        "added": len(added) - renamed, "changed": changed, "removed": len(gone) - renamed,
        "renamed": renamed, "unchanged": unchanged,
    }  # fmt: skip
    return change
