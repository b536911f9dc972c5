"""The user's pipeline with other settings of its retriever, or with the local answerer."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from rag.core.errors import UsageError
from rag.evaluation.answer_prices import id_of, longest, paid_models, unpriced
from rag.generation.models import priced_as
from rag.generation.reply import texts
from rag.retrieval.search import HybridSearch
from rag.usage.budget import Budget
from rag.usage.tokens import estimate_all

#: What only real questions do: a trial is no record, needs no review, and its answer is not kept.
_AROUND = ("responses", "review", "receipts", "telemetry", "embedder")
#: Tokens of a reply whose length is not known: some four sentences with their quotes, as `rag eval` takes it.
_REPLY_TOKENS = 250


@runtime_checkable
class Budgeted(Protocol):
    """A trimmer with a budget."""

    budget: int
    unit: str


class Variants:
    """Makes pipelines that differ from the user's in their settings; each once.

    Parameters
    ----------
    pipe : Pipeline
    """

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.models = paid_models(pipe.generator)
        self._of = functools.lru_cache(maxsize=32)(self._made)

    @property
    def has_weight(self) -> bool:
        """Whether the retriever has a weight of the lexical arm."""
        return isinstance(self.pipe.retriever, HybridSearch)

    @property
    def has_reranker(self) -> bool:
        """Whether the retriever asks a reranker."""
        retriever = self.pipe.retriever
        return isinstance(retriever, HybridSearch) and retriever.reranker is not None

    def of(self, lexical_weight: float | None, *, rerank: bool = True, own: bool = False) -> Any:
        """Return the pipeline with other settings.

        Parameters
        ----------
        lexical_weight : float, optional
            By default the retriever's.
        rerank : bool
        own : bool
            With the user's generator; by default with the local answerer where that one is paid for.
        """
        return self._of(lexical_weight, rerank, own)

    def _made(self, lexical_weight: float | None, rerank: bool, own: bool) -> Any:
        pipe, retriever = self.pipe, self.pipe.retriever
        changes: dict[str, Any] = {}
        if lexical_weight is not None:
            changes["lexical_weight"] = lexical_weight
        if not rerank:
            changes["reranker"] = None
        if changes and not isinstance(retriever, HybridSearch):
            raise UsageError(f"the retriever {type(retriever).__name__} has no weights: leave them out")
        if isinstance(retriever, HybridSearch) and changes:
            retriever = retriever.model_copy(update=changes)
        settings = {name: value for name, value in pipe.settings.items() if name not in _AROUND}
        settings |= {"retriever": retriever, "trimmer": pipe.trimmer, "generator": pipe.generator}
        if self.models and not own:
            settings = {
                name: value for name, value in settings.items() if name not in ("generator", "prompt")
            }
        return type(pipe)(pipe.index, settings=settings, on_unverified=pipe.on_unverified)


def free(pipe: Any) -> Any:
    """Return a pipeline that refuses, with a `BudgetError`, every call that costs money or has no price."""
    out = copy.copy(pipe)
    out.meter = replace(pipe.meter, budget=Budget(stop_usd=0.0, per="call"), on_budget=None)
    return out


def price(pipe: Any, messages: Any) -> tuple[float, float]:
    """Return what asking a pipeline's model costs: about, and at most, in US dollars.

    Of several models behind one, the first is taken for `about`, the dearest for `at most`. A reply is taken
    to have `_REPLY_TOKENS` for `about`, and as many as the model may write for `at most`.

    Raises
    ------
    UsageError
        A model has no known price; the message says how to enter one.
    """
    missing = unpriced(pipe)
    if missing:
        raise UsageError(missing[0])
    models, prices = paid_models(pipe.generator), pipe.meter.prices
    read = sum(estimate_all(texts(messages), id_of(models[0])))

    def cost(model: Any, written: int) -> float:
        return float(prices.estimate_usd(id_of(model), read, written, priced_as(model)) or 0.0)

    return cost(models[0], _REPLY_TOKENS), max(cost(model, longest(model, pipe.prompt)) for model in models)
