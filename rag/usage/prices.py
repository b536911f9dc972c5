"""The prices of models: the built-in list and the user's.

A model that the built-in list lacks, or prices otherwise than the bill, is entered in rag.toml::

    [prices."openai/gpt-oss-120b"]    # a model's id, a profile's id, an ARN, or any LangChain model name
    input = 0.15                      # US dollars per million tokens
    output = 0.60
    cache_read = 0.015                # a cache price that is missing counts as input, never as 0
    cache_write = 0.15
    cache_write_1h = 0.30

    [prices."my-reranker"]
    per_query = 0.002                 # US dollars per query of up to 100 documents

    [prices."knowledge-base/ABCDEFGHIJ"]    # or "knowledge-base", for all
    per_query = 0.01                  # US dollars per question that RetrieveAndGenerate answers

``[prices.guardrails]`` has the prices of guardrails: see `rag.usage.guardrail_prices`.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rag.core.calls import Usage
from rag.core.errors import ConfigError
from rag.usage import model_ids
from rag.usage.guardrail_prices import GuardrailPrices
from rag.usage.price_list import (
    BATCH_FACTOR,
    DATE,
    FRESH_DAYS,
    PRICES,
    PROFILE_PRICES,
    QUERY_DOCUMENTS,
    Price,
)
from rag.usage.settings import Dollars, Settings, checked

__all__ = [
    "BATCH_FACTOR", "BUILT_IN", "DATE", "FRESH_DAYS", "QUERY_DOCUMENTS", "Price", "PriceTable",
    "age_days", "stale",
]  # fmt: skip

#: How long a prompt's cached prefix is kept.
CacheTtl = Literal["5m", "1h"]
#: The table of ``[prices]`` that is of no model.
_GUARDRAILS = "guardrails"
#: The purpose of a call of RetrieveAndGenerate, which tells no tokens: it is priced by the question.
ANSWER = "retrieve_and_generate"
_PER_MILLION = "a number of dollars per million tokens, from 0"


class PriceSettings(Settings):
    """One table of ``[prices]``."""

    input: Dollars | None = Field(None, description=_PER_MILLION)
    output: Dollars | None = Field(None, description=_PER_MILLION)
    cache_read: Dollars | None = Field(None, description=_PER_MILLION)
    cache_write: Dollars | None = Field(None, description=_PER_MILLION)
    cache_write_1h: Dollars | None = Field(None, description=_PER_MILLION)
    per_query: Dollars | None = Field(None, description="a number of dollars per query, from 0")

    @model_validator(mode="after")
    def _is_a_price(self) -> Self:
        if self.input is None and self.per_query is None:
            raise ValueError(
                "give input (dollars per million tokens), or per_query for a reranker or knowledge base"
            )
        return self

    def price(self) -> Price:
        """Return the price; a cache price that is missing counts as `input`."""
        entry = self.input or 0.0
        read, write, write_1h = (
            entry if usd is None else usd for usd in (self.cache_read, self.cache_write, self.cache_write_1h)
        )
        return Price(entry, self.output, read, write, write_1h, self.per_query)


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model: the user's entries, then the built-in list. Immutable.

    A model's price is, in this order: the user's entry for exactly this id or ARN; the user's entry for
    the model behind a regional profile, times the profile's factor; the built-in price. An entry
    ``"provider:name"`` also prices the model ``name``.

    Parameters
    ----------
    entries : tuple of (str, Price)
        The user's; `from_settings` makes them from ``[prices]``.
    guardrails : GuardrailPrices
        Of guardrails, by text units.

    Examples
    --------
    >>> PriceTable().find("us.anthropic.claude-sonnet-5-5").input
    2.2
    >>> table = PriceTable.from_settings({"my-model": {"input": 1.0, "output": 2.0}})
    >>> table.cost_usd("my-model", Usage(1_000_000, 500_000))
    2.0
    """

    entries: tuple[tuple[str, Price], ...] = ()
    guardrails: GuardrailPrices = field(default_factory=GuardrailPrices)

    @classmethod
    def from_settings(cls, value: Any) -> PriceTable:
        """Check ``[prices]`` of rag.toml and add it to the built-in list.

        Parameters
        ----------
        value : mapping, PriceTable or None
            A table of prices for each model, as in this module's text.

        Raises
        ------
        ConfigError
            An entry is no table, has an unknown name, or a value is refused.
        """
        if value is None:
            return BUILT_IN
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f'[prices] holds a table for each model, as in [prices."model"], not {value!r}')
        entries, guardrails = [], GuardrailPrices()
        for model, table in value.items():
            if not isinstance(table, Mapping):
                raise ConfigError(
                    f'[prices] holds a table for each model: write [prices."{model}"] and input = … below '
                    f"it, not {table!r}"
                )
            if model == _GUARDRAILS:
                guardrails = GuardrailPrices.from_settings(table)
                continue
            settings = checked(PriceSettings, table, f"the price of {model!r}")
            entries.append((str(model), settings.price()))
        return cls(tuple(entries), guardrails)

    def find(self, model: str, base: str | None = None) -> Price | None:
        """Return the price of a model, or None where it is unknown.

        Parameters
        ----------
        model : str
            An id, an inference profile's id, the ARN of either, or any other model's name.
        base : str, optional
            The id or profile behind an ARN that does not name it: an application inference profile's.
            Provisioned throughput is paid by the hour, so its base is not looked at.
        """
        price = self._entry(model) or self._listed(model)
        if price is None and base is not None and base != model and not model_ids.is_provisioned(model):
            return self._entry(base) or self._listed(base)
        return price

    def cost_usd(self, model: str, usage: Usage, base: str | None = None) -> float | None:
        """Return the cost of a call, or None where no price per token is known.

        Parameters
        ----------
        model, base : str
            See `find`.
        usage : Usage
            Its `input_tokens` exclude those read from or written to the prompt cache.

        Examples
        --------
        >>> BUILT_IN.cost_usd("global.anthropic.claude-sonnet-5-5", Usage(1_000_000, 100_000))
        3.0
        """
        price = self.find(model, base)
        if price is None or price.per_query is not None or (usage.output_tokens and price.output is None):
            return None
        prompt = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_write_input_tokens
        long = bool(price.long_from) and prompt > price.long_from
        for_an_hour = min(usage.cache_write_1h_input_tokens, usage.cache_write_input_tokens)
        read = (
            usage.input_tokens * price.input
            + (usage.cache_write_input_tokens - for_an_hour) * price.cache_write
            + for_an_hour * price.cache_write_1h
            + usage.cache_read_input_tokens * price.cache_read
        ) * (price.long_input if long else 1.0)
        written = usage.output_tokens * (price.output or 0.0) * (price.long_output if long else 1.0)
        return (read + written) / 1e6

    def estimate_usd(
        self,
        model: str,
        input_tokens: int,
        output_tokens: int = 0,
        base: str | None = None,
        *,
        cache_ttl: CacheTtl | None = None,
    ) -> float | None:
        """Return the most that a call can cost, or None where no price per token is known.

        Parameters
        ----------
        model, base : str
            See `find`.
        input_tokens, output_tokens : int
            The most that there can be.
        cache_ttl : {"5m", "1h"}, optional
            Given where the prompt may be written to the cache, for so long: then every token of it is
            counted at the price of a write where that is higher.

        Examples
        --------
        >>> BUILT_IN.estimate_usd("global.anthropic.claude-opus-5-5", 10_000, 2_000)
        0.08
        >>> BUILT_IN.estimate_usd("global.anthropic.claude-opus-5-5", 10_000, 2_000, cache_ttl="1h")
        0.12
        """
        kinds = [Usage(input_tokens, output_tokens)]
        if cache_ttl is not None:
            an_hour = input_tokens if cache_ttl == "1h" else 0
            kinds.append(Usage(0, output_tokens, 0, input_tokens, None, an_hour))
        costs = [self.cost_usd(model, usage, base) for usage in kinds]
        known = [cost for cost in costs if cost is not None]
        return max(known) if known else None

    def rerank_usd(self, model: str, documents: int, base: str | None = None) -> float | None:
        """Return the cost of ranking documents for one question, or None where no price is known.

        Examples
        --------
        >>> BUILT_IN.rerank_usd("cohere.rerank-v3-5:0", 250)
        0.006
        """
        price = self.find(model, base)
        if price is None or price.per_query is None:
            return None
        return math.ceil(documents / QUERY_DOCUMENTS) * price.per_query

    def advice(self, model: str, purpose: str = "generate") -> str:
        """Return, in one line, why a model has no price and how to enter one."""
        table = f'[prices."{model}"]'
        if model_ids.is_provisioned(model):
            return (
                f"{model} is provisioned throughput, which is paid by the hour, so no price per token is "
                f"known: enter one in rag.toml, {table} with input = … and output = …, or 0 for both"
            )
        price = self._entry(model)
        if price is not None and price.output is None and price.per_query is None:
            return f"the price of {model} has no output: enter it in rag.toml, {table} with output = …"
        if purpose in ("rerank", ANSWER):
            return f"no price is known for {model}: enter it in rag.toml, {table} with per_query = …"
        more = "" if purpose == "embed" else " and output = …"
        return (
            f"no price is known for {model}: enter it in rag.toml, {table} with input = …{more} "
            "(US dollars per million tokens)"
        )

    def _entry(self, model: str) -> Price | None:
        """Return the user's price, by the exact name first."""
        if not self.entries:
            return None
        entries = dict(self.entries)
        for name in (model, model_ids.without_arn(model)):
            if name in entries:
                return entries[name]
        for entry, price in self.entries:
            provider, colon, name = entry.partition(":")
            if colon and name == model and provider.isidentifier():
                return price
        profile, rest = model_ids.split(model)
        return entries[rest].times(_factor(profile, rest)) if profile and rest in entries else None

    def _listed(self, model: str) -> Price | None:
        profile, rest = model_ids.split(model)
        exact = PROFILE_PRICES.get(f"{profile}.{rest}")
        if exact is not None:
            return exact
        price = PRICES.get(rest)
        return None if price is None else replace(price.times(_factor(profile, rest)), regional=1.0)


def _factor(profile: str, model: str) -> float:
    """Return how many times as much a model costs by a profile."""
    if profile in ("", "global"):
        return 1.0
    listed = PRICES.get(model)
    return 1.2 if profile == "us-gov" else listed.regional if listed else 1.0


#: The list that comes with rag, without prices of the user's.
BUILT_IN = PriceTable()


def age_days(today: dt.date | None = None) -> int:
    """Return how many days old the built-in list is."""
    return ((today or dt.datetime.now(dt.UTC).date()) - DATE).days


def stale(today: dt.date | None = None) -> str | None:
    """Return a sentence about the list's age once it is older than `FRESH_DAYS`; else None."""
    days = age_days(today)
    if days <= FRESH_DAYS:
        return None
    return f"prices are of {DATE.isoformat()}, {days} days ago: compare them with Bedrock's pricing page"
