"""A row to write to an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """A row to write: ``loaded_text[start:end] == text``; `heading` is the path of headings above it."""

    chunk_id: str
    start: int
    end: int
    text: str
    gap: str | None = None
    page_start: int | None = None
    page_end: int | None = None
    page_breaks: Sequence[int] = ()
    section: Sequence[str] = ()
    heading: str = ""
    table_head: str | None = None
    table_head_start: int | None = None
