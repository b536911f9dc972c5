"""Where a passage stands, and what is known of it, as facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rag.core.format import counted
from rag.notebook import parts

#: Most fields of metadata that a card names.
_FIELDS = 20


def place(text: str) -> str:
    """Return a place in bold; file names and headings keep their direction."""
    return f'<bdi class="place">{parts.inert(text)}</bdi>'


def span_text(start: int, end: int, *, placed: bool = True) -> str:
    """Return offsets for people: ``characters 1,204–1,388``.

    Examples
    --------
    >>> span_text(1204, 1388), span_text(0, 8, placed=False)
    ('characters 1,204–1,388', '8 characters at an unknown place')
    """
    if not placed:
        return f"{counted(end - start, 'character')} at an unknown place"
    return f"characters {start:,}–{end:,}"


def metadata(values: Mapping[str, Any], how: str) -> str:
    """Return metadata that unfold; empty for none."""
    if not values:
        return ""
    shown = [(str(name), parts.inert(value_text(value))) for name, value in [*values.items()][:_FIELDS]]
    body = parts.facts(shown) + parts.more(len(values) - _FIELDS, "field", how)
    return parts.fold(f"metadata: {counted(len(values), 'field')}", body)


def value_text(value: Any) -> str:
    """Return a value of metadata for people: a list's members with commas, of a huge one its start.

    Examples
    --------
    >>> value_text(["hr", "leave"]), value_text(True)
    ('hr, leave', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        rest = f", … {counted(len(value) - 20, 'more value')}" if len(value) > 20 else ""
        return ", ".join(str(each)[:200] for each in value[:20]) + rest
    return str(value)[:2000] if isinstance(value, str) else str(value)
