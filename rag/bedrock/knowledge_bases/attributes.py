"""Metadata as the attributes of Knowledge Bases, and the sidecars that hold them.

Knowledge Bases has four types: STRING of 1 to 2,048 characters, NUMBER, BOOLEAN, and STRING_LIST of 1 to 10
such strings (MetadataAttributeValue in botocore 1.44.5's model of bedrock-agent). It has no dates. A date
becomes its text, as `rag.bedrock.search.retrieval_filter` compares dates for equality, and beside it a number
such as 20250131 under the name with ``_day`` behind it, by which dates are compared in order.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rag.bedrock.knowledge_bases.limits import (
    MAX_CHARS,
    MAX_MEMBERS,
    MAX_SIDECAR_BYTES,
    VECTORS_BYTES,
    VECTORS_KEYS,
)
from rag.bedrock.search.retrieval_filter import DAY, MAX_KEY, day_number
from rag.core.errors import SourceError
from rag.index.filters.where import FieldType
from rag.index.storage.schema import convert, widen

#: Beyond this an integer is not exact as the double that NUMBER is.
MAX_INTEGER = 2**53
#: Keys that the service writes itself begin so.
RESERVED_KEY = "x-amz-bedrock-"
_SHOWN = 5  # faults in an error


def sidecars(
    metadata: Mapping[str, Mapping[str, Any]], notes: list[str]
) -> Iterator[tuple[str, bytes | None]]:
    """Yield each document's sidecar; None for one without attributes.

    A field has one type in all documents, as in an index: where they disagree, the narrowest that holds all.

    Parameters
    ----------
    metadata : mapping
        The fields of each document, by source, in the types that `rag.loading.metadata.clean` leaves.
    notes : list of str
        Extended by what is changed or left out.

    Raises
    ------
    SourceError
        Values do not fit; names file and field of the first ones.

    Examples
    --------
    >>> dict(sidecars({"leave.md": {"region": "eu", "valid": dt.date(2025, 1, 31)}}, []))["leave.md"]
    b'{"metadataAttributes": {"region": "eu", "valid": "2025-01-31", "valid_day": 20250131}}'
    """
    schema: dict[str, FieldType] = {}
    examples: dict[str, str] = {}
    for source, fields in metadata.items():
        schema = widen(schema, examples, fields, source, notes)
    faults: list[str] = []
    empty: dict[str, None] = {}
    found: list[tuple[str, bytes | None]] = []
    large = 0
    for source, fields in metadata.items():
        attributes: dict[str, Any] = {}
        for name, value in fields.items():
            if value in ("", []):
                empty[name] = None
                continue
            for key, made in _attributes(name, convert(value, schema[name])):
                fault = _fault(key, made)
                if key in attributes or (key != name and key in fields):
                    fault = f"clashes with the number that stands for the date {name!r}: rename it"
                if fault:
                    faults.append(f"{source}: field {key!r} {fault}")
                attributes[key] = made
        data = json.dumps({"metadataAttributes": attributes}, ensure_ascii=False).encode()
        if len(data) > MAX_SIDECAR_BYTES:
            longest = max(attributes, key=lambda key: len(json.dumps(attributes[key])))
            faults.append(
                f"{source}: its attributes take {len(data)} bytes, a sidecar at most {MAX_SIDECAR_BYTES}: "
                f"shorten field {longest!r}, the longest"
            )
        large += len(data) > VECTORS_BYTES or len(attributes) > VECTORS_KEYS
        found.append((source, data if attributes else None))
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise SourceError(f"Knowledge Bases cannot hold {'; '.join(faults[:_SHOWN])}{more}")
    if large:
        notes.append(
            f"{large} documents have attributes of more than {VECTORS_BYTES} bytes or {VECTORS_KEYS} fields: "
            "a knowledge base on S3 Vectors refuses these"
        )
    notes += [f"field {name!r} is empty in some documents: left out there" for name in empty]
    yield from found


def _attributes(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes that stand for a field."""
    if isinstance(value, dt.datetime):
        yield name, value.isoformat()
    elif isinstance(value, dt.date):
        yield name, value.isoformat()
        yield name + DAY, day_number(value)
    else:
        yield name, value


def _fault(key: str, value: Any) -> str:
    """Return why an attribute does not fit, and what to do; empty if it does."""
    if len(key) > MAX_KEY:
        return f"has a name of {len(key)} characters, a filter's key at most {MAX_KEY}: rename it"
    if key.startswith(RESERVED_KEY):
        return f"begins with {RESERVED_KEY}, which is the service's: rename it"
    if isinstance(value, list):
        if len(value) > MAX_MEMBERS:
            return f"lists {len(value)} strings, a STRING_LIST holds at most {MAX_MEMBERS}: shorten it"
        longest = max(map(len, value))
        if not all(value):
            return "lists an empty string: leave that out"
        return f"lists a string of {longest} characters{_TOO_LONG}" if longest > MAX_CHARS else ""
    if isinstance(value, str):
        return f"has {len(value)} characters{_TOO_LONG}" if len(value) > MAX_CHARS else ""
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return f"is {value}, beyond 2**53, where a NUMBER is not exact: write it as text"
    return ""


_TOO_LONG = f", a STRING has at most {MAX_CHARS}: shorten it"
