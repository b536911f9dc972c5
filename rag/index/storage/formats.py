"""Formats of an index so far, and how a manifest of an older one reads in the next.

======  ==============================================================================================
format  what it brought
======  ==============================================================================================
1       segments, removed rows, tables of sources; at first without the vectors of heading paths
2       how many rows are removed, and what made a version, in the manifest; edited metadata in
        ``documents/``; metadata as it was given in a column of its own (``_original``); one-bit codes
3       the head of the table that a chunk holds rows of; no section is a null, not an empty list
======  ==============================================================================================

The files that a step has to write anew are in `rag.index.storage.upgrade`. A manifest alone is enough to know
which files a version is made of, so that none of them is taken for an orphan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from rag.index.storage.layout import ORIGINAL

FORMAT: Literal[3] = 3

#: What a field is called that has the name of the column `ORIGINAL` (since format 2).
RENAMED = "_original_"

Raw = dict[str, Any]

# numpy pads the head of a file of one dimension to 128 bytes; rows are int64.
_HEAD, _ROW = 128, 8


def _from_1(raw: Raw) -> Raw:
    segments = [
        {**segment, "gone": _rows(segment.get("removed")), "documents": None} for segment in raw["segments"]
    ]
    schema = {RENAMED if name == ORIGINAL else name: kind for name, kind in raw["schema"].items()}
    return {**raw, "segments": segments, "schema": schema, "why": "build", "format": 2}


def _rows(removed: Mapping[str, Any] | None) -> int:
    """Return how many rows a file of removed rows holds, by its size (`open_segment` checks it)."""
    return 0 if removed is None else (int(removed["bytes"]) - _HEAD) // _ROW


def _from_2(raw: Raw) -> Raw:
    return {**raw, "format": 3}


_STEPS: Mapping[int, Callable[[Raw], Raw]] = {1: _from_1, 2: _from_2}


def manifest_of_today(raw: Raw, found: int) -> Raw:
    """Return a manifest of format `found`, at least 1, as it reads in the format of today.

    Examples
    --------
    >>> manifest_of_today({"segments": [], "schema": {}, "format": 1}, 1)
    {'segments': [], 'schema': {}, 'format': 3, 'why': 'build'}
    """
    for step in range(found, FORMAT):
        raw = _STEPS[step](raw)
    return raw
