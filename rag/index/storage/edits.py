"""Changing documents' metadata in place of their files: no text is read, nothing is embedded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rag.core.errors import UsageError, WhereError
from rag.core.passages import RESERVED
from rag.index.filters.where import FieldType, Where
from rag.index.storage.exact_metadata import decode, encode
from rag.index.storage.schema import column, widen
from rag.index.storage.segment import Segment
from rag.index.storage.segment_writer import ORIGINAL


def widened(schema: Mapping[str, FieldType], changes: Mapping[str, Any]) -> dict[str, FieldType]:
    """Return a schema that holds the changed values, too.

    Raises
    ------
    UsageError
        A change names a field that `rag` writes itself, or one that is not there to be removed.
    """
    for name, value in changes.items():
        if name in RESERVED or name == ORIGINAL:
            raise UsageError(f"the field {name!r} is rag's own: it cannot be changed")
        if value is None and name not in schema:
            raise WhereError(f"no document has a field {name!r} to remove")
    given = {name: value for name, value in changes.items() if value is not None}
    return widen(schema, {}, given, "the edit", [])


def edited(
    segment: Segment,
    where: Where,
    changes: Mapping[str, Any],
    before: Mapping[str, FieldType],
    schema: Mapping[str, FieldType],
) -> pa.Table | None:
    """Return a segment's documents with the changes made, or None where none of them matches.

    Parameters
    ----------
    segment : Segment
    where : Where
        A document with any matching chunk is changed.
    changes : mapping
        New values by field; None removes the field.
    before, schema : mapping
        The fields' types before the change, which `where` is bound to, and after (`widened`).
    """
    rows = np.flatnonzero(segment.mask(where, before))
    if not len(rows):
        return None
    table = segment.documents.table().combine_chunks()
    hit = np.zeros(len(table), bool)
    hit[np.unique(segment.chunks.numbers("doc")[rows])] = True
    chosen = pa.array(hit)
    for name, value in changes.items():
        there = name in table.column_names
        old = table[name].to_pylist() if there else [None] * len(table)
        new = column([value if yes else before for yes, before in zip(hit, old, strict=True)], schema[name])
        table = (
            table.set_column(table.column_names.index(name), name, new)
            if there
            else table.append_column(name, new)
        )
    if ORIGINAL in table.column_names:
        texts = [
            _changed(text, changes) if text is not None else None
            for text in table[ORIGINAL].filter(chosen).to_pylist()
        ]
        at = table.column_names.index(ORIGINAL)
        whole = table[ORIGINAL].combine_chunks()
        table = table.set_column(
            at, ORIGINAL, pc.replace_with_mask(whole, chosen, pa.array(texts, pa.string()))
        )
    return table


def _changed(text: str, changes: Mapping[str, Any]) -> str:
    metadata = {**decode(text), **changes}
    return encode({name: value for name, value in metadata.items() if changes.get(name, 0) is not None}, "")
