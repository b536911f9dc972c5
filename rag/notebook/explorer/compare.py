"""What differs between two results for a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rag.core.format import counted
from rag.core.passages import Context, Hit


@dataclass(frozen=True, slots=True)
class Difference:
    """How the results of two sides differ.

    Attributes
    ----------
    a, b : tuple of str
        For each hit of a side what the other one has: ``"same rank in B"``, ``"4 in B"``, ``"only in A"``.
    summary : str
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    summary: str


def differences(
    a: Sequence[Hit], b: Sequence[Hit], of_a: Context | None = None, of_b: Context | None = None
) -> Difference:
    """Compare two lists of hits, and their contexts if both are there.

    Examples
    --------
    >>> leave = Hit("leave.md", 0, 5, "Leave", 1.0)
    >>> differences([leave], [leave]).summary
    '1 of 1 hit in both'
    """
    ranks_a, ranks_b = _ranks(a), _ranks(b)
    both = len(ranks_a.keys() & ranks_b.keys())
    summary = f"{both:,} of {counted(max(len(a), len(b)), 'hit')} in both"
    if of_a is not None and of_b is not None:
        shared, most = _shared(of_a, of_b), max(_chars(of_a), _chars(of_b))
        if most:
            summary += f"; the contexts share {shared / most:.0%} of their characters"
    return Difference(_marks(a, ranks_b, "A", "B"), _marks(b, ranks_a, "B", "A"), summary)


def _ranks(hits: Sequence[Hit]) -> dict[tuple[str, int, int], int]:
    out: dict[tuple[str, int, int], int] = {}
    for rank, hit in enumerate(hits, 1):
        out.setdefault((hit.source, hit.start, hit.end), rank)
    return out


def _marks(
    hits: Sequence[Hit], ranks: dict[tuple[str, int, int], int], own: str, other: str
) -> tuple[str, ...]:
    out = []
    for rank, hit in enumerate(hits, 1):
        there = ranks.get((hit.source, hit.start, hit.end))
        out.append(
            f"only in {own}" if there is None
            else f"same rank in {other}" if there == rank else f"rank {there:,} in {other}"
        )  # fmt: skip
    return tuple(out)


def _chars(context: Context) -> int:
    return sum(hit.end - hit.start for hit in context.hits)


def _shared(a: Context, b: Context) -> int:
    """Return how many characters of documents are in both contexts; no context holds one twice."""
    return sum(
        max(0, min(one.end, two.end) - max(one.start, two.start))
        for one in a.hits for two in b.hits if one.source == two.source
    )  # fmt: skip
