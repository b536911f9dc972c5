"""The rows next to a row in its document."""

from __future__ import annotations

from collections.abc import Sequence, Set

from rag.core.errors import UsageError
from rag.core.passages import Hit
from rag.index.search.ordering import Key
from rag.index.storage.segment import Segment


def runs(
    segments: Sequence[Segment], hits: Sequence[Hit], neighbours: int, *, section: bool
) -> list[tuple[Hit, list[Key]]]:
    """Return hits with the rows around each, as one run; no row is in two runs, and the better hit has it.

    A hit that is in a better one's run is left out. Parameters are those of `rag.Index.widened`.

    Raises
    ------
    UsageError
        A hit is in none of the segments.
    """
    ids = {hit.chunk_id for hit in hits}
    keys: dict[str, Key] = {}
    for number, segment in enumerate(segments):
        rows = segment.rows_with(ids).tolist()
        names = zip(segment.ids(rows), rows, strict=True)
        keys |= {name: (number, row) for name, row in names if segment.live[row]}
    out: list[tuple[Hit, list[Key]]] = []
    taken: set[Key] = set()
    for hit in hits:
        if hit.chunk_id not in keys:
            raise UsageError(f"this index has no chunk of {hit.source} at [{hit.start}:{hit.end}]")
        number, row = keys[hit.chunk_id]
        around = surrounding(segments[number], row, neighbours, section=section)
        run = without_taken([(number, other) for other in around], (number, row), taken)
        taken.update(run)
        if run:
            out.append((hit, run))
    return out


def surrounding(segment: Segment, row: int, neighbours: int, *, section: bool) -> list[int]:
    """Return a row with up to `neighbours` rows on either side, or with all rows of its section.

    Only white space separates one row from the next.
    """
    document = segment.document_of_row[row]
    first, end = (int(side[document]) for side in segment.rows_of_document)
    if not section:
        first, end = max(first, row - neighbours), min(end, row + neighbours + 1)
    values = segment.chunks.take(range(first, end), ("gap", "section"))
    heading = values[row - first]["section"]

    def continues(other: int) -> bool:
        """Whether the row after `other` follows it directly, and in the same section if that counts."""
        this, following = values[other - first], values[other + 1 - first]
        same = this["section"] == following["section"] == heading
        return this["gap"] is not None and (not section or same)

    low = high = row
    while low > first and continues(low - 1):
        low -= 1
    while high + 1 < end and continues(high):
        high += 1
    return list(range(low, high + 1))


def without_taken(run: Sequence[Key], row: Key, taken: Set[Key]) -> list[Key]:
    """Return the part of a run around `row` that holds no taken row; nothing if `row` itself is taken."""
    if row in taken:
        return []
    at = run.index(row)
    low = next((n + 1 for n in range(at - 1, -1, -1) if run[n] in taken), 0)
    high = next((n for n in range(at + 1, len(run)) if run[n] in taken), len(run))
    return list(run[low:high])
