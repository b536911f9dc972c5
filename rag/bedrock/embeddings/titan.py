"""Titan Text Embeddings v2: one text per call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from rag.bedrock.embeddings.base import BedrockEmbeddings
from rag.core.errors import ConfigError

MODEL = "amazon.titan-embed-text-v2:0"
#: Limits of one input (Bedrock User Guide, Titan Text Embeddings v2, read November 2026).
MAX_CHARS = 50_000
MAX_TOKENS = 8_192


class TitanEmbeddings(BedrockEmbeddings):
    """Amazon Titan Text Embeddings v2 by bedrock-runtime's InvokeModel.

    Parameters
    ----------
    dimensions : {256, 512, 1024}
    normalize : bool
        Whether Titan returns vectors of length 1. An index normalises them in any case.
    embedding_type : {"float", "binary"}
        Titan returns binary vectors as the sign of each number. Here they become -1 and +1 divided by
        the square root of `dimensions`: of length 1, with cosine 1 - 2 h / d if h of d signs differ.
        They are stored like any others; the index saves the space.
    **more
        As in `rag.bedrock.embeddings.base.BedrockEmbeddings`: model, region, endpoint_url, concurrency,
        requests_per_minute, long, patience, timeout_s, client.

    Raises
    ------
    ConfigError
        An argument is invalid.
    EmbeddingError
        When embedding: a call failed permanently, or a text is blank or above Titan's limits of 50,000
        characters and 8,192 tokens.

    Examples
    --------
    >>> titan = TitanEmbeddings(256, region="eu-west-1")
    >>> titan.fingerprint
    'amazon.titan-embed-text-v2:0 dimensions=256 normalize=true'
    """

    name = "titan"
    MODEL = MODEL
    SIZES = (256, 512, 1024)
    MAX_CHARS, MAX_TOKENS = MAX_CHARS, MAX_TOKENS

    def __init__(
        self,
        dimensions: int = 1024,
        *,
        normalize: bool = True,
        embedding_type: Literal["float", "binary"] = "float",
        **more: Any,
    ) -> None:
        if embedding_type not in ("float", "binary"):
            raise ConfigError(f"embedding_type is {embedding_type!r}: set it to 'float' or 'binary'")
        super().__init__(dimensions, **more)
        self.normalize, self.embedding_type = normalize, embedding_type

    @property
    def _settings(self) -> str:
        kind = " embedding=binary" if self.embedding_type == "binary" else ""
        return f"dimensions={self.dimensions} normalize={str(self.normalize).lower()}{kind}"

    def _body(self, texts: Sequence[str], *, question: bool) -> dict[str, Any]:
        body = {"inputText": texts[0], "dimensions": self.dimensions, "normalize": self.normalize}
        return body if self.embedding_type == "float" else {**body, "embeddingTypes": ["binary"]}

    def _rows(self, reply: Mapping[str, Any]) -> Any:
        if self.embedding_type == "float":
            return [reply["embedding"]]
        signs = np.asarray(reply["embeddingsByType"]["binary"])
        return np.where(signs > 0, 1.0, -1.0)[None] / np.sqrt(self.dimensions)

    def _tokens(self, reply: Mapping[str, Any], headers: Mapping[str, str], texts: Sequence[str]) -> int:
        count = reply.get("inputTextTokenCount")
        return int(count) if count is not None else super()._tokens(reply, headers, texts)
