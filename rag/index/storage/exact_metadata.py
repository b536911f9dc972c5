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

_DATE, _DATETIME, _TUPLE = "$date", "$datetime", "$tuple"


def encode(metadata: Mapping[str, Any], name: str) -> str:
    """Return metadata as JSON.

    Raises
    ------
    UsageError
        A value of document `name` is neither JSON nor a date.
    """
    try:
        return json.dumps({key: _plain(value) for key, value in metadata.items()}, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(
            f"the metadata of document {name!r} cannot be stored ({error}): use strings, numbers, "
            "booleans, dates, None, and lists and mappings of these"
        ) from None


def filterable(value: Any) -> bool:
    """Whether a filter can test a value: a plain one, or a list of plain ones."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(filterable(item) and not isinstance(item, list | tuple | set) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | bool | int | dt.date)


def decode(text: str) -> dict[str, Any]:
    """Return the metadata that `encode` turned into JSON."""
    metadata = json.loads(text, object_hook=_object)
    if not isinstance(metadata, dict):
        raise ValueError("metadata is not a mapping")
    return metadata


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return {_DATETIME: value.isoformat()}
    if isinstance(value, dt.date):
        return {_DATE: value.isoformat()}
    if isinstance(value, tuple):
        return {_TUPLE: [_plain(item) for item in value]}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a mapping's keys are strings")
        return {key: _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a NumPy scalar
        return _plain(value.item())
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def _object(value: dict[str, Any]) -> Any:
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == _DATE:
            return dt.date.fromisoformat(inner)
        if key == _DATETIME:
            return dt.datetime.fromisoformat(inner)
        if key == _TUPLE:
            return tuple(inner)
    return value
