"""Budgets over what the ledger holds, and the meter that keeps both for the calls of an index.

Everything is optional; without a path every index has a ledger of its own, ``INDEX/ledger.sqlite``::

    [ledger]                  # in rag.toml
    path = "indexes/ledger.sqlite"
    tag = "support-desk"      # whose calls these are; a budget is then the tag's alone
    warn_usd = 5.0            # a note once a call could bring it above this
    stop_usd = 10.0           # an error before a call that could
    per = "day"               # "day" or "month" (in UTC), "ever", or "call"
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from rag.core.answers import Call
from rag.core.errors import BudgetError, ConfigError, RagError, near_miss
from rag.core.format import dollars
from rag.usage.ledger import NAME, Ledger

Per = Literal["day", "month", "ever", "call"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent, and from where on it is said.

    What other threads and processes have under way is not spent yet: with n questions at a time a
    budget may be passed by n - 1 of them.

    Parameters
    ----------
    warn_usd, stop_usd : float, optional
        US dollars, at least 0.
    per : {"day", "month", "ever", "call"}
        In which time they may be spent (a day or month in UTC); ``"call"`` looks at each call alone.
    tag : str
        Only calls of this tag count; by default all of the ledger.
    """

    warn_usd: float | None = None
    stop_usd: float | None = None
    per: Per = "day"
    tag: str = ""

    @property
    def limits(self) -> bool:
        """Whether there is anything to check."""
        return self.warn_usd is not None or self.stop_usd is not None

    def check(self, ledger: Ledger, estimate_usd: float, today: dt.date | None = None) -> str | None:
        """Return what to tell the user before a call is made, if anything.

        Raises
        ------
        BudgetError
            With this call more than `stop_usd` could be spent; it must not be made.
        """
        if not self.limits:
            return None
        today, note, spent = today or dt.datetime.now(dt.UTC).date(), None, 0.0
        since = {"day": today, "month": today.replace(day=1)}.get(self.per)
        try:
            spent = 0.0 if self.per == "call" else ledger.spent(since, tag=self.tag or None)
        except RagError as error:  # a ledger that is damaged stops no question, but is not passed over either
            note = f"the budget knows only of this call: {error}"
        said = f"{dollars(spent)} spent and {dollars(estimate_usd)} that this call may cost"
        of = (
            "a call"
            if self.per == "call"
            else {"day": "today", "month": "this month"}.get(self.per, "in all")
        )
        of += f" for {self.tag!r}" if self.tag else ""
        if self.stop_usd is not None and spent + estimate_usd > self.stop_usd:
            later = {"day": "wait for tomorrow (UTC), ", "month": "wait for the next month, "}.get(
                self.per, ""
            )
            raise BudgetError(
                f"{said} would pass the {dollars(self.stop_usd)} {of} ({ledger.path}): {later}raise stop_usd "
                "in [ledger], or ask for less (max_tokens, the trimmer's budget)"
            )
        if self.warn_usd is not None and spent + estimate_usd > self.warn_usd:
            return f"{said} pass the {dollars(self.warn_usd)} {of} of warn_usd"
        return note


@dataclass(frozen=True, slots=True)
class Meter:
    """A ledger and a budget, for the calls of one index.

    Attributes
    ----------
    index, tag : str
        What is written with each call.
    price : callable, optional
        Takes a model's id, its input tokens and most output tokens; returns dollars or None.

    Examples
    --------
    >>> note = meter.before("global.anthropic.claude-sonnet-5-5", 6_000, 2_048)   # doctest: +SKIP
    >>> note = meter.after(calls, prompt="answer-v1")                             # doctest: +SKIP
    """

    ledger: Ledger
    budget: Budget = field(default_factory=Budget)
    index: str = ""
    tag: str = ""
    price: Callable[[str, int, int], float | None] | None = None

    def before(
        self, model: str | None, input_tokens: int = 0, output_tokens: int = 0, *, usd: float | None = None
    ) -> str | None:
        """Return what to tell the user before a call, or calls, of a model.

        Parameters
        ----------
        model : str or None
            None for one on this machine.
        input_tokens, output_tokens : int
            The most that there can be.
        usd : float, optional
            What it costs at most, where that is known otherwise than by its tokens.

        Raises
        ------
        BudgetError
        """
        if not self.budget.limits or (model is None and usd is None):
            return None
        if usd is None and self.price is not None and model is not None:
            usd = self.price(model, input_tokens, output_tokens)
        if usd is None:
            return f"{model} has no known price: the budget cannot count it"
        return self.budget.check(self.ledger, usd) if usd else None

    def after(self, calls: Iterable[Call], *, prompt: str = "") -> str | None:
        """Write calls down, but for those that cost nothing; return what went wrong, if anything did."""
        notes = [
            self.ledger.record(call, index=self.index, prompt=prompt, tag=self.tag)
            for call in calls if call.usage.cost_usd != 0
        ]  # fmt: skip
        return next((note for note in notes if note), None)


@dataclass(frozen=True, slots=True)
class Settings:
    """``[ledger]`` of rag.toml; without a path every index has a ledger of its own."""

    path: Path | None = None
    budget: Budget = field(default_factory=Budget)
    tag: str = ""

    def meter(self, folder: Path, price: Callable[[str, int, int], float | None] | None = None) -> Meter:
        """Return the meter of an index's folder."""
        return Meter(Ledger(self.path or folder / NAME), self.budget, name_of(folder), self.tag, price)


def name_of(folder: Path) -> str:
    """Return the name under which an index stands in a ledger: that of its folder."""
    return folder.resolve().name


def settings(value: Any) -> Settings:
    """Read ``[ledger]``.

    Parameters
    ----------
    value : mapping, str, Path or None
        Settings as in this module's text, or the path alone.

    Raises
    ------
    ConfigError
        There is no such setting, or it has another type.
    """
    given = dict(value) if isinstance(value, Mapping) else {} if value is None else {"path": value}
    known = ("path", "tag", "warn_usd", "stop_usd", "per")
    for name in given:
        if name not in known:
            raise ConfigError(f"the ledger has no setting {name!r}: {near_miss(name, known)}")
    path, tag, per = given.get("path"), given.get("tag", ""), given.get("per", "day")
    if path is not None and not isinstance(path, str | Path):
        raise ConfigError(f"the ledger's path is a string, not {path!r}")
    if not isinstance(tag, str):
        raise ConfigError(f"the ledger's tag is a string, not {tag!r}")
    if per not in get_args(Per):
        raise ConfigError(f"the ledger's per is {per!r}: {near_miss(str(per), get_args(Per))}")
    for name in ("warn_usd", "stop_usd"):
        usd = given.get(name)
        if usd is not None and (isinstance(usd, bool) or not isinstance(usd, int | float) or not usd >= 0):
            raise ConfigError(f"the ledger's {name} is a number of dollars from 0, not {usd!r}")
    budget = Budget(given.get("warn_usd"), given.get("stop_usd"), per, tag)
    return Settings(None if path is None else Path(path), budget, tag)
