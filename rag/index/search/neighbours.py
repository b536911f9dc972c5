"""The rows around a row that stand side by side with it in its document."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from rag.index.search.ordering import Key
from rag.index.storage.segment import Segment


def surrounding(segment: Segment, row: int, neighbours: int, *, section: bool) -> list[int]:
    """Return a row with up to so many on either side, or with all of its section.

    Nothing but white space stands between one and the next.
    """
    first, end = (int(side[0]) for side in segment.runs(segment.document(np.array([row]))))
    if not section:
        first, end = max(first, row - neighbours), min(end, row + neighbours + 1)
    values = segment.chunks.take(range(first, end), ("gap", "section"))
    home = values[row - first]["section"]

    def beside(other: int) -> bool:
        """Whether a row and the next one stand side by side, and belong."""
        here, behind = values[other - first], values[other + 1 - first]
        return here["gap"] is not None and (not section or here["section"] == behind["section"] == home)

    low = high = row
    while low > first and beside(low - 1):
        low -= 1
    while high + 1 < end and beside(high):
        high += 1
    return list(range(low, high + 1))


def free(run: Sequence[Key], row: Key, taken: Set[Key]) -> list[Key]:
    """Return what of a run around a row is not taken, in one piece; nothing if the row itself is."""
    if row in taken:
        return []
    at = run.index(row)
    low = next((n + 1 for n in range(at - 1, -1, -1) if run[n] in taken), 0)
    high = next((n for n in range(at + 1, len(run)) if run[n] in taken), len(run))
    return list(run[low:high])
