"""Filters as Retrieve takes them: the service's names for source and page, and its limits."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rag.core.errors import WhereError
from rag.core.passages import RESERVED

#: Most characters of a filter's key (botocore 1.44.5's model of bedrock-agent-runtime).
MAX_KEY = 100
SOURCE_KEY = "x-amz-bedrock-kb-source-uri"
PAGE_KEY = "x-amz-bedrock-kb-document-page-number"
#: Behind a date's name: the number by which it is compared in order, which `rag kb upload` writes.
DAY = "_day"
_ORDERED = ("greaterThan", "greaterThanOrEquals", "lessThan", "lessThanOrEquals")


def day_number(day: dt.date) -> int:
    """Return the number that stands for a date.

    Examples
    --------
    >>> day_number(dt.date(2025, 1, 31))
    20250131
    """
    return day.year * 10_000 + day.month * 100 + day.day


def retrieval_filter(
    filter_: Mapping[str, Any], prefix: str = "", is_day: Callable[[str], bool] = lambda name: False
) -> dict[str, Any]:
    """Return a RetrievalFilter that the service accepts, with its names for source and page.

    The Bedrock User Guide ("Configure and customize queries") restricts values: order comparisons
    take numbers; ``in`` and ``notIn`` take strings, so lists of numbers and booleans become single
    comparisons.

    Parameters
    ----------
    filter_ : mapping
        A RetrievalFilter with the field names of an index.
    prefix : str
        The bucket and folder of the sources.
    is_day : callable
        Tells whether the documents have a number (`day_number`) beside the date of this name.

    Raises
    ------
    WhereError
        The service cannot express a condition exactly.

    Examples
    --------
    >>> retrieval_filter({"in": {"key": "year", "value": [2023, 2024]}})["orAll"][0]
    {'equals': {'key': 'year', 'value': 2023}}
    """
    ((name, body),) = filter_.items()
    if name in ("andAll", "orAll"):
        return {name: [retrieval_filter(part, prefix, is_day) for part in body]}
    key, value = body["key"], body["value"]
    if key == "source":
        key, value = SOURCE_KEY, _as_uri(name, value, prefix)
    elif key == "page_start":
        key = PAGE_KEY
    elif key in RESERVED:
        raise WhereError(f"a knowledge base does not store {key!r}: omit it from the filter")
    if len(key) > MAX_KEY:
        raise WhereError(f"{key!r} has {len(key)} characters: a knowledge base's keys have at most {MAX_KEY}")
    if name in _ORDERED and isinstance(value, str) and is_day(key):
        with contextlib.suppress(ValueError):
            key, value = key + DAY, day_number(dt.date.fromisoformat(value))
    if name in _ORDERED and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise WhereError(
            f"{key!r}: a knowledge base compares only numbers by order, not {value!r}: store it as a number "
            'too, such as 20250131; with those of `rag kb upload`, set dates = "day"'
        )
    if name in ("in", "notIn"):
        return _listed(name, key, value)
    return {name: {"key": key, "value": value}}


def _as_uri(name: str, value: Any, prefix: str) -> Any:
    if not prefix.startswith("s3://"):
        raise WhereError("a filter on source needs the bucket: set prefix to s3://bucket/path/")
    if name == "stringContains":  # it would also match the bucket's name
        raise WhereError("a knowledge base cannot search inside source: use == or startswith")
    below = f"{prefix.rstrip('/')}/"
    return [below + str(one) for one in value] if isinstance(value, list) else f"{below}{value}"


def _listed(name: str, key: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return ``in`` or ``notIn``; for numbers and booleans as comparisons with single values."""
    if not values:
        raise WhereError(f"{key!r}: a knowledge base cannot compare with an empty list: omit this condition")
    if all(isinstance(value, str) for value in values):
        return {name: {"key": key, "value": list(values)}}
    if name == "in":
        tests = [{"equals": {"key": key, "value": value}} for value in values]
        return tests[0] if len(tests) == 1 else {"orAll": tests}
    if any(isinstance(value, str) for value in values):
        raise WhereError(f"{key!r}: {list(values)!r} have several types: use one type")
    exists = [("equals", True), ("equals", False)] if isinstance(values[0], bool) else [
        ("lessThan", 0), ("greaterThanOrEquals", 0)
    ]  # fmt: skip
    present = {"orAll": [{test: {"key": key, "value": value}} for test, value in exists]}
    return {"andAll": [*({"notEquals": {"key": key, "value": value}} for value in values), present]}
