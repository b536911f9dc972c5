"""The numbers by which a model cites passages that a tool returns, while a question is being answered."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Sequence

from rag.core.passages import Hit

_SHOWN: contextvars.ContextVar[list[Hit] | None] = contextvars.ContextVar("shown", default=None)


@contextlib.contextmanager
def numbering(hits: list[Hit]) -> Iterator[None]:
    """Let tools number their passages behind these, and add them to these."""
    token = _SHOWN.set(hits)
    try:
        yield
    finally:
        _SHOWN.reset(token)


def first_number(more: Sequence[Hit]) -> int | None:
    """Add passages to those of the question being answered; return the number of the first one.

    None where no question is being answered that shows a tool's passages.
    """
    hits = _SHOWN.get()
    if hits is None:
        return None
    first = len(hits) + 1
    hits.extend(more)
    return first
