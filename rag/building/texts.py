"""The texts that a build has to embed: which they are, and what they cost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from langchain_core.embeddings import Embeddings

from rag.building.chunks import CutFile
from rag.chunking import estimate_tokens
from rag.core import embedders
from rag.core.calls import Usage
from rag.embedding.cache import CachedEmbeddings
from rag.usage.prices import PriceTable


def missing_texts(
    files: Iterable[CutFile], cache: CachedEmbeddings | None
) -> Iterator[tuple[list[str], int]]:
    """Yield, file by file, the texts that have no vector yet, and how many of them are chunks.

    The others are heading paths. Each text is yielded once.
    """
    seen: set[bytes] = set()
    for cut in files:
        texts = {_key(chunk.text): chunk.text for chunk in cut.chunks}
        headings = {_key(chunk.heading): chunk.heading for chunk in cut.chunks}
        new = [text for key, text in (texts | headings).items() if key not in seen]
        seen |= texts.keys() | headings.keys()
        missing = cache.missing(new) if cache else new
        yield missing, sum(_key(text) in texts for text in missing)


def token_counter(embedder: Embeddings) -> embedders.CountTokens:
    """Return the embedder's count of tokens, or an estimate that is rather too high."""
    return embedders.token_counter(embedder) or estimate_tokens


def embedding_usd(embedder: Embeddings, tokens: int, prices: PriceTable) -> float | None:
    """Return what embedding so many tokens costs on demand, in US dollars.

    Returns
    -------
    float or None
        0.0 for models on this machine and for no tokens; None where no price is known.
    """
    model = embedders.billed_model(embedder)
    return 0.0 if model is None or not tokens else prices.cost_usd(model, Usage(tokens))


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
