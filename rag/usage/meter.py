"""The meter of an index: it asks the budget before each call, and the ledger records the call afterwards."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from rag.core.calls import Call
from rag.core.errors import BudgetError, RagError
from rag.core.format import dollars
from rag.usage.budget import Budget, BudgetEvent, Hook, Outcome, Request
from rag.usage.ledger import NAME, Ledger
from rag.usage.ledger_settings import LedgerSettings, hook_of, name_of
from rag.usage.ledger_tables import CACHED
from rag.usage.prices import BUILT_IN, CacheTtl, PriceTable
from rag.usage.spending import is_more

_WHAT = {"day": "today's spending", "month": "this month's spending", "ever": "all spending"}
_LATER = {"day": "wait for tomorrow (UTC), ", "month": "wait for the next month (UTC), "}


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Meter:
    """A ledger, a budget and prices, for the calls of one index. Immutable; threads may share it.

    Attributes
    ----------
    index : str
        Written with each call.
    tag : str
        A label for grouping (`tagged`); by default the budget's account. It changes no budget.
    clock : callable
        Returns the present moment in UTC.

    Examples
    --------
    >>> with meter.reserve(model, input_tokens=6_000, output_tokens=2_048) as held:   # doctest: +SKIP
    ...     reply = ask(model)
    ...     held.settle(Call(model, "generate", usage_of(reply)), prompt="answer-v1")
    """

    ledger: Ledger
    budget: Budget = field(default_factory=Budget)
    index: str = ""
    tag: str = ""
    prices: PriceTable = BUILT_IN
    on_budget: Hook | None = None
    clock: Callable[[], dt.datetime] = _now

    @classmethod
    def of(cls, settings: LedgerSettings, folder: Path, prices: Any = None) -> Self:
        """Return the meter of an index's folder.

        Parameters
        ----------
        settings : LedgerSettings
            ``[ledger]`` of rag.toml.
        folder : Path
            The index's, which holds the ledger unless the settings name a file.
        prices : mapping or PriceTable, optional
            ``[prices]`` of rag.toml.

        Raises
        ------
        ConfigError
            A price is refused.
        """
        return cls(
            Ledger(settings.path or folder / NAME), settings.budget, name_of(folder),
            prices=PriceTable.from_settings(prices), on_budget=hook_of(settings.on_budget),
        )  # fmt: skip

    @property
    def has_limits(self) -> bool:
        """Whether there is a budget to check."""
        return self.budget.limits

    @property
    def label(self) -> str:
        """The tag of its rows: its own, or else the budget's account."""
        return self.tag or self.budget.account

    def tagged(self, tag: str) -> Meter:
        """Return a meter that labels its rows; account and budget stay the same."""
        return replace(self, tag=tag)

    def price(self, call: Call, base: str | None = None) -> Call:
        """Return a call with its cost filled in from the price table, where it has none.

        `base` is the model behind an application inference profile. A call that tells no tokens at all
        was not free: its cost stays unknown.
        """
        usage = call.usage
        counted = usage.input_tokens or usage.output_tokens or usage.cache_read_input_tokens
        if usage.cost_usd is not None or not (counted or usage.cache_write_input_tokens):
            return call
        cost = self.prices.cost_usd(call.model, call.usage, base)
        return call if cost is None else replace(call, usage=replace(call.usage, cost_usd=cost))

    def reserve(
        self,
        model: str | None,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        usd: float | None = None,
        purpose: str = "generate",
        base: str | None = None,
        tag: str | None = None,
        documents: int | None = None,
        cache_ttl: CacheTtl | None = None,
    ) -> Reservation:
        """Set aside what a call may cost at most, before it is made.

        Parameters
        ----------
        model : str or None
            None for a model on this machine, which is free.
        input_tokens, output_tokens : int
            The most that there can be.
        usd : float, optional
            The most that it can cost, where that is not known by tokens.
        purpose : str
            ``"generate"``, ``"embed"``, ``"rerank"``, …
        base : str, optional
            The model behind an application inference profile.
        tag : str, optional
            In place of the meter's.
        documents : int, optional
            For a reranker: how many it ranks.
        cache_ttl : {"5m", "1h"}, optional
            Given where the prompt may be written to the cache, as writes cost more.

        Returns
        -------
        Reservation
            To be settled with the call, or released. Without limits, and for what is free, no file is
            touched.

        Raises
        ------
        BudgetError
            With `stop_usd` set: the call could pass it, the model has no known price, or the ledger
            cannot be read and written. The call must not be made.
        ValueError
            An amount is negative.
        """
        meter = self if tag is None else self.tagged(tag)
        if not self.budget.limits or (model is None and not usd):
            return Reservation(meter, base=base)
        if usd is None and model is not None:
            usd = (
                self.prices.estimate_usd(model, input_tokens, output_tokens, base, cache_ttl=cache_ttl)
                if documents is None
                else self.prices.rerank_usd(model, documents, base)
            )
            if usd is None:
                return meter._unpriced(model, purpose, base)
        assert usd is not None
        if not usd >= 0:
            raise ValueError(f"a call cannot cost {usd} dollars")
        if not usd:
            return Reservation(meter, base=base)
        return meter._single(usd, base) if self.budget.per == "call" else meter._summed(usd, base)

    def record(self, call: Call, *, prompt: str = "", tag: str | None = None) -> str | None:
        """Write down a call for which nothing was reserved, unless it was free.

        Returns
        -------
        str or None
            A note, the first time that the ledger cannot be written; that never stops a question.
        """
        meter = self if tag is None else self.tagged(tag)
        return meter._write(call, prompt)

    # ----------------------------------------------------------------------- one call

    def _write(
        self,
        call: Call,
        prompt: str,
        base: str | None = None,
        held_usd: float | None = None,
        reservation: int | None = None,
    ) -> str | None:
        if call.usage.cost_usd == 0 and call.purpose != CACHED:  # on this machine: no ledger is made for it
            return None if reservation is None else self.ledger.release(reservation)
        return self.ledger.record(
            self.price(call, base), index=self.index, prompt=prompt, tag=self.label,
            account=self.budget.account, when=self.clock(), held_usd=held_usd, reservation=reservation,
        )  # fmt: skip

    def _unpriced(self, model: str, purpose: str, base: str | None) -> Reservation:
        budget, advice = self.budget, self.prices.advice(model, purpose)
        if budget.stop_usd is not None:
            raise BudgetError(f"a budget with stop_usd refuses a model without a price: {advice}")
        period, _ = budget.period(self.clock())
        notes: tuple[str, ...] = (f"warn_usd does not count {model}: {advice}",)
        try:
            if not self.ledger.is_first(period, budget.account, "unpriced", model):
                notes = ()
        except RagError as error:
            notes = (*notes, str(error))
        return Reservation(self, notes=notes, base=base)

    def _single(self, usd: float, base: str | None) -> Reservation:
        """Check a call alone; no file is needed for that."""
        stop = self.budget.stop_usd
        if stop is not None and is_more(usd, stop):
            failed = self._call_hook("stop", (stop,), 0.0, usd)
            raise BudgetError("; ".join((
                f"this call could cost {dollars(usd)}, above stop_usd ({dollars(stop)}) for one call: raise "
                "stop_usd in [ledger], or lower max_tokens or the trimmer's budget", *failed,
            )))  # fmt: skip
        passed = tuple(limit for limit in self.budget.warn_usd if is_more(usd, limit))
        notes = self._call_hook("warn", passed, 0.0, usd)
        if passed:
            notes = (f"this call could cost {dollars(usd)}, above warn_usd ({_listed(passed)})", *notes)
        return Reservation(self, usd, notes=notes, base=base)

    def _summed(self, usd: float, base: str | None) -> Reservation:
        budget, now = self.budget, self.clock()
        period, since = budget.period(now)
        try:
            outcome = self.ledger.reserve(
                Request(usd, budget.account, since, period, budget.stop_usd, budget.warn_usd), now
            )
        except RagError as error:
            if budget.stop_usd is None:
                return Reservation(self, usd, notes=(f"warn_usd was not checked: {error}",), base=base)
            raise BudgetError(f"the budget cannot be checked, so the call is refused: {error}") from error
        spent = outcome.spent + outcome.reserved
        kind: Literal["warn", "stop"] = "stop" if outcome.id is None else "warn"
        failed = self._call_hook(kind, outcome.passed, spent, usd)
        if outcome.id is None:
            raise BudgetError("; ".join((self._refusal(outcome, usd), *failed)))
        notes = failed
        if outcome.passed:
            notes = (f"{self._forecast(outcome, usd)}, above warn_usd ({_listed(outcome.passed)})", *failed)
        return Reservation(self, usd, outcome.id, notes, base)

    def _forecast(self, outcome: Outcome, usd: float) -> str:
        budget = self.budget
        whose = f" of {budget.account!r}" if budget.account else ""
        under_way = f", {dollars(outcome.reserved)} for calls under way" if outcome.reserved else ""
        return (
            f"this call could bring {_WHAT[budget.per]}{whose} to "
            f"{dollars(outcome.spent + outcome.reserved + usd)} ({dollars(usd)} for it{under_way})"
        )

    def _refusal(self, outcome: Outcome, usd: float) -> str:
        assert self.budget.stop_usd is not None
        return (
            f"{self._forecast(outcome, usd)}, above stop_usd ({dollars(self.budget.stop_usd)}) in "
            f"{self.ledger.path}: {_LATER.get(self.budget.per, '')}raise stop_usd in [ledger], or lower "
            "max_tokens or the trimmer's budget"
        )

    def _call_hook(
        self, kind: Literal["warn", "stop"], limits: tuple[float, ...], spent: float, usd: float
    ) -> tuple[str, ...]:
        """Call `on_budget` for each limit that was passed; return notes of what failed."""
        if self.on_budget is None:
            return ()
        notes = []
        for limit in limits:
            event = BudgetEvent(
                kind, limit, spent, usd, self.budget.per, self.budget.account,
                self.label, self.ledger.path,
            )  # fmt: skip
            try:
                self.on_budget(event)
            except Exception as error:
                notes.append(f"on_budget failed: {type(error).__name__}: {' '.join(str(error).split())}")
        return tuple(notes)


