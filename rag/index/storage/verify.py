"""The checks of `Store.verify`, and the differences between two versions.

Every file has the SHA-256 of the manifest; every column is valid; the chunks of a document are in
order, with offsets as long as their texts and unique ids; vectors are finite and of unit length and
agree with their moments; postings add up to the rows' lengths; the table of sources counts the right
chunks; every file belongs to a version.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rag.core.displayable import Displayable
from rag.core.errors import RagError, StoreCorruptError
from rag.index.storage.columns import without_advice
from rag.index.storage.formats import FORMAT
from rag.index.storage.manifest import (
    Manifest,
    altered,
    files_of,
    kept_versions,
    newest_version,
    pointer,
    read_any_format,
    read_manifest,
)
from rag.index.storage.orphans import find_orphans
from rag.index.storage.segment import Segment, open_segment
from rag.index.storage.sources import open_sources, read_sources

_BLOCK = 1 << 15


@dataclass(frozen=True, slots=True, repr=False)
class Verification(Displayable):
    """The result of `Store.verify`.

    Attributes
    ----------
    version, files, bytes, chunks : int
        The version that was checked, and its size.
    problems : tuple of str
        The damage, a line each; empty for a sound version.
    orphans : tuple of str
        Files that no version names: harmless, deleted by the next build.
    advice : str
        What to do; empty for a sound version.
    """

    version: int
    files: int
    bytes: int
    chunks: int
    problems: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "sound": self.sound}

    @property
    def sound(self) -> bool:
        """Whether there is no damage."""
        return not self.problems


def verify(folder: Path, version: int | None = None) -> Verification:
    """Check a version, by default the current one; a missing version raises, damage is reported."""
    number = newest_version(folder) if version is None else version
    problems: list[str] = []
    files = size = chunks = 0
    if pointer(folder) is None:
        problems.append(f"{folder / 'CURRENT'} does not name a version")
    try:
        manifest = read_manifest(folder, number)
    except StoreCorruptError as error:
        problems.append(without_advice(error))
    else:
        chunks = manifest.chunks
        entries = files_of(manifest)
        files, size = len(entries), sum(file.bytes for file in entries)
        for file in altered(folder, entries):
            problems.append(f"{file.path} was altered: its SHA-256 differs from the manifest's")
        problems += _content(folder, manifest)
    orphans: list[Path] = []
    try:
        orphans = find_orphans(folder)
    except RagError as error:
        if not problems:
            problems.append(f"an older version is damaged: {without_advice(error)}")
    return Verification(
        number, files, size, chunks, tuple(dict.fromkeys(problems)),
        tuple(str(path.relative_to(folder)) for path in orphans),
        _advice(folder, number) if problems else "",
    )  # fmt: skip


def _advice(folder: Path, bad: int) -> str:
    """Name the newest undamaged other version, or say how to build anew."""
    for version in reversed(kept_versions(folder)):
        if version == bad and pointer(folder) is not None:
            continue
        try:
            written_in, manifest = read_any_format(folder, version)
            undamaged = not any(altered(folder, files_of(manifest)))
        except RagError:
            continue
        if undamaged:
            command = f"rag rollback {folder} {version}"
            if written_in < FORMAT:
                command = f"rag upgrade {folder} --version {version}"
            return f"version {version} is undamaged: `{command}`, then build again to bring it up to date"
    return "every other version is damaged: build again with --rebuild (the embedding cache is used)"


def _content(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Yield the damage inside a version's files."""
    per_source: Counter[str] = Counter()
    ids: Counter[str] = Counter()
    live = 0
    for entry in manifest.segments:
        try:
            segment = open_segment(folder, entry, manifest.embedder.dimensions)
            for problem in _segment(segment):
                yield f"segments/{entry.id}: {problem}"
            live += int(segment.live.sum())
            for row in _rows(segment, ("chunk_id", "doc")):
                per_source[row["source"]] += 1
                ids[row["chunk_id"]] += 1
        except RagError as error:
            yield without_advice(error)
    if live != manifest.chunks:
        yield f"there are {live} chunks, the manifest says {manifest.chunks}"
    repeated = [name for name, count in ids.items() if count > 1]
    if repeated:
        yield f"{len(repeated)} chunk ids occur more than once, such as {repeated[0]!r}"
    try:
        for record in read_sources(open_sources(folder / manifest.sources.path)):
            if record.chunks != per_source[record.source]:
                yield (
                    f"{record.source} has {per_source[record.source]} chunks, the table of sources says "
                    f"{record.chunks}"
                )
    except RagError as error:
        yield without_advice(error)


