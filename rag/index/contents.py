"""What a snapshot of an index holds: its documents, and the fields of their metadata with frequent values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rag.index.filters.where import FieldType, Schema
from rag.index.storage import numbers
from rag.index.storage.arrays import int64, numbers_of
from rag.index.storage.columns import Columns, reading
from rag.index.storage.schema import recast
from rag.index.storage.segment import Segment

#: Most fields whose values are counted, and most values of each that are named.
MOST_FIELDS, MOST_VALUES = 50, 5
_ORDERED = ("number", "date", "datetime")


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """A field of the metadata.

    Attributes
    ----------
    documents : int or None
        Documents that have it; None for a field beyond `MOST_FIELDS`, whose values are not counted.
    distinct : int
        Different values; of a list, different members.
    values : tuple of (str, int)
        The most frequent ones, each with its documents; equal counts in order of the values.
    least, most : str
        The smallest and the largest number or moment; empty where the field has none.
    """

    name: str
    type: FieldType
    documents: int | None = None
    distinct: int = 0
    values: tuple[tuple[str, int], ...] = ()
    least: str = ""
    most: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """What an index holds.

    Attributes
    ----------
    documents : int
        Documents with at least one chunk.
    quarantined : int
        Files that could not be indexed.
    fields : tuple of FieldSummary
        In order of their names.
    """

    documents: int
    quarantined: int
    fields: tuple[FieldSummary, ...]


def contents(segments: Sequence[Segment], sources: Columns, schema: Schema) -> Contents:
    """Count documents and values, over columns: no text is read.

    Parameters
    ----------
    segments : sequence of Segment
    sources : Columns
        The version's table of sources.
    schema : mapping of str to FieldType
        The user's fields.
    """
    held = [_documents(segment) for segment in segments]
    fields = [
        _summary(name, schema[name], segments, held) if at < MOST_FIELDS else FieldSummary(name, schema[name])
        for at, name in enumerate(sorted(schema))
    ]
    with reading(sources.path):
        bad = sum(pc.sum(pc.not_equal(part, "")).as_py() or 0 for part in sources.chunks("reason"))
    return Contents(sum(map(len, held)), int(bad), tuple(fields))


def _documents(segment: Segment) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the numbers of the documents of which a chunk is left."""
    counts = np.bincount(segment.document_of_row[segment.live], minlength=len(segment.documents))
    return np.flatnonzero(counts)


def _summary(
    name: str,
    kind: FieldType,
    segments: Sequence[Segment],
    held: Sequence[np.ndarray[tuple[int], np.dtype[np.int64]]],
) -> FieldSummary:
    columns: list[pa.Array] = []
    documents = 0
    for segment, alive in zip(segments, held, strict=True):
        if name not in segment.documents.names:
            continue
        with reading(segment.documents.path):
            column = recast(pa.concat_arrays(segment.documents.chunks(name)), kind)
            if len(alive) < len(column):
                column = column.take(int64(alive))
            if column.type.equals(numbers.MIXED):  # Arrow counts no values of two types
                column = pa.array([None if value is None else str(value) for value in column.to_pylist()])
            documents += len(column) - column.null_count
            # Of a list each member counts once a document, as a filter would.
            columns.append(_members(column) if kind == "list" else column.drop_null())
    if not columns:
        return FieldSummary(name, kind, documents)
    if kind == "number" and any(pa.types.is_string(column.type) for column in columns):
        columns = [column.cast(pa.string()) for column in columns]
    elif kind == "number":
        columns = numbers.of_one_type(columns)
    elif kind == "boolean":
        columns = [column.cast(pa.string()) for column in columns]
    counts = pa.Table.from_struct_array(pc.value_counts(pa.chunked_array(columns)))
    order = [("counts", "descending"), ("values", "ascending")]
    best = counts.take(pc.select_k_unstable(counts, k=MOST_VALUES, sort_keys=order)).to_pylist()
    values = tuple((str(each["values"]), each["counts"]) for each in best)
    ends = pc.min_max(counts["values"]).as_py() if kind in _ORDERED and _comparable(columns[0].type) else {}
    least, most = (str(ends[end]) if ends.get(end) is not None else "" for end in ("min", "max"))
    return FieldSummary(name, kind, documents, len(counts), values, least, most)


def _comparable(kind: pa.DataType) -> bool:
    """Whether Arrow compares a column's values as a filter does: numbers that became text are not."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_temporal(kind))


def _members(column: pa.ListArray) -> pa.Array:
    """Return the members of lists, each once a list.

    Not by Arrow's `group_by`, whose first use imports pandas wherever it is installed.
    """
    encoded = pc.list_flatten(column).drop_null().dictionary_encode()
    present = pc.is_valid(pc.list_flatten(column))
    of = numbers_of(pc.list_parent_indices(column).filter(present)).astype(np.int64)
    most = max(len(encoded.dictionary), 1)
    codes = np.unique(of * most + numbers_of(encoded.indices)) % most
    return encoded.dictionary.take(int64(codes))
