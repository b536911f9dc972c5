"""The models of Amazon Bedrock that `rag` knows, and what they can do. Dated.

**Contexts** are those of litellm 1.109.1's table (``model_prices_and_context_window_backup.json`` of the
PyPI package, read November 2026).

**Citations**: AWS's reference of ``SearchResultBlock`` names Opus 4.1 and 4, Sonnet 4.5, 4 and 3.7,
and 3.5 Haiku.

**Least prefix that is cached**: ``prompt_cache_min_tokens`` of the same table; it agrees with
Anthropic's "Prompt caching" for 4.5 and 5 models. Nova's 1,000 is of AWS's "Prompt caching for faster
model inference". A shorter prefix is not cached, and nothing says so.

**Structured output** (``outputConfig.textFormat``): Anthropic's "Structured outputs" names the 4.5
models for Bedrock, litellm Sonnet 5 and 5.5 and Haiku 5.5, but not Opus 5 and 5.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rag.usage import model_ids


@dataclass(frozen=True, slots=True)
class Model:
    """A model and its abilities.

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
    context_tokens: int
    citations: bool = False
    cache_minimum: int | None = None
    structured: bool = False


def _claude(id: str, context: int, cache_minimum: int, *, structured: bool = True) -> Model:
    # Citations of those that AWS does not name (all but Sonnet 4.5) are assumed by their lineage.
    return Model(f"anthropic.{id}", context, True, cache_minimum, structured)


_TABLE = (
    _claude("claude-haiku-4-5-20251001-v1:0", 200_000, 4096),
    _claude("claude-haiku-5-5", 1_000_000, 512),
    _claude("claude-sonnet-4-5-20250929-v1:0", 200_000, 1024),
    _claude("claude-sonnet-5", 1_000_000, 1024),
    _claude("claude-sonnet-5-5", 1_000_000, 512),
    _claude("claude-opus-4-5-20251101-v1:0", 200_000, 4096),
    _claude("claude-opus-5", 1_000_000, 512, structured=False),
    _claude("claude-opus-5-5", 1_000_000, 512, structured=False),
    Model("anthropic.claude-3-haiku-20240307-v1:0", 200_000),
    Model("amazon.nova-micro-v1:0", 128_000, cache_minimum=1000),
    Model("amazon.nova-lite-v1:0", 300_000, cache_minimum=1000),
    Model("amazon.nova-pro-v1:0", 300_000, cache_minimum=1000),
    Model("amazon.titan-embed-text-v2:0", 8_192),
    Model("cohere.embed-v4:0", 128_000),
    Model("amazon.nova-2-multimodal-embeddings-v1:0", 8_172),
    Model("amazon.rerank-v1:0", 32_000),
    Model("cohere.rerank-v3-5:0", 4_096),
)
#: By id.
MODELS: Mapping[str, Model] = {model.id: model for model in _TABLE}


def find(model_id: str, base: str | None = None) -> Model | None:
    """Return what is known of a model.

    Parameters
    ----------
    model_id : str
        An id, an inference profile's id, or the ARN of either.
    base : str, optional
        The id or profile behind an ARN that does not name it: an application inference profile's, or
        that of provisioned throughput.

    Returns
    -------
    Model or None
        None for a model that is not in the table.

    Examples
    --------
    >>> find("us.anthropic.claude-sonnet-5-5").id
    'anthropic.claude-sonnet-5-5'
    """
    model = MODELS.get(model_ids.split(model_id)[1])
    return find(base) if model is None and base else model
