"""Which segments to merge: many of about the same size, and those that are mostly removed rows.

Every change adds a segment, and every search reads all of them. Merging `FANOUT` segments of about
the same size as soon as there are that many keeps their number logarithmic, and copies a row only once
for each time that the index grows by that factor (a tiered log-structured merge [1]_).

.. [1] P. O'Neil et al., "The log-structured merge-tree (LSM-tree)", Acta Informatica 33 (1996).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from rag.core.errors import StoreCorruptError
from rag.index.storage.columns import ADVICE
from rag.index.storage.manifest import SegmentEntry, altered, check_size

FANOUT = 8
_MOST_ROWS = 1 << 31


def choose(segments: Sequence[SegmentEntry], *, everything: bool = False) -> list[list[SegmentEntry]]:
    """Return the groups of segments to merge, each into one.

    Parameters
    ----------
    segments : sequence of SegmentEntry
    everything : bool
        Merge all segments into one.

    Examples
    --------
    >>> small = [SegmentEntry(f"{n:016x}", 10, ()) for n in range(8)]
    >>> [len(group) for group in choose(small)], choose(small[:7])
    ([8], [])
    """
    if everything:
        clean = len(segments) == 1 and not segments[0].gone and segments[0].documents is None
        return [] if clean or not segments else [list(segments)]
    tiers: dict[int, list[SegmentEntry]] = defaultdict(list)
    for segment in segments:
        tiers[_tier(segment.live)].append(segment)
    full = [
        tier for tier in tiers.values()
        if len(tier) >= FANOUT and sum(segment.live for segment in tier) < _MOST_ROWS
    ]  # fmt: skip
    taken = {segment.id for tier in full for segment in tier}
    hollow = [[s] for s in segments if 2 * s.gone > s.rows and s.id not in taken]
    return full + hollow


def _tier(rows: int) -> int:
    tier = 0
    while rows >= FANOUT:
        rows, tier = rows // FANOUT, tier + 1
    return tier


def check(folder: Path, segment: SegmentEntry) -> None:
    """Refuse to copy a segment whose files differ from their SHA-256: damage must not spread.

    Raises
    ------
    StoreCorruptError
    """
    for file in segment.everything:
        check_size(folder, file)
    for file in altered(folder, segment.everything):
        raise StoreCorruptError(f"{folder / file.path} was altered: {ADVICE}")
