"""Types of metadata fields: inferred from values, joined over documents, stored in Arrow columns."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from rag.index.filters.where import FieldType
from rag.index.storage.numbers import is_number, number_array

#: Fields that every row has beside the user's; a filter may use them.
BUILT_IN: dict[str, FieldType] = {
    "source": "string", "doc_id": "string", "chunk_id": "string", "start": "number",
    "end": "number", "page_start": "number", "page_end": "number", "section": "list",
}  # fmt: skip


def infer(value: Any) -> FieldType:
    """Return the type of one metadata value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, dt.datetime):
        return "datetime"
    if isinstance(value, dt.date):
        return "date"
    if isinstance(value, list | tuple | set | frozenset):
        return "list"
    return "string"


def join(one: FieldType, other: FieldType) -> FieldType:
    """Return the narrowest type that holds values of both.

    A list holds strings; a datetime holds dates; a string holds everything else. The result does not
    depend on the order of documents.
    """
    kinds = {one, other}
    if len(kinds) == 1:
        return one
    if kinds == {"date", "datetime"}:
        return "datetime"
    return "list" if "list" in kinds else "string"


def convert(value: Any, kind: FieldType) -> Any:
    """Convert a value to its field's joined type."""
    type_ = infer(value)
    if type_ == kind and kind != "list":
        if kind == "datetime":
            return value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return value
    if kind == "list":
        return [_text(item) for item in value] if type_ == "list" else [_text(value)]
    if kind == "datetime" and type_ == "date":
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    return _text(value)


def _text(value: Any) -> str:
    """Print a value the same way whichever types its field had before."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        moment = value.astimezone(dt.UTC) if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return moment.date().isoformat() if moment.time() == dt.time() else moment.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def column(values: Sequence[Any], kind: FieldType | None = None) -> pa.Array:
    """Return the Arrow column of a field; None marks a document without it.

    `kind` is by default the narrowest type that holds the values.
    """
    if kind is None:
        kinds = [infer(value) for value in values if value is not None]
        narrowest: FieldType = functools.reduce(join, kinds)
        return column(values, narrowest)
    items = [None if value is None else convert(value, kind) for value in values]
    return number_array(items) if kind == "number" else pa.array(items, ARROW[kind])


#: The Arrow types of all but numbers, which have several (`rag.index.storage.numbers`).
ARROW: dict[FieldType, pa.DataType] = {
    "string": pa.string(), "boolean": pa.bool_(), "date": pa.date32(),
    "datetime": pa.timestamp("us", tz="UTC"), "list": pa.list_(pa.string()),
}  # fmt: skip


def recast(values: pa.Array, kind: FieldType) -> pa.Array:
    """Return a column in the index's current type for it, which a later file may have widened."""
    stored = values.type
    if is_number(stored) if kind == "number" else stored.equals(ARROW[kind]):
        return values
    return column(values.to_pylist(), kind)


def widen(
    schema: Mapping[str, FieldType],
    examples: dict[str, str],
    metadata: Mapping[str, Any],
    source: str,
    notes: list[str],
    find: Callable[[str], str] = lambda name: "the index",
) -> dict[str, FieldType]:
    """Add a document's fields to a schema; note once per field that two files disagree on its type.

    Parameters
    ----------
    examples : dict of str to str
        For each field seen so far a file that has it; extended here.
    notes : list of str
        Extended here.
    find : callable
        Returns a file that has a field which is not in `examples`.
    """
    out = dict(schema)
    for name, value in metadata.items():
        kind = infer(value)
        known = out.get(name)
        out[name] = kind if known is None else join(known, kind)
        begin = f"field {name!r} is a "
        if known is not None and kind != known and not any(note.startswith(begin) for note in notes):
            other = examples.get(name) or find(name)
            notes.append(f"{begin}{known} in {other} and a {kind} in {source}: kept as {out[name]}")
        if known is None:
            examples[name] = source
    return out
