"""What a build and an index ask of an embedder beyond LangChain's interface, with answers for any.

`rag`'s own embedders say these things of themselves; for another LangChain embedder they are found
out from its public fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


#: Public fields of LangChain's embedders that decide what a vector is.
_DECIDING = (
    "model",
    "model_id",
    "model_name",
    "model_kwargs",
    "encode_kwargs",
    "dimensions",
    "dimension",
    "normalize",
)


def fingerprint(embedder: Embeddings) -> str:
    """Name what decides an embedder's vectors: model, dimensions, normalisation.

    Two embedders with the same fingerprint give the same vectors; a cache and an index rely on it.
    """
    own = getattr(embedder, "fingerprint", None)
    if isinstance(own, str):
        return own
    kind = type(embedder)
    found = {name: getattr(embedder, name) for name in _DECIDING if getattr(embedder, name, None)}
    settings = " ".join(f"{name}={value}" for name, value in sorted(found.items()))
    return f"{kind.__module__}:{kind.__qualname__} {settings}".strip()


def name(embedder: Embeddings) -> str:
    """Return the name under which ``rag.toml`` knows an embedder; empty for one that it does not."""
    own = getattr(embedder, "name", "")
    return own if isinstance(own, str) else ""


def dimensions(embedder: Embeddings) -> int:
    """Return the length of an embedder's vectors; a stranger is asked for one."""
    own = getattr(embedder, "dimensions", None)
    return own if isinstance(own, int) else len(embedder.embed_query("dimensions"))


def token_counter(embedder: Embeddings) -> Callable[[Sequence[str]], list[int]] | None:
    """Return the embedder's own count of tokens, or None if it has none."""
    own = getattr(embedder, "count_tokens", None)
    return own if callable(own) else None


def cost_usd(embedder: Embeddings, tokens: int) -> float:
    """Return the price of embedding so many tokens; 0.0 for models on this machine."""
    return float(getattr(embedder, "usd_per_million_tokens", 0.0)) * tokens / 1e6


def minutes(embedder: Embeddings, tokens: int) -> float:
    """Return how long embedding so many tokens takes, by the embedder's usual speed."""
    return tokens / float(getattr(embedder, "tokens_per_second", 20_000.0)) / 60
