"""Prices of models on Amazon Bedrock, dated.

US dollars per million tokens, on demand, as in the price table of litellm 1.109.1 (model_prices
JSON, read November 2026), without regional surcharges except the 10 % of ``us.`` inference
profiles. Look up the Amazon Bedrock pricing page before you rely on them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from rag.records import Usage

DATE = dt.date(2026, 11, 1)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens; `long_from` prompt tokens on, `long_factor` times as much."""

    input: float
    output: float = 0.0
    cache_write: float = 0.0
    cache_read: float = 0.0
    long_from: int = 0
    long_input_factor: float = 1.0
    long_output_factor: float = 1.0


PRICES: dict[str, Price] = {
    "anthropic.claude-haiku-4-5-20251001-v1:0": Price(1, 5, 1.25, 0.10),
    "anthropic.claude-haiku-5-5": Price(0.10, 0.50, 0.125, 0.01, 100_000, 5, 5),
    "anthropic.claude-sonnet-4-5-20250929-v1:0": Price(3, 15, 3.75, 0.30, 200_000, 2, 1.5),
    "anthropic.claude-sonnet-5": Price(2, 10, 2.5, 0.20),
    "anthropic.claude-sonnet-5-5": Price(2, 10, 2.5, 0.10),
    "anthropic.claude-opus-4-5-20251101-v1:0": Price(5, 25, 6.25, 0.50),
    "anthropic.claude-opus-5": Price(5, 25, 6.25, 0.50),
    "anthropic.claude-opus-5-5": Price(4, 20, 5, 0.20),
    "anthropic.claude-3-haiku-20240307-v1:0": Price(0.25, 1.25),
    "amazon.nova-micro-v1:0": Price(0.035, 0.14),
    "amazon.nova-lite-v1:0": Price(0.06, 0.24),
    "amazon.nova-pro-v1:0": Price(0.8, 3.2),
    "amazon.titan-embed-text-v2:0": Price(0.02),
}


def cost_usd(model: str, usage: Usage) -> float | None:
    """Return what a call cost, or None for a model without a known price.

    Parameters
    ----------
    model : str
        A model id, or an inference profile's (``global.`` or ``us.`` before the id).
    usage : Usage
        Its `input_tokens` exclude what was read from or written to the prompt cache.
    """
    region, _, rest = model.partition(".")
    name, surcharge = (rest, 1.1 if region == "us" else 1.0) if rest in PRICES else (model, 1.0)
    price = PRICES.get(name)
    if price is None:
        return None
    read = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_write_input_tokens
    long = bool(price.long_from) and read > price.long_from
    entry = (
        usage.input_tokens * price.input
        + usage.cache_write_input_tokens * price.cache_write
        + usage.cache_read_input_tokens * price.cache_read
    ) * (price.long_input_factor if long else 1.0)
    exit_ = usage.output_tokens * price.output * (price.long_output_factor if long else 1.0)
    return (entry + exit_) * surcharge / 1e6
