"""The texts in a message, whatever its blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def texts_of(value: Any) -> list[str]:
    """Return the texts in a message's content, of whatever blocks it is made."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for block in value for text in texts_of(block)]
    if isinstance(value, Mapping):
        return [
            text
            for name in ("text", "title", "content", "guardContent")
            for text in texts_of(value.get(name))
        ]
    return []
