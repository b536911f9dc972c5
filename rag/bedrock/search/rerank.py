"""Amazon Bedrock's rerankers as a LangChain compressor, over bedrock-agent-runtime's Rerank."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field, PrivateAttr

from rag.bedrock.models import rerank_usd
from rag.bedrock.runtime.agent_runtime import AgentRuntime
from rag.core.answers import Usage
from rag.core.errors import RagError, UsageError
from rag.usage.tokens import estimate_all

#: Limits of Rerank (botocore 1.44.5's model of bedrock-agent-runtime): a call's sources, and the
#: characters of a source and of the query.
MAX_SOURCES = 1000
MAX_CHARS = 32_000
#: A document with more tokens than this, the question's included, is billed as several (Amazon Bedrock's
#: pricing page, Rerank, November 2026).
BILLED_TOKENS = 512
_ADVICE = {
    "AccessDeniedException": "allow bedrock:Rerank, and bedrock:InvokeModel on this model, and request "
    "access to it in the Bedrock console"
}

Piece = tuple[int, str]  # a document's number, and a text of it that a call can take


class BedrockReranker(BaseDocumentCompressor, AgentRuntime):
    """Sorts documents by what a reranker on Amazon Bedrock makes of them and the question.

    Documents come back with their score in [0, 1] as ``relevance_score`` and as ``score``; those of
    one score stay in their order. A text above 32,000 characters, which a call does not take, is
    never cut: its parts are scored, and the best part's score is the document's. Above 1,000 texts
    there are several calls. Documents without text are not sent, and come last with score 0.

    Parameters
    ----------
    model : str
        ``"amazon.rerank-v1:0"``, ``"cohere.rerank-v3-5:0"``, or the ARN of a model.
    top : int, optional
        How many documents to return; by default all.
    on_failure : {"raise", "keep"}
        Where the call fails: raise a `RagError`, or return the documents as they came (and cut at
        `top`), and say so in `notes`.
    region, endpoint_url, timeout_s, retry, client
        As `rag.bedrock.runtime.agent_runtime.AgentRuntime` has them.

    Examples
    --------
    >>> retriever = HybridRetriever(index=index, reranker=BedrockReranker(top=20))   # doctest: +SKIP
    """

    model: str = "amazon.rerank-v1:0"
    top: int | None = Field(default=None, ge=1)
    on_failure: Literal["raise", "keep"] = "raise"

    _spent: Usage = PrivateAttr(default_factory=Usage)
    _notes: list[str] = PrivateAttr(default_factory=list)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the documents, the most relevant first, with their scores.

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
        documents = list(documents)
        pieces = [
            (number, part) for number, document in enumerate(documents)
            for part in parts(document.page_content)
        ]  # fmt: skip
        try:
            scores = self._scores(query, pieces)
        except RagError as error:
            if self.on_failure == "raise":
                raise
            self._say(f"the documents stand as they were retrieved, not reranked: {error}")
            return documents[: self.top]
        order = sorted(range(len(documents)), key=lambda number: -scores.get(number, 0.0))
        return [_scored(documents[number], scores.get(number, 0.0)) for number in order[: self.top]]

    def spent(self) -> Usage:
        """Return what was spent since this was last asked; counted as AWS says, by estimated tokens.

        Rerankers are paid by the query, not by the token, so `Usage.cost_usd` alone is filled; it is
        None where nothing was asked, or no price is known.
        """
        with self._lock:
            out, self._spent = self._spent, Usage()
        return out

    def notes(self) -> tuple[str, ...]:
        """Return what the user should know of the documents since this was last asked."""
        with self._lock:
            out, self._notes = tuple(dict.fromkeys(self._notes)), []
        return out

    def _say(self, note: str) -> None:
        with self._lock:
            self._notes.append(note)

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
        """Return each text's place and score, of one call and the further pages of its reply."""
        asked = self._request(query, texts)
        found: dict[int, float] = {}
        while True:
            reply = self._tried(functools.partial(self._client().rerank, **asked), self.model, _ADVICE)
            found |= {int(one["index"]): float(one["relevanceScore"]) for one in reply["results"]}
            if not reply.get("nextToken"):
                break
            asked["nextToken"] = reply["nextToken"]
        with self._lock:
            cost = rerank_usd(self.model, billed_documents(query, texts))
            self._spent += Usage(cost_usd=cost)
        if sorted(found) != list(range(len(texts))):
            raise RagError(
                f"{self.model}: the reply scores {len(found)} of {len(texts)} documents: try again"
            )
        return sorted(found.items())

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
    """Yield a text in parts that a call takes, cut at white space if there is some; no blank ones.

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
    """Return how many documents a call is billed for, by estimated tokens, which are high rather than low.

    Examples
    --------
    >>> billed_documents("How long?", ["28 days."] * 350)
    350
    """
    asked, *each = estimate_all([query, *texts])
    # What a question that leaves no room for a document costs is not said: a quarter is assumed free.
    room = max(BILLED_TOKENS - asked, BILLED_TOKENS // 4)
    return sum(max(1, math.ceil(tokens / room)) for tokens in each)


def _scored(document: Document, score: float) -> Document:
    metadata = {**document.metadata, "relevance_score": score, "score": score}
    return Document(page_content=document.page_content, metadata=metadata, id=document.id)
