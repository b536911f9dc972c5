"""Editing documents' metadata in the index: no file is read, nothing is embedded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rag.core.errors import UsageError, WhereError
from rag.core.passages import RESERVED
from rag.core.values import shown
from rag.index.filters.bind import Bound
from rag.index.filters.where import FieldType, Schema
from rag.index.storage import exact_metadata
from rag.index.storage.exact_metadata import decode, encode, filterable
from rag.index.storage.layout import ORIGINAL
from rag.index.storage.schema import column, widen
from rag.index.storage.segment import Segment


def checked(changes: object) -> dict[str, Any]:
    """Return the changes of an edit as Python's own values.

    Raises
    ------
    UsageError
        A value cannot be stored; the message names its field.
    """
    return exact_metadata.checked(changes, "the edit")


def widened(schema: Schema, changes: Mapping[str, Any]) -> dict[str, FieldType]:
    """Return a schema that also holds the changed values.

    Raises
    ------
    UsageError
        A change names a field that `rag` writes.
    WhereError
        A change removes a field that no document has.
    """
    for name, value in changes.items():
        if name in RESERVED or name == ORIGINAL:
            raise UsageError(f"the field {name!r} is written by rag: it cannot be edited")
        if value is None and name not in schema:
            raise WhereError(f"no document has a field {name!r} to remove")
    values = {name: value for name, value in changes.items() if value is not None}
    if nested := next((name for name, value in values.items() if not filterable(value)), None):
        raise UsageError(
            f"the field {nested!r} cannot be edited to {shown(values[nested])}: pass a string, number, "
            "boolean, date, or a list of strings"
        )
    return widen(schema, {}, values, "the edit", [])


def edited(segment: Segment, where: Bound, changes: Mapping[str, Any], schema: Schema) -> pa.Table | None:
    """Return a segment's documents with the changes applied, or None where no document matches.

    Parameters
    ----------
    segment : Segment
    where : Bound
        Bound to the fields' types before the edit; a document with any matching chunk is changed.
    changes : mapping
        New values by field; None removes the field.
    schema : mapping of str to FieldType
        The fields' types after the edit (`widened`).
    """
    rows = np.flatnonzero(segment.mask(where))
    if not len(rows):
        return None
    table = segment.documents.table().combine_chunks()
    matching = np.zeros(len(table), bool)
    matching[np.unique(segment.chunks.numbers("doc")[rows])] = True
    chosen = pa.array(matching)
    for name, value in changes.items():
        exists = name in table.column_names
        old = table[name].to_pylist() if exists else [None] * len(table)
        values = [value if chosen_ else before for chosen_, before in zip(matching, old, strict=True)]
        new = column(values, schema[name])
        table = (
            table.set_column(table.column_names.index(name), name, new)
            if exists
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
    return encode({name: value for name, value in metadata.items() if changes.get(name, 0) is not None})
