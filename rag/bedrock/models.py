"""The models of Amazon Bedrock that `rag` knows: what they cost, and what they can do. Dated.

**Prices** are US dollars per million tokens, on demand, as in the table of litellm 1.109.1
(``model_prices_and_context_window_backup.json`` of the PyPI package, read November 2026), and so are
the sizes of contexts. A region's own profile costs more than ``global.``: Claude 10 % with ``us.``,
``eu.``, ``apac.``, ``jp.`` and ``au.``, 20 % with ``us-gov.``; Nova nothing with ``us.``, 5 % with
``apac.`` (micro 5.7 %), 30 to 31 % with ``eu.``. A bare id counts as ``global.`` does in that table;
AWS is said to bill it as the region's profile where a model can be called so at all. Taxes, private
offers and service tiers are not in it: the Amazon Bedrock pricing page and your bill decide.

**Citations**: AWS's reference of ``SearchResultBlock`` names Opus 4.1 and 4, Sonnet 4.5, 4 and 3.7,
and 3.5 Haiku.

**Least prefix that is cached**: ``prompt_cache_min_tokens`` of the same table; it agrees with
Anthropic's "Prompt caching" for 4.5 and 5 models. Nova's 1,000 is of AWS's "Prompt caching for faster
model inference". A shorter prefix is not cached, and nothing says so.

**Structured output** (``outputConfig.textFormat``): Anthropic's "Structured outputs" names the 4.5
models for Bedrock, litellm Sonnet 5 and 5.5 and Haiku 5.5, but not Opus 5 and 5.5.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from rag.core.answers import Usage

#: When the table was made, and for how many days it is taken as it is.
DATE = dt.date(2026, 11, 1)
FRESH_DAYS = 180
#: What a batch job costs of the price on demand (Amazon Bedrock pricing page, "Batch").
BATCH_FACTOR = 0.5
#: Documents that are one query of a reranker; more count as further queries (Bedrock pricing page).
QUERY_DOCUMENTS = 100


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs.

    Attributes
    ----------
    input, output, cache_write_5m, cache_write_1h, cache_read : float
        US dollars per million tokens.
    long_from : int
        Of a prompt with more tokens than this (the cached ones included) every token costs
        `long_input_factor` or `long_output_factor` times as much; 0 where there is no such border.
    per_query_usd : float
        Of a reranker: US dollars for a query and up to `QUERY_DOCUMENTS` documents.
    """

    input: float
    output: float = 0.0
    cache_write_5m: float = 0.0
    cache_write_1h: float = 0.0
    cache_read: float = 0.0
    long_from: int = 0
    long_input_factor: float = 1.0
    long_output_factor: float = 1.0
    per_query_usd: float = 0.0

    def times(self, factor: float) -> Price:
        """Return the price of a profile or service that costs `factor` times as much."""
        return replace(
            self, input=self.input * factor, output=self.output * factor,
            cache_write_5m=self.cache_write_5m * factor, cache_write_1h=self.cache_write_1h * factor,
            cache_read=self.cache_read * factor, per_query_usd=self.per_query_usd * factor,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Model:
    """A model, or its price through one inference profile.

    Attributes
    ----------
    id : str
        The model's id, without a profile's prefix.
    context_tokens : int
        Most tokens of prompt and reply together; of an embedder, of one text.
    citations : bool
        Whether it cites ``searchResult`` blocks by itself.
    cache_minimum : int or None
        Tokens of the shortest prefix that is cached; None where nothing is.
    structured : bool
        Whether it takes a JSON schema in ``outputConfig``.
    """

    id: str
    price: Price
    context_tokens: int
    citations: bool = False
    cache_minimum: int | None = None
    structured: bool = False


def _nova(price_in: float, price_out: float, price_read: float) -> Price:
    # No price of writes is named: they are counted as the tokens that they are.
    return Price(price_in, price_out, price_in, price_in, price_read)


def _claude(id: str, price: Price, context: int, cache_minimum: int, *, structured: bool = True) -> Model:
    # Citations of those that AWS does not name (all but Sonnet 4.5) are assumed by their lineage.
    return Model(f"anthropic.{id}", price, context, True, cache_minimum, structured)


_SONNET_4_5 = Price(3, 15, 3.75, 6, 0.30, 200_000, 2, 1.5)
_HAIKU_5_5 = Price(0.10, 0.50, 0.125, 0.20, 0.01, 100_000, 5, 5)
_TABLE = (
    _claude("claude-haiku-4-5-20251001-v1:0", Price(1, 5, 1.25, 2, 0.10), 200_000, 4096),
    _claude("claude-haiku-5-5", _HAIKU_5_5, 1_000_000, 512),
    _claude("claude-sonnet-4-5-20250929-v1:0", _SONNET_4_5, 200_000, 1024),
    _claude("claude-sonnet-5", Price(2, 10, 2.5, 4, 0.20), 1_000_000, 1024),
    _claude("claude-sonnet-5-5", Price(2, 10, 2.5, 4, 0.10), 1_000_000, 512),
    _claude("claude-opus-4-5-20251101-v1:0", Price(5, 25, 6.25, 10, 0.50), 200_000, 4096),
    _claude("claude-opus-5", Price(5, 25, 6.25, 10, 0.50), 1_000_000, 512, structured=False),
    _claude("claude-opus-5-5", Price(4, 20, 5, 8, 0.20), 1_000_000, 512, structured=False),
    Model("anthropic.claude-3-haiku-20240307-v1:0", Price(0.25, 1.25), 200_000),
    Model("amazon.nova-micro-v1:0", _nova(0.035, 0.14, 0.00875), 128_000, cache_minimum=1000),
    Model("amazon.nova-lite-v1:0", _nova(0.06, 0.24, 0.015), 300_000, cache_minimum=1000),
    Model("amazon.nova-pro-v1:0", _nova(0.80, 3.20, 0.20), 300_000, cache_minimum=1000),
    Model("amazon.titan-embed-text-v2:0", Price(0.02), 8_192),
    Model("cohere.embed-v4:0", Price(0.12), 128_000),
    Model("amazon.nova-2-multimodal-embeddings-v1:0", Price(0.135), 8_172),
    Model("amazon.rerank-v1:0", Price(0, per_query_usd=0.001), 32_000),
    Model("cohere.rerank-v3-5:0", Price(0, per_query_usd=0.002), 4_096),
)
#: By id.
MODELS: Mapping[str, Model] = {model.id: model for model in _TABLE}

#: Prices of profiles that are not a factor of the model's.
_PROFILES: Mapping[str, Price] = {
    "apac.amazon.nova-micro-v1:0": _nova(0.037, 0.148, 0.00925),
    "apac.amazon.nova-lite-v1:0": _nova(0.063, 0.252, 0.01575),
    "apac.amazon.nova-pro-v1:0": _nova(0.84, 3.36, 0.21),
    "eu.amazon.nova-micro-v1:0": _nova(0.046, 0.184, 0.0115),
    "eu.amazon.nova-lite-v1:0": _nova(0.078, 0.312, 0.0195),
    "eu.amazon.nova-pro-v1:0": _nova(1.05, 4.20, 0.2625),
}
#: What a profile's prefix makes of a price: of Claude from 4.5 on, and of any other model.
_FACTORS: Mapping[str, tuple[float, float]] = {
    "global": (1.0, 1.0), "us": (1.1, 1.0), "eu": (1.1, 1.0), "apac": (1.1, 1.0), "jp": (1.1, 1.0),
    "au": (1.1, 1.0), "us-gov": (1.2, 1.2),
}  # fmt: skip
#: Kinds of ARN that end in an id of this table; others are an account's own, of any model.
_NAMED = ("foundation-model", "inference-profile")


def find(model_id: str, base: str | None = None) -> Model | None:
    """Return what is known of a model; its price is that of the profile.

    Parameters
    ----------
    model_id : str
        An id, an inference profile's id, or the ARN of either.
    base : str, optional
        The id or profile behind an ARN that does not say it: an application inference profile's,
        or that of provisioned throughput (whose price by the hour is not known here).

    Returns
    -------
    Model or None
        None for a model that is not in the table.

    Examples
    --------
    >>> find("us.anthropic.claude-sonnet-5-5").price.input
    2.2
    >>> find("arn:aws:bedrock:eu-west-1::foundation-model/amazon.titan-embed-text-v2:0").price.input
    0.02
    """
    name = _name(model_id)
    if name in MODELS:
        return MODELS[name]
    prefix, _, rest = name.partition(".")
    model = MODELS.get(rest)
    if model is None or prefix not in _FACTORS:
        return find(base) if base else None
    claude, other = _FACTORS[prefix]
    dearer = claude if model.id.startswith("anthropic.") and model.cache_minimum else other
    price = _PROFILES.get(name) or (model.price if dearer == 1 else model.price.times(dearer))
    return replace(model, price=price)


def _name(model_id: str) -> str:
    if not model_id.startswith("arn:"):
        return model_id
    kind, _, name = model_id.split(":", 5)[-1].partition("/")
    return name if kind in _NAMED else model_id


def cost_usd(model: str, usage: Usage, *, base: str | None = None) -> float | None:
    """Return what a call cost, or None where no price per token is known.

    Parameters
    ----------
    model, base : str
        As `find` takes them.
    usage : Usage
        Its `input_tokens` exclude what was read from or written to the prompt cache.

    Examples
    --------
    >>> cost_usd("global.anthropic.claude-sonnet-5-5", Usage(1_000_000, 100_000))
    3.0
    """
    found = find(model, base)
    if found is None or found.price.per_query_usd:
        return None
    price = found.price
    prompt = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_write_input_tokens
    long = bool(price.long_from) and prompt > price.long_from
    for_an_hour = min(usage.cache_write_1h_input_tokens, usage.cache_write_input_tokens)
    entry = (
        usage.input_tokens * price.input
        + (usage.cache_write_input_tokens - for_an_hour) * price.cache_write_5m
        + for_an_hour * price.cache_write_1h
        + usage.cache_read_input_tokens * price.cache_read
    ) * (price.long_input_factor if long else 1.0)
    exit_ = usage.output_tokens * price.output * (price.long_output_factor if long else 1.0)
    return (entry + exit_) / 1e6


def estimate_usd(
    model: str, input_tokens: int, max_output_tokens: int = 0, *, base: str | None = None
) -> float | None:
    """Return the most that a call can cost that neither reads nor writes the prompt cache.

    Examples
    --------
    >>> estimate_usd("global.anthropic.claude-opus-5-5", 10_000, 2_000)
    0.08
    """
    return cost_usd(model, Usage(input_tokens, max_output_tokens), base=base)


def rerank_usd(model: str, documents: int, *, base: str | None = None) -> float | None:
    """Return what ranking documents for one question costs, or None where no price is known.

    Examples
    --------
    >>> rerank_usd("cohere.rerank-v3-5:0", 250)
    0.006
    """
    found = find(model, base)
    if found is None or not found.price.per_query_usd:
        return None
    return math.ceil(documents / QUERY_DOCUMENTS) * found.price.per_query_usd


def age_days(today: dt.date | None = None) -> int:
    """Return how many days old the table is."""
    return ((today or dt.datetime.now(dt.UTC).date()) - DATE).days


def stale(today: dt.date | None = None) -> str | None:
    """Return a sentence about the table's age once it is older than `FRESH_DAYS`; else None."""
    days = age_days(today)
    if days <= FRESH_DAYS:
        return None
    return f"prices are of {DATE.isoformat()}, {days} days ago: compare them with Bedrock's pricing page"
