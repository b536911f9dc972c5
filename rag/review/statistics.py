"""How reviewers decided: per reason, model, prompt, …, with intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rag.core.displayable import Displayable
from rag.core.table import Table
from rag.review.records import Item

By = Literal["reason", "model", "tier", "prompt", "tag", "index", "reviewer"]
BY: tuple[By, ...] = get_args(By)
_DECIDED = ("approved", "corrected", "rejected")
#: The quantile of the standard normal distribution for intervals of 95 %.
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True, repr=False)
class Decided(Displayable):
    """The decisions on a group of items.

    Attributes
    ----------
    group : str
    open, approved, corrected, rejected : int
        Items in each state.
    """

    group: str
    open: int
    approved: int
    corrected: int
    rejected: int

    @property
    def decided(self) -> int:
        """Items that are not open."""
        return self.approved + self.corrected + self.rejected

    def share(self, state: str) -> tuple[float, float, float] | None:
        """Return a state's share of the decided items, and its interval of 95 %; None if none is decided."""
        if not self.decided:
            return None
        count = {name: getattr(self, name) for name in _DECIDED}[state]
        return (count / self.decided, *wilson(count, self.decided))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        shares = {}
        for state in _DECIDED:
            found = self.share(state)
            shares[state] = None if found is None else dict(zip(("share", "low", "high"), found, strict=True))
        return {
            "group": self.group, "open": self.open, "decided": self.decided, "approved": self.approved,
            "corrected": self.corrected, "rejected": self.rejected, "shares": shares,
        }  # fmt: skip


def decided(items: Iterable[Item], by: By) -> list[Decided]:
    """Return the decisions per group, the groups with most items first.

    An item with several reasons counts for each of them. Only the reason ``sample`` says something about all
    answers: the others pick the ones that look bad.
    """
    counts: dict[str, Counter[str]] = {}
    for item in items:
        for group in _groups(item, by):
            counts.setdefault(group, Counter())[item.state] += 1
    groups = [
        Decided(group, count["open"], *(count[state] for state in _DECIDED))
        for group, count in counts.items()
    ]
    return sorted(groups, key=lambda each: (-each.open - each.decided, each.group))


def _groups(item: Item, by: By) -> tuple[str, ...]:
    if by == "reason":
        return tuple(each.name for each in item.reasons)
    if by == "reviewer":
        return (item.last.by if item.last is not None else "",)
    if by == "prompt":
        return (f"{item.prompt}#{item.prompt_hash[:8]}" if item.prompt_hash else item.prompt,)
    return (str(getattr(item, by)),)


def wilson(count: int, of: int) -> tuple[float, float]:
    """Return the interval of 95 % of a share, by Wilson's score (Journal of the ASA 22, 1927, p. 209).

    Unlike the normal approximation it stays in [0, 1], and holds for few and for extreme counts.

    Examples
    --------
    >>> [round(each, 3) for each in wilson(8, 10)], wilson(0, 5)[0]
    ([0.49, 0.943], 0.0)
    """
    share, spread = count / of, _Z**2 / of
    middle = share + spread / 2
    half = _Z * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return (0.0 if count == 0 else low), (1.0 if count == of else high)


def table(groups: Iterable[Decided], by: By) -> Table:
    """Return the groups as a table."""
    rows = [
        (each.group or "-", str(each.open), str(each.decided), *(_cell(each, state) for state in _DECIDED))
        for each in groups
    ]
    head = (by, "open", "decided", *_DECIDED)
    return Table("shares of the decided items, with intervals of 95 % (Wilson)", head, rows)


def _cell(group: Decided, state: str) -> str:
    found = group.share(state)
    return "-" if found is None else "{:.2f} [{:.2f}, {:.2f}]".format(*found)
