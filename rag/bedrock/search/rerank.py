"""Rerankers on Amazon Bedrock as a LangChain compressor, by Rerank of bedrock-agent-runtime."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field

from rag.bedrock.runtime.agent_runtime import AgentRuntime
from rag.core.calls import Usage
from rag.core.errors import RagError, UsageError
from rag.core.passages import Hit
from rag.usage.collector import note, paid_call
from rag.usage.tokens import estimate_all

#: Limits of Rerank (botocore 1.44.5's model of bedrock-agent-runtime): sources per call, and
#: characters of a source and of the query.
MAX_SOURCES = 1000
MAX_CHARS = 32_000
#: Tokens of document and question together above which a document is billed as several (Amazon
#: Bedrock's pricing page, Rerank, November 2026).
BILLED_TOKENS = 512
_ADVICE = {
    "AccessDeniedException": "allow bedrock:Rerank, and bedrock:InvokeModel on this model, and request "
    "access to it in the Bedrock console"
}

Piece = tuple[int, str]  # a document's number, and a part of its text that fits into a call


class BedrockReranker(BaseDocumentCompressor, AgentRuntime):
    """Sorts documents by their relevance to the question, as a reranker on Amazon Bedrock scores it.

    Each document returns with its score in [0, 1] as ``relevance_score`` and ``score``; documents with
    equal scores keep their order. A text above the limit of 32,000 characters is never truncated: its
    parts are scored, and the best score counts. More than 1,000 texts take several calls. Documents
    without text are not sent; they come last, with score 0.

    Parameters
    ----------
    model : str
        ``"amazon.rerank-v1:0"``, ``"cohere.rerank-v3-5:0"``, or the ARN of a model.
    top : int, optional
        Documents to return; by default all.
    on_failure : {"raise", "keep"}
        If the call fails: raise a `RagError`, or return the first `top` documents in their original
        order and add a note to the answer.
    region, endpoint_url, timeout_s, retry, client
        As in `rag.bedrock.runtime.agent_runtime.AgentRuntime`.

    Examples
    --------
    >>> retriever = HybridRetriever(index=index, reranker=BedrockReranker(top=20))   # doctest: +SKIP
    """

    model: str = "amazon.rerank-v1:0"
    top: int | None = Field(default=None, ge=1)
    on_failure: Literal["raise", "keep"] = "raise"

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the documents with their scores, most relevant first; see `rerank`."""
        ranked = self._ranked([document.page_content for document in documents], query)
        return [_scored(documents[number], score) for number, score in ranked]

    def rerank(self, hits: Sequence[Hit], question: str) -> list[Hit]:
        """Return the hits with their scores, most relevant first.

        Raises
        ------
        UsageError, RagError
            As `compress_documents`, if the question is empty or too long, or the call fails.
        """
        ranked = self._ranked([hit.text for hit in hits], question)
        return [
            hits[number] if score is None else replace(hits[number], score=score) for number, score in ranked
        ]

    def _ranked(self, texts: Sequence[str], query: str) -> list[tuple[int, float | None]]:
        """Return the texts' numbers and scores, most relevant first.

        The scores are None if the call failed; the texts then keep their order.

        Raises
        ------
        UsageError
            The question is empty, or above 32,000 characters.
        RagError
            The call failed, and `on_failure` is ``"raise"``.
        """
        if not query.strip() or len(query) > MAX_CHARS:
            raise UsageError(
                f"the question has {len(query)} characters: {self.model} takes 1 to {MAX_CHARS}; shorten it"
            )
        pieces = [(number, part) for number, text in enumerate(texts) for part in parts(text)]
        try:
            scores = self._scores(query, pieces)
        except RagError as error:
            if self.on_failure == "raise":
                raise
            note(f"reranking failed, so the passages keep the order of retrieval: {error}")
            unranked: list[tuple[int, float | None]] = [(number, None) for number in range(len(texts))]
            return unranked[: self.top]
        order = sorted(range(len(texts)), key=lambda number: -scores.get(number, 0.0))
        return [(number, scores.get(number, 0.0)) for number in order[: self.top]]

    def _scores(self, query: str, pieces: Sequence[Piece]) -> dict[int, float]:
        """Return each document's best score, by its number."""
        out: dict[int, float] = {}
        for at in range(0, len(pieces), MAX_SOURCES):
            batch = pieces[at : at + MAX_SOURCES]
            for place, score in self._call(query, [text for _, text in batch]):
                number = batch[place][0]
                out[number] = max(score, out.get(number, score))
        return out

    def _call(self, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """Return each text's position and score, from one call and the further pages of its reply."""
        request = self._request(query, texts)
        scores: dict[int, float] = {}
        billed = billed_documents(query, texts)
        with paid_call(self.model, "rerank", documents=billed) as call:
            while True:
                reply = self._retried(
                    functools.partial(self._client().rerank, **request), self.model, _ADVICE
                )
                call.usage = call.query_usage(billed) or Usage()
                scores |= {int(one["index"]): float(one["relevanceScore"]) for one in reply["results"]}
                if not reply.get("nextToken"):
                    break
                request["nextToken"] = reply["nextToken"]
        if sorted(scores) != list(range(len(texts))):
            raise RagError(f"{self.model}: the reply scores {len(scores)} of {len(texts)} documents: retry")
        return sorted(scores.items())

    def _request(self, query: str, texts: Sequence[str]) -> dict[str, Any]:
        return {
            "queries": [{"type": "TEXT", "textQuery": {"text": query}}],
            "sources": [
                {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}}
                for text in texts
            ],
            "rerankingConfiguration": {
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {
                    "modelConfiguration": {"modelArn": self._arn()}, "numberOfResults": len(texts),
                },
            },
        }  # fmt: skip

    def _arn(self) -> str:
        if self.model.startswith("arn:"):
            return self.model
        meta = self._client().meta
        return f"arn:{meta.partition}:bedrock:{meta.region_name}::foundation-model/{self.model}"


def parts(text: str) -> Iterator[str]:
    """Yield a text in parts that fit into a call, split at white space if possible; skip blank parts.

    Examples
    --------
    >>> [len(part) for part in parts("word " * 8000)]
    [31999, 8000]
    """
    while text.strip():
        if len(text) <= MAX_CHARS:
            yield text
            return
        cut = max(text.rfind(space, MAX_CHARS // 2, MAX_CHARS) for space in " \n\t")
        cut = cut if cut > 0 else MAX_CHARS
        if text[:cut].strip():
            yield text[:cut]
        text = text[cut:].lstrip()


def billed_documents(query: str, texts: Sequence[str]) -> int:
    """Return how many documents AWS bills for a call, by token estimates that err on the high side.

    Examples
    --------
    >>> billed_documents("How long?", ["28 days."] * 350)
    350
    """
    question_tokens, *document_tokens = estimate_all([query, *texts])
    # AWS does not document a question that leaves no room for a document: assume that a quarter remains.
    room = max(BILLED_TOKENS - question_tokens, BILLED_TOKENS // 4)
    return sum(max(1, math.ceil(tokens / room)) for tokens in document_tokens)


def _scored(document: Document, score: float | None) -> Document:
    if score is None:
        return document
    metadata = {**document.metadata, "relevance_score": score, "score": score}
    return Document(page_content=document.page_content, metadata=metadata, id=document.id)
