"""Sums of money: what groups of calls cost, in order, compared and written for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Spending:
    """What the calls of one group cost; groups add up with ``+``.

    Attributes
    ----------
    group : tuple of str
        The values that the calls share, in the order of the grouping.
    calls, unpriced : int
        All calls, and those of them whose model has no known price.
    input_tokens : int
        Without those of the prompt cache, which are `cache_read_tokens` and `cache_write_tokens`.
    usd : float or None
        Of the calls with a price; None where no call has one.
    cached : int
        Answers from the response cache, which are no calls.
    saved_usd : float or None
        What these cost when models gave them; None where that is known of none.
    """

    group: tuple[str, ...] = ()
    calls: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    usd: float | None = None
    cached: int = 0
    saved_usd: float | None = None

    @property
    def amounts(self) -> dict[str, Any]:
        """Its numbers by their names, without the group."""
        return {name: value for name, value in asdict(self).items() if name != "group"}

    def __add__(self, other: Spending) -> Spending:
        return Spending(
            self.group, self.calls + other.calls, self.unpriced + other.unpriced,
            self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens, _sum(self.usd, other.usd),
            self.cached + other.cached, _sum(self.saved_usd, other.saved_usd),
        )  # fmt: skip


def _sum(*amounts: float | None) -> float | None:
    known = [usd for usd in amounts if usd is not None]
    return sum(known) if known else None


def in_order(groups: Iterable[Spending], by: Sequence[str]) -> list[Spending]:
    """Return groups, equal ones added up: the dearest first, or by day where days are among them."""
    sums: dict[tuple[str, ...], Spending] = {}
    for spending in groups:
        key = spending.group
        sums[key] = sums[key] + spending if key in sums else spending
    if "day" in by:
        at = list(by).index("day")
        return sorted(sums.values(), key=lambda spending: (spending.group[at], spending.group))
    return sorted(sums.values(), key=lambda spending: (-(spending.usd or 0.0), spending.group))


def is_more(usd: float, limit: float) -> bool:
    """Compare dollars to a trillionth, so that ten times 0.1 is no more than 1."""
    return round(usd * 1e12) > round(limit * 1e12)
