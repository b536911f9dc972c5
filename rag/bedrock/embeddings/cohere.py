"""Cohere Embed v4: up to 96 texts per call, with different vectors for documents and questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rag.bedrock.embeddings.base import BedrockEmbeddings


class CohereEmbeddings(BedrockEmbeddings):
    """Cohere Embed v4 by bedrock-runtime's InvokeModel.

    A call holds several texts, and is retried as a whole.

    Parameters
    ----------
    dimensions : {256, 512, 1024, 1536}
    concurrency : int
        Maximum concurrent calls, of up to 96 texts.
    **more
        As in `rag.bedrock.embeddings.base.BedrockEmbeddings`: model (many regions offer only the profile
        ``global.cohere.embed-v4:0``), region, endpoint_url, requests_per_minute, long, patience,
        timeout_s, client.

    Examples
    --------
    >>> CohereEmbeddings(512, model="global.cohere.embed-v4:0").fingerprint
    'cohere.embed-v4:0 dimensions=512 input_type=search_document'
    """

    # Fields and limits: Bedrock User Guide, "Cohere Embed v4", November 2026; the tokens are those of
    # one text. The guide names no limit for a call; CALL_CHARS is a cautious choice.
    name = "cohere"
    MODEL = "cohere.embed-v4:0"
    SIZES = (256, 512, 1024, 1536)
    MAX_CHARS, MAX_TOKENS = 500_000, 128_000
    CALL_TEXTS, CALL_CHARS = 96, 200_000

    def __init__(self, dimensions: int = 1024, *, concurrency: int = 8, **more: Any) -> None:
        super().__init__(dimensions, concurrency=concurrency, **more)

    @property
    def _settings(self) -> str:
        return f"dimensions={self.dimensions} input_type=search_document"

    def _body(self, texts: Sequence[str], *, question: bool) -> dict[str, Any]:
        return {
            "texts": list(texts), "input_type": "search_query" if question else "search_document",
            "embedding_types": ["float"], "output_dimension": self.dimensions, "truncate": "NONE",
        }  # fmt: skip

    def _rows(self, reply: Mapping[str, Any]) -> Any:
        embeddings = reply["embeddings"]
        return embeddings["float"] if isinstance(embeddings, Mapping) else embeddings
