"""Budgets over what the ledger holds; `rag.usage.meter` asks them before each call of an index.

Everything is optional; without a path every index has a ledger of its own, ``INDEX/ledger.sqlite``::

    [ledger]                  # in rag.toml
    path = "indexes/ledger.sqlite"
    tag = "support-desk"      # the account: whose calls these are; a budget sums this account alone
    warn_usd = [1, 5]         # a note, once per period, when a call could bring spending above one of these
    stop_usd = 10.0           # an error before a call that could
    per = "day"               # "day" or "month" (in UTC), "ever", or "call"
    on_budget = "alerts:send" # called with a BudgetEvent when a threshold is passed or a call refused

With ``stop_usd`` a budget fails closed: a model without a known price is refused, and so is every call
while the ledger cannot be read and written. Without it a budget stops no question.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Per = Literal["day", "month", "ever", "call"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent, and when to warn.

    Parameters
    ----------
    warn_usd : tuple of float
        US dollars from 0; each threshold is reported once per period, account and ledger.
    stop_usd : float, optional
        The most that may be spent. What calls under way may cost counts as spent.
    per : {"day", "month", "ever", "call"}
        The period (a day or month in UTC); ``"call"`` looks at each call alone.
    account : str
        Only calls of this account count; by default all of the ledger.
    """

    warn_usd: tuple[float, ...] = ()
    stop_usd: float | None = None
    per: Per = "day"
    account: str = ""

    @property
    def limits(self) -> bool:
        """Whether there is anything to check."""
        return bool(self.warn_usd) or self.stop_usd is not None

    def period(self, now: dt.datetime) -> tuple[str, dt.datetime | None]:
        """Return the name and the beginning of the period that a moment (UTC) is in."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        if self.per == "day":
            return f"{now:%Y-%m-%d}", midnight
        return (f"{now:%Y-%m}", midnight.replace(day=1)) if self.per == "month" else ("ever", None)


@dataclass(frozen=True, slots=True)
class BudgetEvent:
    """What `on_budget` is called with.

    Attributes
    ----------
    kind : {"warn", "stop"}
        A threshold of `warn_usd` was passed, or a call was refused.
    threshold_usd, spent_usd, estimate_usd : float
        The limit; what was spent in the period, with what calls under way may cost; the most that this
        call may cost.
    per : {"day", "month", "ever", "call"}
    account, tag : str
    ledger : Path
    """

    kind: Literal["warn", "stop"]
    threshold_usd: float
    spent_usd: float
    estimate_usd: float
    per: Per
    account: str
    tag: str
    ledger: Path


Hook = Callable[[BudgetEvent], object]


@dataclass(frozen=True, slots=True)
class Request:
    """What a budget asks the ledger before a call; see `rag.usage.ledger.Ledger.reserve`.

    Attributes
    ----------
    usd : float
        The most that the call can cost.
    account : str
        Whose calls count; empty for all of the ledger.
    since : datetime or None
        The beginning of the budget's period; None for ever.
    period : str
        The period's name, e.g. ``"2026-11-25"``.
    stop_usd : float or None
        The most that may be spent in the period.
    warn_usd : tuple of float
        Thresholds, each reported once per period.
    """

    usd: float
    account: str
    since: dt.datetime | None
    period: str
    stop_usd: float | None = None
    warn_usd: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A budget's answer.

    Attributes
    ----------
    id : int or None
        Of the reservation; None where the call was refused.
    spent, reserved : float
        US dollars spent in the period, and set aside for other calls under way.
    passed : tuple of float
        Thresholds that this call may pass and that nobody was told of; for a refusal `stop_usd` itself.
    """

    id: int | None
    spent: float
    reserved: float
    passed: tuple[float, ...]