class Reservation:
    """What is set aside for one call, until it is settled or released. Threads may share it.

    As a context manager it is released at the end, unless it was settled.

    Attributes
    ----------
    notes : tuple of str
        For the user: thresholds that the call may pass, a hook that failed.
    usd : float
        The most that the call can cost; 0.0 where nothing is set aside.
    """

    def __init__(
        self,
        meter: Meter,
        usd: float = 0.0,
        number: int | None = None,
        notes: tuple[str, ...] = (),
        base: str | None = None,
    ) -> None:
        self.notes, self.usd = notes, usd
        self._meter, self._number, self._base = meter, number, base
        self._lock = threading.Lock()
        self._settled = False

    def settle(self, call: Call, *, prompt: str = "") -> str | None:
        """Write the call's row and free what was set aside, in one transaction.

        Only the first call counts; a call after `release` is still written, as it was paid for. A call
        whose price is unknown counts in the budget with what was set aside for it.

        Returns
        -------
        str or None
            A note, the first time that the ledger cannot be written.
        """
        with self._lock:
            if self._settled:
                return None
            self._settled, number, self._number = True, self._number, None
        return self._meter._write(call, prompt, self._base, self.usd or None, number)

    def release(self) -> None:
        """Free what was set aside: the call was not made, or cost nothing."""
        with self._lock:
            number, self._number = self._number, None
        if number is not None:
            self._meter.ledger.release(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _listed(limits: tuple[float, ...]) -> str:
    return ", ".join(map(dollars, limits))
