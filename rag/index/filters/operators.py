"""Operators of a filter and their names in each notation; values as the notations write them."""

from __future__ import annotations

import datetime as dt
from typing import Any

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
#: The string form's functions of a field and a string; beside them there is ``exists``.
FUNCTIONS = ("startswith", "contains", "string_contains", "list_contains")
#: Names that are values in the string form: a field with such a name is written ``field('…')``.
CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
#: Operators of a Knowledge Bases RetrievalFilter.
BEDROCK = {
    "equals": "==", "notEquals": "!=", "greaterThan": ">", "greaterThanOrEquals": ">=",
    "lessThan": "<", "lessThanOrEquals": "<=", "in": "in", "notIn": "not in",
    "startsWith": "startswith", "listContains": "list_contains",
    "stringContains": "string_contains",
}  # fmt: skip
#: Operators of LangChain's dict form.
LANGCHAIN = {
    "$eq": "==", "$ne": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<=",
    "$in": "in", "$nin": "not in",
}  # fmt: skip


def json_value(value: Any) -> Any:
    """Return a value as JSON has it: dates in ISO 8601, whole numbers without a fraction."""
    if isinstance(value, tuple | list):
        return [json_value(item) for item in value]
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
