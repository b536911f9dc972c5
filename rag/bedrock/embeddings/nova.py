"""Amazon Nova Multimodal Embeddings for text: one text per call, with a purpose for each use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rag.bedrock.embeddings.base import BedrockEmbeddings
from rag.core.errors import EmbeddingError


class NovaEmbeddings(BedrockEmbeddings):
    """Amazon Nova Multimodal Embeddings by bedrock-runtime's InvokeModel.

    Its replies do not state their tokens; if the header with them is missing, too, they are estimated
    on the high side.

    Parameters
    ----------
    dimensions : {256, 384, 1024, 3072}
    **more
        As in `rag.bedrock.embeddings.base.BedrockEmbeddings`: model, region, endpoint_url, concurrency,
        requests_per_minute, long, patience, timeout_s, client.

    Examples
    --------
    >>> NovaEmbeddings(384).fingerprint
    'amazon.nova-2-multimodal-embeddings-v1:0 dimensions=384 purpose=GENERIC_INDEX'
    """

    # Fields and limits: Amazon Nova User Guide, "Complete embeddings request and response schema", and
    # "Using Nova Embeddings" (8K tokens), read November 2026.
    name = "nova"
    MODEL = "amazon.nova-2-multimodal-embeddings-v1:0"
    SIZES = (256, 384, 1024, 3072)
    MAX_CHARS, MAX_TOKENS = 8_192, 8_172

    @property
    def _settings(self) -> str:
        return f"dimensions={self.dimensions} purpose=GENERIC_INDEX"

    def _body(self, texts: Sequence[str], *, question: bool) -> dict[str, Any]:
        return {
            "schemaVersion": "nova-multimodal-embed-v1",
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {
                "embeddingPurpose": "TEXT_RETRIEVAL" if question else "GENERIC_INDEX",
                "embeddingDimension": self.dimensions,
                "text": {"truncationMode": "NONE", "value": texts[0]},
            },
        }

    def _rows(self, reply: Mapping[str, Any]) -> Any:
        result = reply["embeddings"][0]
        if result.get("truncatedCharLength"):  # truncationMode NONE should prevent it
            raise EmbeddingError(
                f"{self.model}: the text was truncated after {result['truncatedCharLength']} characters: "
                "configure smaller chunks"
            )
        return [result["embedding"]]
