"""Deleting the answers from a response cache that hold something of erased documents."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

from rag.response_cache.store import Removing, ResponseStore

_MOST_BYTES = 64 << 20


def forget(store: ResponseStore, holds: Callable[[Any], bool], *, dry_run: bool = False) -> int:
    """Delete answers, and what leads to them: the pointers and the lists of similar questions.

    A store of others, which cannot delete single values, is emptied.

    Parameters
    ----------
    store : ResponseStore
    holds : callable
        Takes what JSON gives of a value; true if it is to be deleted. What cannot be read is deleted, too.
    dry_run : bool
        Only count.

    Returns
    -------
    int
        How many answers.
    """
    if not isinstance(store, Removing):
        return store.holdings().entries or 0 if dry_run else store.clear()
    answers: set[str] = set()

    def is_answer(key: str, data: bytes) -> bool:
        value = _read(data)
        if isinstance(value, str | list) or not (value is None or holds(value)):
            return False
        answers.add(key)
        return not dry_run

    def leads_to_one(key: str, data: bytes) -> bool:
        value = _read(data)
        if isinstance(value, list):
            return holds(value) or any(len(row) == 3 and row[2] in answers for row in value)
        return isinstance(value, str) and value in answers

    store.remove(is_answer)
    if not dry_run:
        store.remove(leads_to_one)
    return len(answers)


def _read(data: bytes) -> Any:
    """Return an answer's values, the rows of similar questions, or the key to which a pointer leads."""
    try:
        if data[:1] == b"\x78":  # zlib's first byte (RFC 1950)
            return json.loads(zlib.decompressobj().decompress(data, _MOST_BYTES))
        text = data.decode("ascii" if len(data) == 64 else "utf-8")
        return json.loads(text) if text.startswith("[") else text
    except (ValueError, zlib.error):
        return None
