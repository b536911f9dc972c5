"""The most that one question may cost, beside the budget of the ledger."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from rag.core.errors import BudgetError
from rag.core.format import dollars
from rag.usage.spending import is_more


class Estimates(Protocol):
    """What calls cost at most (`rag.usage.prices.PriceTable`)."""

    def estimate_usd(
        self,
        model: str,
        input_tokens: int,
        output_tokens: int = 0,
        base: str | None = None,
        *,
        cache_ttl: Any = None,
    ) -> float | None:
        """Return the most that a call can cost, by its tokens."""

    def rerank_usd(self, model: str, documents: int, base: str | None = None) -> float | None:
        """Return what ranking some documents costs."""

    def advice(self, model: str, purpose: str = "generate") -> str:
        """Return what to do where a model has no price."""


class CallLimit(Protocol):
    """A limit of dollars that is asked before each call."""

    def hold(self, usd: float) -> None:
        """Set aside what a call may cost, or raise a `BudgetError`."""

    def settle(self, held: float, usd: float | None) -> None:
        """Replace what was set aside by what the call cost; None leaves it, as the cost is not known."""


class QuestionLimit:
    """Dollars that one question may cost; threads may share it.

    Parameters
    ----------
    usd : float
        The most, including what was spent before.
    spent : float
        What was spent before the limit was set.

    Examples
    --------
    >>> limit = QuestionLimit(0.05, spent=0.02)
    >>> limit.hold(0.01)
    >>> limit.settle(0.01, 0.004)                # the call cost less than it could
    >>> limit.hold(0.03)
    Traceback (most recent call last):
        ...
    rag.core.errors.BudgetError: this call could bring the question's cost to $0.0540 ($0.0300 for it), \
above max_usd ($0.0500): raise max_usd, or lower max_tokens or the trimmer's budget
    """

    def __init__(self, usd: float, spent: float = 0.0) -> None:
        self.usd, self._spent = usd, spent
        self._lock = threading.Lock()

    def hold(self, usd: float) -> None:
        """Set aside what a call may cost.

        Raises
        ------
        BudgetError
            The call must not be made.
        """
        with self._lock:
            if is_more(self._spent + usd, self.usd):
                raise BudgetError(
                    f"this call could bring the question's cost to {dollars(self._spent + usd)} "
                    f"({dollars(usd)} for it), above max_usd ({dollars(self.usd)}): raise max_usd, or lower "
                    "max_tokens or the trimmer's budget"
                )
            self._spent += usd

    def settle(self, held: float, usd: float | None) -> None:
        """Replace what was set aside by what the call cost; None leaves it, as the cost is not known."""
        with self._lock:
            self._spent += 0.0 if usd is None else usd - held


def most_usd(
    prices: Estimates | None,
    model: str,
    purpose: str,
    *,
    input_tokens: int,
    output_tokens: int,
    documents: int | None,
    base: str | None,
    cache_ttl: Any,
) -> float:
    """Return the most that a call can cost.

    Raises
    ------
    BudgetError
        No price is known.
    """
    if prices is None:
        raise BudgetError(f"max_usd refuses {model}: no prices are known outside a pipeline")
    if documents is not None:
        usd = prices.rerank_usd(model, documents, base)
    else:
        usd = prices.estimate_usd(model, input_tokens, output_tokens, base, cache_ttl=cache_ttl)
    if usd is None:
        raise BudgetError(f"max_usd refuses a model without a price: {prices.advice(model, purpose)}")
    return usd
