"""What the models behind a pipeline cost, before any is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from rag.core.errors import BudgetError
from rag.generation.models import StandsForOthers, model_of, priced_as, unbound
from rag.generation.quoting import Quoting
from rag.generation.voice import TakesVariables


def refuse_unpriced(pipes: Mapping[str, Any]) -> None:
    """Refuse models without a price where a budget limits what may be spent.

    Raises
    ------
    BudgetError
    """
    for name, pipe in pipes.items():
        if pipe.meter.budget.stop_usd is not None and (lacking := unpriced(pipe)):
            raise BudgetError(f"{name}: a budget with stop_usd refuses a model without a price: {lacking[0]}")


def unpriced(pipe: Any) -> list[str]:
    """Return why models of a pipeline have no price, and how to enter one; a line for each."""
    prices = pipe.meter.prices
    return [
        prices.advice(id_of(model)) for model in paid_models(pipe.generator)
        if prices.estimate_usd(id_of(model), 1, 1, priced_as(model)) is None
    ]  # fmt: skip


def paid_models(generator: Any) -> list[Any]:
    """Return the models behind a generator that are paid for, first the one that is asked first.

    The local answerer is none of them.
    """
    inner = unbound(generator)
    if isinstance(inner, Quoting):
        return []
    if isinstance(inner, StandsForOthers):
        return [model for other in inner.others for model in paid_models(other)]
    return [inner]


def id_of(model: Any) -> str:
    """Return the name by which a model is priced: its id, or that of its class."""
    return model_of(model) or type(model).__name__


@runtime_checkable
class Limited(Protocol):
    """A chat model whose replies have a most of tokens."""

    max_tokens: int | None


def longest(model: Any, prompt: Any) -> int:
    """Return the most tokens of a reply, as a budget takes it."""
    from rag.usage.model_calls import MOST_OUTPUT_TOKENS  # it imports LangChain

    of_prompt = prompt.parameters.get("max_tokens") if isinstance(prompt, TakesVariables) else None
    inner = unbound(model)
    of_model = inner.max_tokens if isinstance(inner, Limited) else None
    return int(of_prompt or of_model or MOST_OUTPUT_TOKENS)
