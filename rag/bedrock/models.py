"""The models of Amazon Bedrock that `rag` knows, and their abilities. Read November 2026.

**Contexts**: ``max_input_tokens`` of litellm 1.109.1's table
(``model_prices_and_context_window_backup.json`` in the PyPI wheel).

**Citations**: botocore 1.44.5's documentation of ``SearchResultBlock`` names Opus 4.1 and 4, Sonnet 4.5,
4 and 3.7, and Haiku 3.5. It does not name 3 Opus and 3.5 Sonnet; they are taken not to cite. It does not
name later models either (Haiku 4.5, Opus 4.5 to 4.8, Sonnet 4.6, and 5 and 5.5 models); they are assumed
to cite, as their predecessors do.

**Cache minimum** (tokens of the shortest prefix that is cached; a shorter one is silently not cached):
``prompt_cache_min_tokens`` of the same table, which agrees with Anthropic's "Prompt caching" from 4.5 on.
Its value for Sonnet 3.7 is missing; AWS's "Prompt caching for faster model inference" gives 1,024, and
1,000 for Nova. AWS closed the cache of 3.5 Sonnet v2 with its preview, so that model counts as having
none, like 3.5 Sonnet and the 3 models.

**Structured output** (``outputConfig.textFormat``): the Bedrock User Guide ("Get validated JSON results
from models") names Sonnet 4.5, Haiku 4.5, Opus 4.5 and 4.6. litellm's table adds Sonnet 4.6 and 5,
Opus 4.8, Sonnet 5.5 and Haiku 5.5, and denies it for Opus 4.7, 5 and 5.5. Earlier models have none.

**Streaming, tools, guardrails**: every chat model here answers Converse and ConverseStream ("API
compatibility", Bedrock User Guide), and is assumed to take tools and guardrails; embedders and rerankers
do not.

**Batch jobs**: "Supported Regions and models for batch inference" of the Bedrock User Guide (read November
2026) names Nova Micro, Lite and Pro and Titan Text Embeddings V2. Its rows on Claude were not read.

Not known: whether AWS lists citations for any model after Sonnet 4.5, and whether Opus 4.7's lack of
structured output is permanent. Fable and Mythos are not in this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rag.usage import model_ids

#: What the page on batch inference names.
_BATCH = (
    "amazon.nova-micro-v1:0", "amazon.nova-lite-v1:0", "amazon.nova-pro-v1:0", "amazon.titan-embed-text-v2:0",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Model:
    """A model and its abilities.

    Attributes
    ----------
    id : str
        The model's id, without a profile's prefix.
    context_tokens : int
        Most tokens of prompt and reply together; for an embedder, of one text.
    citations : bool
        Whether the model cites ``searchResult`` blocks natively.
    cache_minimum : int or None
        Tokens of the shortest prefix that is cached; None if the model has no prompt cache.
    structured : bool
        Whether it accepts a JSON schema in ``outputConfig``.
    """

    id: str
    context_tokens: int
    citations: bool = False
    cache_minimum: int | None = None
    structured: bool = False

    @property
    def kind(self) -> Literal["chat", "embedding", "rerank"]:
        """What the model is for; a chat model streams, and takes tools and guardrails."""
        return "embedding" if "embed" in self.id else "rerank" if "rerank" in self.id else "chat"

    @property
    def batch(self) -> bool | None:
        """Whether the model runs in batch jobs; None where that is not known here."""
        return True if self.id in _BATCH else False if self.kind == "rerank" else None


def _claude(
    id: str, context: int, cache_minimum: int | None, *, citations: bool = True, structured: bool = True
) -> Model:
    return Model(f"anthropic.{id}", context, citations, cache_minimum, structured)


_TABLE = (
    _claude("claude-3-haiku-20240307-v1:0", 200_000, None, citations=False, structured=False),
    _claude("claude-3-opus-20240229-v1:0", 200_000, None, citations=False, structured=False),
    _claude("claude-3-5-sonnet-20240620-v1:0", 200_000, None, citations=False, structured=False),
    _claude("claude-3-5-sonnet-20241022-v2:0", 200_000, None, citations=False, structured=False),
    _claude("claude-3-5-haiku-20241022-v1:0", 200_000, 2048, structured=False),
    _claude("claude-3-7-sonnet-20250219-v1:0", 200_000, 1024, structured=False),
    _claude("claude-sonnet-4-20250514-v1:0", 200_000, 1024, structured=False),
    _claude("claude-opus-4-20250514-v1:0", 200_000, 1024, structured=False),
    _claude("claude-opus-4-1-20250805-v1:0", 200_000, 1024, structured=False),
    _claude("claude-haiku-4-5-20251001-v1:0", 200_000, 4096),
    _claude("claude-sonnet-4-5-20250929-v1:0", 200_000, 1024),
    _claude("claude-opus-4-5-20251101-v1:0", 200_000, 4096),
    _claude("claude-sonnet-4-6", 1_000_000, 1024),
    _claude("claude-opus-4-6-v1", 1_000_000, 4096),
    _claude("claude-opus-4-7", 1_000_000, 2048, structured=False),
    _claude("claude-opus-4-8", 1_000_000, 1024),
    _claude("claude-sonnet-5", 1_000_000, 1024),
    _claude("claude-opus-5", 1_000_000, 512, structured=False),
    _claude("claude-haiku-5-5", 1_000_000, 512),
    _claude("claude-sonnet-5-5", 1_000_000, 512),
    _claude("claude-opus-5-5", 1_000_000, 512, structured=False),
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
#: Short names, and the current model behind each: profiles that every region can call, and ids of Amazon's
#: models, which are called in the region itself.
SHORT_NAMES: Mapping[str, str] = {
    "haiku": "global.anthropic.claude-haiku-5-5",
    "sonnet": "global.anthropic.claude-sonnet-5-5",
    "opus": "global.anthropic.claude-opus-5-5",
    "nova-micro": "amazon.nova-micro-v1:0",
    "nova-lite": "amazon.nova-lite-v1:0",
    "nova-pro": "amazon.nova-pro-v1:0",
}


def find(model_id: str, base: str | None = None) -> Model | None:
    """Return the abilities of a model.

    Parameters
    ----------
    model_id : str
        An id, an inference profile's id, or the ARN of either.
    base : str, optional
        The id or profile behind an ARN that does not name it: that of an application inference profile
        or of provisioned throughput.

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
