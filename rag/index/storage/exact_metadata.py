"""Exact metadata as JSON: nested values, nulls and mixed types that a typed column would change.

Columns serve filters, where a field has one type. A user of a vector store expects the metadata of a
document back unchanged.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import Any

from rag.core.errors import UsageError
from rag.core.values import plain, shown, storable
from rag.index.storage.numbers import LEAST, MOST

_DATE, _DATETIME, _TUPLE, _PAIRS = "$date", "$datetime", "$tuple", "$pairs"
_MARKS = frozenset({_DATE, _DATETIME, _TUPLE, _PAIRS})
#: Levels of nesting up to which metadata are stored; Python's JSON parser reads some hundreds.
_DEEPEST = 50


def checked(metadata: object, whose: str) -> dict[str, Any]:
    """Return metadata as Python's own values; scalars of NumPy and pandas become the values they equal.

    Parameters
    ----------
    metadata : mapping
    whose : str
        Names the document in messages, e.g. ``"document 'a'"``.

    Raises
    ------
    UsageError
        A value is neither JSON nor a date; the message names its field.
    """
    if not isinstance(metadata, Mapping):
        raise UsageError(f"the metadata of {whose} is {shown(metadata)}: pass a mapping of names to values")
    out: dict[str, Any] = {}
    for name, value in metadata.items():
        if not isinstance(name, str) or not storable(name):
            raise UsageError(f"{whose} has a field named {shown(name)}: a field's name is a string")
        try:
            out[name] = value = _checked(value, 0)
        except ValueError as error:
            raise UsageError(f"{whose}: the field {name!r} cannot be stored: {error}") from None
        if type(value) is int and not LEAST <= value <= MOST:
            raise UsageError(
                f"{whose}: the field {name!r} is {shown(value)}, which has more than 64 bits: store it as "
                "a string"
            )
    return out


def encode(metadata: Mapping[str, Any]) -> str:
    """Return metadata that were `checked` as JSON."""
    return json.dumps(_marked(metadata), ensure_ascii=False)


def filterable(value: Any) -> bool:
    """Whether a filter can test a value that was `checked`: a plain one, or a list of plain ones."""
    if isinstance(value, list | tuple):
        return all(isinstance(item, str | bool | int | float | dt.date) for item in value)
    return isinstance(value, str | bool | int | float | dt.date)


def decode(text: str) -> dict[str, Any]:
    """Return the metadata that `encode` turned into JSON."""
    metadata = json.loads(text, object_hook=_object)
    if not isinstance(metadata, dict):
        raise ValueError("metadata is not a mapping")
    return metadata


def _checked(value: Any, depth: int) -> Any:
    try:
        value = plain(value)
    except ValueError as error:
        raise ValueError(f"{shown(value)} {error}") from None
    if depth > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
    if isinstance(value, str) and not storable(value):
        raise ValueError(f"{shown(value)} holds half of a surrogate pair; decode it correctly")
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "infinite"
        raise ValueError(f"{value} is {name}; leave the field out, or write None")
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        try:
            value.astimezone(dt.UTC)
        except OverflowError:
            raise ValueError(f"{value.isoformat()} is outside the years 1 to 9999 in UTC") from None
    if value is None or isinstance(value, str | bool | int | float | dt.date):
        return value
    if isinstance(value, tuple):
        return tuple(_checked(item, depth + 1) for item in value)
    if isinstance(value, list):
        return [_checked(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or not storable(key):
                raise ValueError(f"the key {shown(key)} of a mapping is no string")
        return {key: _checked(item, depth + 1) for key, item in value.items()}
    raise ValueError(
        f"{shown(value)} is a {type(value).__name__}; use strings, numbers, booleans, dates, None, and lists "
        "and mappings of these"
    )


def _marked(value: Any) -> Any:
    """Return a value as JSON has it, with marks around dates and tuples; a mapping like a mark as pairs."""
    if isinstance(value, dt.datetime):
        return {_DATETIME: value.isoformat()}
    if isinstance(value, dt.date):
        return {_DATE: value.isoformat()}
    if isinstance(value, tuple):
        return {_TUPLE: [_marked(item) for item in value]}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    if isinstance(value, Mapping):
        if len(value) == 1 and value.keys() <= _MARKS:
            return {_PAIRS: [[key, _marked(item)] for key, item in value.items()]}
        return {key: _marked(item) for key, item in value.items()}
    return value


def _object(value: dict[str, Any]) -> Any:
    """Undo `_marked`; what only looks like a mark (in files that did not escape them) stays as it is."""
    if len(value) != 1:
        return value
    ((key, inner),) = value.items()
    try:
        if key == _DATE:
            return dt.date.fromisoformat(inner)
        if key == _DATETIME:
            return dt.datetime.fromisoformat(inner)
        if key == _TUPLE and isinstance(inner, list):
            return tuple(inner)
        if key == _PAIRS:
            return dict(inner)
    except (TypeError, ValueError):
        pass
    return value
