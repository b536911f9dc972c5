"""Values of a filter as its notations write them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rag.core.values import plain


def json_value(value: Any) -> Any:
    """Return a value as JSON has it: dates in ISO 8601, whole numbers without a fraction."""
    if isinstance(value, tuple | list):
        return [json_value(item) for item in value]
    value = _own(value)
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def literal(value: Any) -> str:
    """Print a value as the string form writes it: a date as ``date('2025-01-31')``."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(literal, value))}]"
    value = _own(value)
    if isinstance(value, dt.date):  # a datetime is one, too
        name = "datetime" if isinstance(value, dt.datetime) else "date"
        return f"{name}({value.isoformat()!r})"
    return repr(json_value(value))


def _own(value: Any) -> Any:
    """Return a value of NumPy or pandas as Python's own; one that has none is for `bind` to refuse."""
    try:
        return plain(value)
    except ValueError:
        return value