def _segment(segment: Segment) -> Iterator[str]:
    last: tuple[int, int] = (-1, 0)
    columns = ("doc", "start", "end", "text", "page_start", "page_end")
    for row in _rows(segment, columns, removed_too=True):
        if row["end"] - row["start"] != len(row["text"]) or row["start"] < 0:
            yield f"a chunk of {row['source']} at {row['start']} does not have the length of its offsets"
        if (row["doc"], row["start"]) < last:
            yield f"the chunks of {row['source']} are not in order"
        if row["page_start"] is not None and (row["page_end"] or 0) < row["page_start"]:
            yield f"a chunk of {row['source']} ends on a page before its first"
        last = (row["doc"], row["start"])
    total = np.zeros(segment.dimensions)
    for at in range(0, segment.rows, _BLOCK):
        block = segment.vectors[at : at + _BLOCK]
        norms = np.linalg.norm(block, axis=1)
        if not np.all((np.abs(norms - 1) < 1e-3) | (norms == 0)):
            yield f"vectors from row {at} are not of unit length"
        total += block.sum(0, dtype=np.float64)
    if segment.moments is not None and not np.allclose(
        segment.moments[0], total, atol=1e-3 * segment.rows**0.5
    ):
        yield "moments.npy does not belong to these vectors"
    _, ends, rows, frequency = segment.postings.everything()
    counted = np.bincount(rows, frequency, segment.rows)
    if not np.array_equal(counted, segment.postings.lengths) and frequency.max(initial=0) < 65535:
        yield "the postings do not add up to the lengths of the rows"
    term = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    if np.any((np.diff(term) == 0) & (np.diff(rows) < 1)):
        yield "the postings of a term are not in order"
    _ = segment.heading_vectors


def _rows(segment: Segment, names: tuple[str, ...], *, removed_too: bool = False) -> Iterator[dict[str, Any]]:
    """Yield live rows (or all) as plain values, with their document's source and id."""
    documents = segment.documents.table().select(["source", "doc_id"]).to_pydict()
    _ = segment.document_of_row  # raises if the documents' numbers are damaged
    columns = [segment.chunks.chunks(name) for name in names]
    at = 0
    for parts in zip(*columns, strict=True):
        for values in zip(*(part.to_pylist() for part in parts), strict=True):
            if removed_too or segment.live[at]:
                row = dict(zip(names, values, strict=True))
                yield {
                    **row,
                    "source": documents["source"][row["doc"]],
                    "doc_id": documents["doc_id"][row["doc"]],
                }
            at += 1


# ---------------------------------------------------------------------- differences


@dataclass(slots=True)
class Document:
    """A document of one version: its name, its chunks' ids, and its metadata (hashed)."""

    name: str
    metadata: bytes
    chunks: set[str] = field(default_factory=set)


def differing(folder: Path, one: Manifest, two: Manifest) -> tuple[dict[str, Document], dict[str, Document]]:
    """Return by id the documents of the segments that only one of two versions has."""
    shared = set(one.segments) & set(two.segments)
    sides = []
    for manifest in (one, two):
        documents: dict[str, Document] = {}
        for entry in manifest.segments:
            if entry not in shared:
                segment = open_segment(folder, entry, manifest.embedder.dimensions)
                _collect(segment, documents)
        sides.append(documents)
    return sides[0], sides[1]


def _collect(segment: Segment, documents: dict[str, Document]) -> None:
    table = segment.documents.table().to_pylist()
    for row in _rows(segment, ("chunk_id", "doc")):
        key = row["doc_id"]
        if key not in documents:
            values = {name: str(value) for name, value in table[row["doc"]].items() if value is not None}
            digest = hashlib.blake2b(json.dumps(values, sort_keys=True).encode()).digest()
            documents[key] = Document(row["source"] or key, digest)
        documents[key].chunks.add(row["chunk_id"])
