"""Titan Text Embeddings v2: one text a call, many calls at once, order kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_core.embeddings import Embeddings

from rag.bedrock.clients import explain, runtime_client
from rag.bedrock.prices import PRICES
from rag.errors import ConfigError, EmbeddingError
from rag.tokens import estimate_all

MODEL = "amazon.titan-embed-text-v2:0"
#: Limits of one input (Bedrock User Guide, Titan Text Embeddings v2, read November 2026).
MAX_CHARS = 50_000
MAX_TOKENS = 8_192


#: Titan's tokenizer is not public; the earlier Claude models' takes no fewer (AWS's user guide speaks of
#: 4.7 characters a token for Titan in English, November 2026; these have about 4).
_LIKE = "anthropic.claude-3-haiku-20240307-v1:0"


class TitanEmbeddings(Embeddings):
    """Amazon Titan Text Embeddings v2 through bedrock-runtime's InvokeModel.

    Parameters
    ----------
    dimensions : {256, 512, 1024}
    region, endpoint_url : str, optional
        As boto3 takes them; by default from the environment.
    concurrency : int
        Calls under way at once.
    client : optional
        A bedrock-runtime client to use instead of one of its own.

    Raises
    ------
    EmbeddingError
        A call failed, also after botocore's retries; or a text is over Titan's limit of 50,000
        characters, which are never cut silently.
    """

    name = "titan"
    tokens_per_second = 40_000.0  # 8 calls at once, about 60 ms and 300 tokens each

    def __init__(
        self,
        dimensions: int = 1024,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        concurrency: int = 8,
        client: Any = None,
    ) -> None:
        if dimensions not in (256, 512, 1024):
            raise ConfigError(f"Titan has 256, 512 or 1024 dimensions, not {dimensions}")
        if concurrency < 1:
            raise ConfigError(f"concurrency is {concurrency}: give at least 1")
        self.dimensions, self.concurrency = dimensions, concurrency
        self.usd_per_million_tokens = PRICES[MODEL].input
        self._client = client
        self._where = (region, endpoint_url)
        self.input_tokens = 0

    @property
    def fingerprint(self) -> str:
        """Name model, dimensions and normalisation."""
        return f"{MODEL} dimensions={self.dimensions} normalize=true"

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Estimate tokens, high rather than low; Titan's tokenizer is not public."""
        return estimate_all(texts, _LIKE)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a unit vector per text, in order."""
        for number, text in enumerate(texts):
            if not text.strip() or len(text) > MAX_CHARS:
                raise EmbeddingError(
                    f"text {number} has {len(text)} characters: Titan takes 1 to {MAX_CHARS}; "
                    "let the chunker make smaller chunks"
                )
        if not texts:
            return []
        self._connect()
        with ThreadPoolExecutor(min(self.concurrency, len(texts))) as pool:
            futures = [pool.submit(self._invoke, text) for text in texts]
            try:
                replies = [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self.input_tokens += sum(int(reply.get("inputTextTokenCount", 0)) for reply in replies)
        return [reply["embedding"] for reply in replies]

    def embed_query(self, text: str) -> list[float]:
        """Return a question's unit vector."""
        return self.embed_documents([text])[0]

    def _connect(self) -> None:
        if self._client is None:
            self._client = runtime_client(*self._where, connections=self.concurrency)

    def _invoke(self, text: str) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        body = {"inputText": text, "dimensions": self.dimensions, "normalize": True}
        try:
            reply = self._client.invoke_model(
                modelId=MODEL, body=json.dumps(body),
                accept="application/json", contentType="application/json",
            )  # fmt: skip
            found: dict[str, Any] = json.loads(reply["body"].read())
        except (BotoCoreError, ClientError) as error:
            raise EmbeddingError(explain(error, MODEL)) from error
        except ValueError as error:
            raise EmbeddingError(f"{MODEL}: the reply is not JSON: try again") from error
        if len(found.get("embedding", ())) != self.dimensions:
            raise EmbeddingError(f"{MODEL}: the reply holds no vector of {self.dimensions} dimensions")
        return found
