"""The built-in list of prices on Amazon Bedrock. Dated; facts alone.

US dollars per million tokens, on demand, from the table of litellm 1.110.2
(``model_prices_and_context_window_backup.json`` of the PyPI package, read 25 November 2026). Claude 3
Haiku and Claude 3 Sonnet, which that version no longer lists for Bedrock, are from litellm 1.80.0.

- **Cache**: Claude's writes cost 1.25 times the input for five minutes and twice the input for an hour.
  The table names no price for an hour for the models before 4.5; Anthropic's factor of two ("Prompt
  caching", 2026) is used, the higher. Where it names no cache price at all (Claude 3 Haiku, 3 Sonnet,
  2.1, 1 and Instant; Nova's writes; Titan), cached tokens cost what input costs.
- **Profiles**: Claude from 4.5 on costs 10 % more with ``us.``, ``eu.``, ``apac.``, ``jp.`` and ``au.``
  than with ``global.``; older Claude costs the same with each. ``us-gov.`` costs 20 % more.
  Nova's profiles have prices of their own, listed here. A bare id counts as ``global.`` does.
- **Not covered**: regions whose bare ids cost more (Claude Instant in Tokyo and Frankfurt, Titan in
  GovCloud), commitments, service tiers, taxes and private offers. Bedrock's pricing page and the bill
  decide; enter what differs in ``[prices]``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

#: The day on which the list was read, and for how many days it is used without a remark.
DATE = dt.date(2026, 11, 25)
FRESH_DAYS = 180
#: A batch job's price as a share of that on demand (Amazon Bedrock pricing page, "Batch").
BATCH_FACTOR = 0.5
#: Documents per query of a reranker; more count as further queries (Bedrock pricing page).
QUERY_DOCUMENTS = 100


@dataclass(frozen=True, slots=True)
class Price:
    """The prices of a model.

    Attributes
    ----------
    input, cache_read, cache_write, cache_write_1h : float
        US dollars per million tokens; writes are kept for five minutes, or for an hour.
    output : float or None
        US dollars per million tokens; None where it is unknown, so that no reply can be priced.
    per_query : float or None
        For a reranker: US dollars for a query and up to `QUERY_DOCUMENTS` documents. None for others.
    long_from : int
        A prompt with more tokens than this (cached ones included) costs `long_input` times as much for
        every token of it, and `long_output` times for the reply; 0 where there is no such border.
    regional : float
        How many times as much a regional profile costs.
    """

    input: float
    output: float | None
    cache_read: float
    cache_write: float
    cache_write_1h: float
    per_query: float | None = None
    long_from: int = 0
    long_input: float = 1.0
    long_output: float = 1.0
    regional: float = 1.0

    def times(self, factor: float) -> Price:
        """Return the price of a profile or service that costs `factor` times as much."""
        if factor == 1.0:
            return self
        return replace(
            self, input=self.input * factor, output=None if self.output is None else self.output * factor,
            cache_read=self.cache_read * factor, cache_write=self.cache_write * factor,
            cache_write_1h=self.cache_write_1h * factor,
            per_query=None if self.per_query is None else self.per_query * factor,
        )  # fmt: skip


def _plain(input: float, output: float = 0.0, read: float | None = None) -> Price:
    """Price a model whose cache writes, and reads unless named, cost what input costs."""
    return Price(input, output, input if read is None else read, input, input)


def _claude(input: float, output: float, read: float) -> Price:
    return Price(input, output, read, input * 1.25, input * 2)


def _current(input: float, output: float, read: float) -> Price:
    return replace(_claude(input, output, read), regional=1.1)


def _reranker(per_query: float) -> Price:
    return replace(_plain(0.0), per_query=per_query)


#: By the model's id.
PRICES: Mapping[str, Price] = {
    "anthropic.claude-v1": _plain(8, 24),
    "anthropic.claude-v2:1": _plain(8, 24),
    "anthropic.claude-instant-v1": _plain(0.80, 2.40),
    "anthropic.claude-3-haiku-20240307-v1:0": _plain(0.25, 1.25),
    "anthropic.claude-3-sonnet-20240229-v1:0": _plain(3, 15),
    "anthropic.claude-3-opus-20240229-v1:0": _claude(15, 75, 1.50),
    "anthropic.claude-3-5-haiku-20241022-v1:0": _claude(0.80, 4, 0.08),
    "anthropic.claude-3-5-sonnet-20240620-v1:0": _claude(3, 15, 0.30),
    "anthropic.claude-3-5-sonnet-20241022-v2:0": _claude(3, 15, 0.30),
    "anthropic.claude-3-7-sonnet-20250219-v1:0": _claude(3, 15, 0.30),
    "anthropic.claude-sonnet-4-20250514-v1:0": replace(
        _claude(3, 15, 0.30), long_from=200_000, long_input=2, long_output=1.5
    ),
    "anthropic.claude-opus-4-20250514-v1:0": _claude(15, 75, 1.50),
    "anthropic.claude-opus-4-1-20250805-v1:0": _claude(15, 75, 1.50),
    "anthropic.claude-haiku-4-5-20251001-v1:0": _current(1, 5, 0.10),
    "anthropic.claude-sonnet-4-5-20250929-v1:0": replace(
        _current(3, 15, 0.30), long_from=200_000, long_input=2, long_output=1.5
    ),
    "anthropic.claude-opus-4-5-20251101-v1:0": _current(5, 25, 0.50),
    "anthropic.claude-sonnet-4-6": _current(3, 15, 0.30),
    "anthropic.claude-opus-4-6-v1": _current(5, 25, 0.50),
    "anthropic.claude-opus-4-7": _current(5, 25, 0.50),
    "anthropic.claude-opus-4-8": _current(5, 25, 0.50),
    "anthropic.claude-sonnet-5": _current(2, 10, 0.20),
    "anthropic.claude-opus-5": _current(5, 25, 0.50),
    "anthropic.claude-fable-5": _current(10, 50, 1.00),
    "anthropic.claude-fable-5-1": _current(10, 50, 0.25),
    "anthropic.claude-haiku-5-5": replace(
        _current(0.10, 0.50, 0.01), long_from=100_000, long_input=5, long_output=5
    ),
    "anthropic.claude-sonnet-5-5": _current(2, 10, 0.10),
    "anthropic.claude-opus-5-5": _current(4, 20, 0.20),
    "amazon.nova-micro-v1:0": _plain(0.035, 0.14, 0.00875),
    "amazon.nova-lite-v1:0": _plain(0.06, 0.24, 0.015),
    "amazon.nova-pro-v1:0": _plain(0.80, 3.20, 0.20),
    "amazon.nova-premier-v1:0": _plain(2.50, 12.50, 0.625),
    "amazon.nova-2-lite-v1:0": _plain(0.30, 2.50, 0.075),
    "amazon.titan-text-lite-v1": _plain(0.15, 0.20),
    "amazon.titan-text-express-v1": _plain(0.20, 0.60),
    "amazon.titan-text-premier-v1:0": _plain(0.50, 1.50),
    "amazon.titan-embed-text-v1": _plain(0.10),
    "amazon.titan-embed-g1-text-02": _plain(0.10),
    "amazon.titan-embed-text-v2:0": _plain(0.02),
    "amazon.nova-2-multimodal-embeddings-v1:0": _plain(0.135),
    "cohere.embed-english-v3": _plain(0.10),
    "cohere.embed-multilingual-v3": _plain(0.10),
    "cohere.embed-v4:0": _plain(0.12),
    "amazon.rerank-v1:0": _reranker(0.001),
    "cohere.rerank-v3-5:0": _reranker(0.002),
}
#: Prices of profiles that are not a multiple of the model's.
PROFILE_PRICES: Mapping[str, Price] = {
    "apac.amazon.nova-micro-v1:0": _plain(0.037, 0.148, 0.00925),
    "apac.amazon.nova-lite-v1:0": _plain(0.063, 0.252, 0.01575),
    "apac.amazon.nova-pro-v1:0": _plain(0.84, 3.36, 0.21),
    "eu.amazon.nova-micro-v1:0": _plain(0.046, 0.184, 0.0115),
    "eu.amazon.nova-lite-v1:0": _plain(0.078, 0.312, 0.0195),
    "eu.amazon.nova-pro-v1:0": _plain(1.05, 4.20, 0.2625),
    "us.amazon.nova-2-lite-v1:0": _plain(0.33, 2.75, 0.0825),
    "eu.amazon.nova-2-lite-v1:0": _plain(0.429, 3.597, 0.10725),
    "apac.amazon.nova-2-lite-v1:0": _plain(0.396, 3.311, 0.099),
    "jp.amazon.nova-2-lite-v1:0": _plain(0.396, 3.311, 0.099),
}
