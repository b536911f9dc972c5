"""Documents to be erased, picked by source or by filter in every version that an index keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from rag.core.errors import RagError, WhereError
from rag.index.filters.bind import Bound, bind
from rag.index.filters.parse import WhereLike, parse
from rag.index.filters.where import Where
from rag.index.storage.columns import without_advice
from rag.index.storage.formats import FORMAT
from rag.index.storage.manifest import (
    Manifest,
    SegmentEntry,
    held_versions,
    kept_versions,
    read_any_format,
    read_manifest,
)
from rag.index.storage.schema import BUILT_IN
from rag.index.storage.segment import Segment, open_segment

#: Characters of a metadata value that can be told from those of other documents.
_LONG = 48

Documents = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Versions:
    """All versions of an index, those held back included.

    Attributes
    ----------
    current : Manifest
    readable : tuple of Manifest
        Newest first; the current one is among them.
    unreadable : mapping of int to str
        Versions that are damaged, or of an older format, and why they cannot be rewritten.
    """

    current: Manifest
    readable: tuple[Manifest, ...]
    unreadable: Mapping[int, str]

    @property
    def entries(self) -> list[tuple[Manifest, SegmentEntry]]:
        """Each segment once, with all rows that its files hold, and the newest version that has it."""
        seen: dict[str, tuple[Manifest, SegmentEntry]] = {}
        for manifest in self.readable:
            for entry in manifest.segments:
                seen.setdefault(entry.id, (manifest, whole(entry)))
        return list(seen.values())


@dataclass(frozen=True, slots=True)
class Selection:
    """Documents by the names of their sources, or by their ids."""

    sources: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.sources or self.ids)

    def of(self, segment: Segment) -> Documents:
        """Return which documents of a segment's files are selected."""
        names = _values(segment, "source")
        ids = _values(segment, "doc_id")
        return np.array(
            [name in self.sources or id in self.ids for name, id in zip(names, ids, strict=True)], bool
        )


def whole(entry: SegmentEntry) -> SegmentEntry:
    """Return a segment as it was written: without removed rows or edited metadata."""
    return replace(entry, removed=None, gone=0, documents=None)


def versions_of(folder: Path) -> Versions:
    """Read all manifests of an index.

    Raises
    ------
    RagError
        There is no index, or its current version is damaged or of an older format.
    """
    current = read_manifest(folder)
    readable, unreadable = [], dict[int, str]()
    for number in sorted({*kept_versions(folder), *held_versions(folder)}, reverse=True):
        if number == current.version:
            readable.append(current)
            continue
        try:
            written_in, manifest = read_any_format(folder, number)
            for entry in manifest.segments if written_in == FORMAT else ():
                open_segment(folder, entry, manifest.embedder.dimensions)
        except RagError as error:
            unreadable[number] = without_advice(error)
            continue
        if written_in == FORMAT:
            readable.append(manifest)
        else:
            unreadable[number] = f"it has format {written_in}, which is no longer written"
    return Versions(current, tuple(readable), unreadable)


def names_of(folder: Path, versions: Versions) -> set[str]:
    """Return the sources of all documents that any segment's files hold."""
    return {
        name
        for manifest, entry in versions.entries
        for name in _values(open_segment(folder, entry, manifest.embedder.dimensions), "source") if name
    }  # fmt: skip


def matching(folder: Path, versions: Versions, where: WhereLike) -> frozenset[str]:
    """Return the ids of the documents that match a filter, as they are in the newest version with them.

    So a document whose metadata have been corrected is judged by the corrected ones. Those that no version
    has any more, though a segment's files do, are judged by what the files hold.

    Raises
    ------
    WhereError
        The filter cannot be read, or fits no version.
    """
    tree = parse(where)
    bounds = [_bound(tree, manifest) for manifest in versions.readable]
    fitting = [bound for bound in bounds if isinstance(bound, Bound)]
    if not fitting:
        raise next(bound for bound in bounds if isinstance(bound, WhereError))
    found: set[str] = set()
    decided: set[str] = set()
    for manifest, bound in zip(versions.readable, bounds, strict=True):
        rule = bound if isinstance(bound, Bound) else None
        here: set[str] = set()
        for entry in manifest.segments:
            segment = open_segment(folder, entry, manifest.embedder.dimensions)
            ids = _ids_of(segment, segment.live) - decided
            here |= ids
            if rule is not None and ids:
                found |= _ids_of(segment, segment.mask(rule)) & ids
        decided |= here
    for manifest, entry in versions.entries:
        segment = open_segment(folder, entry, manifest.embedder.dimensions)
        left = _ids_of(segment, segment.live) - decided
        bound = _bound(tree, manifest)
        if left and isinstance(bound, Bound):
            found |= _ids_of(segment, segment.mask(bound)) & left
    return frozenset(found)


def _bound(tree: Where, manifest: Manifest) -> Bound | WhereError:
    try:
        return bind(tree, MappingProxyType({**manifest.schema, **BUILT_IN}))
    except WhereError as error:
        return error


def _ids_of(segment: Segment, rows: npt.NDArray[np.bool_]) -> set[str]:
    ids = _values(segment, "doc_id")
    return {ids[number] for number in np.unique(segment.document_of_row[rows]).tolist()}


def _values(segment: Segment, name: str) -> list[str]:
    return [value for part in segment.documents.chunks(name) for value in part.to_pylist()]


def texts_of(
    folder: Path, versions: Versions, selection: Selection, *, selected: bool
) -> Iterator[tuple[Sequence[str], str]]:
    """Yield, for each row of the selected documents (or of all others), its texts and its heading path.

    Of all files of all segments, whether a version has the row or not. The texts are the chunk's, the one
    between it and the next, the head of its table, and the longer ones of its document's metadata, with the
    first chunk: a short value, such as a type of file, is no trace of a document.
    """
    for manifest, entry in versions.entries:
        segment = open_segment(folder, entry, manifest.embedder.dimensions)
        rows = selection.of(segment)[segment.document_of_row] == selected
        if not rows.any():
            continue
        columns = {
            name: [value for part in segment.chunks.chunks(name) for value in part.to_pylist()]
            for name in ("text", "gap", "table_head", "section")
        }
        documents = segment.documents.table().to_pylist()
        last = -1
        for row in np.flatnonzero(rows).tolist():
            number = int(segment.document_of_row[row])
            document = documents[number]
            texts = [columns[name][row] for name in ("text", "gap", "table_head") if columns[name][row]]
            if number != last:
                texts += [text for text in _strings(document) if len(text) >= _LONG]
            last = number
            title = str(document.get("title") or Path(document["source"] or "").stem)
            yield texts, " > ".join(dict.fromkeys([title, *(columns["section"][row] or ())]))


def _strings(document: Mapping[str, object]) -> Iterator[str]:
    for name, value in document.items():
        if name not in ("doc_id", "source"):
            yield from (
                each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)
            )
