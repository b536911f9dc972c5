"""The local answerer: quotes the sentences that answer a question, or says that none does.

It writes nothing of its own. It reads the same messages that a model would be sent, so it can stand
wherever a chat model stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field

from rag.text import sentences, terms
from rag.tokens import estimate_tokens
from rag.vectors import embed

_DOCUMENT = re.compile(r'<document index="(\d+)"([^>]*)>\n(.*?)\n</document>', re.DOTALL)
_QUESTION = re.compile(r"<question>(.*?)</question>", re.DOTALL)
_SECTION = re.compile(r'(?:title|section)="([^"]*)"')
_HEADING = re.compile(r"^#{1,6}[ \t].*$", re.MULTILINE)

NO_ANSWER = "The documents do not hold an answer to this question."


class ExtractiveAnswerer(BaseChatModel):
    """Answers by quoting, offline and free.

    Parameters
    ----------
    embedder : Embeddings
        Compares the question with sentences.
    threshold : float
        The confidence, in [0, 1], below which it says that the documents hold no answer; see
        `confidence`.
    max_sentences : int
        Most sentences to quote.

    Notes
    -----
    Confidence is a logistic function of two features of the best sentence (with the one before it
    and behind it): its cosine similarity to the question, and the share of the question's terms
    that it holds, weighted by how rare they are in the context. The weights were fitted by
    ``tests/benchmarks/calibrate_answerer.py`` on ``data/golden.jsonl``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    embedder: Embeddings
    threshold: float = Field(default=0.5, ge=0, le=1)
    max_sentences: int = Field(default=3, ge=1)

    @property
    def _llm_type(self) -> str:
        return "extractive"

    @property
    def description(self) -> str:
        """What the user is told about the answer's making."""
        return "local extractive answerer: quotes only, no text of its own"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = AIMessage("".join(self._pieces(messages)), response_metadata={"stop_reason": "end_turn"})
        message.usage_metadata = _usage(messages, str(message.content))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        said = ""
        for piece in self._pieces(messages):
            said += piece
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        yield ChatGenerationChunk(message=AIMessageChunk(
            content="", usage_metadata=_usage(messages, said), response_metadata={"stop_reason": "end_turn"},
        ))  # fmt: skip

    def _pieces(self, messages: Sequence[BaseMessage]) -> Iterator[str]:
        question, documents = read_prompt(str(messages[-1].text))
        ranked = self.rank(question, documents)
        if not ranked or ranked[0][0] < self.threshold:
            yield f"<no_answer/>{NO_ANSWER}"
            return
        best = ranked[0][0]
        # A further sentence is quoted only where it is nearly as good as the first.
        kept = [item for item in ranked[: self.max_sentences] if item[0] >= 0.85 * best]
        for number, (_, index, text) in enumerate(kept):
            shown = " ".join(text.lstrip("-*•> \t").split())
            yield f'{" " if number else ""}{shown}<cite doc="{index}">{text}</cite>'

    def rank(self, question: str, documents: Sequence[tuple[int, str, str]]) -> list[tuple[float, int, str]]:
        """Return (confidence, document's number, sentence) for every sentence, best first."""
        found: list[tuple[int, str, str, str]] = []
        for index, section, text in documents:
            spans = [text[a:b] for a, b in sentences(text) if not _HEADING.fullmatch(text[a:b])]
            for number, sentence in enumerate(spans):
                around = " ".join([section, *spans[max(0, number - 1) : number + 2]])
                found.append((index, sentence, around, section))
        if not found or not question.strip():
            return []
        features = self.features(question, [(s, around) for _, s, around, _ in found])
        scored = confidence(features)
        order = np.argsort(-scored, kind="stable").tolist()
        return [(float(scored[i]), found[i][0], found[i][1]) for i in order]

    def features(
        self, question: str, pairs: Sequence[tuple[str, str]]
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return for each (sentence, with neighbours): cosines to the question, and term cover."""
        texts = [text for pair in pairs for text in pair]
        vectors = embed(self.embedder, texts).astype(np.float64)
        cosines = vectors @ np.asarray(self.embedder.embed_query(question), np.float64)
        wanted = set(terms(question))
        bags = [set(terms(around)) for _, around in pairs]
        counts = {term: sum(term in bag for bag in bags) for term in wanted}
        weight = {t: float(np.log(1 + len(bags) / (0.5 + counts[t]))) for t in wanted}
        total = sum(weight.values()) or 1.0
        cover = [sum(weight[t] for t in wanted & bag) / total for bag in bags]
        return np.column_stack([cosines[0::2], cosines[1::2], cover])


def confidence(
    features: np.ndarray[Any, np.dtype[np.float64]],
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return how likely each sentence answers the question, in [0, 1]."""
    weights, bias = np.array([3.0, 3.0, 3.0]), -4.0
    out: np.ndarray[Any, np.dtype[np.float64]] = 1 / (1 + np.exp(-(features @ weights + bias)))
    return out


def read_prompt(text: str) -> tuple[str, list[tuple[int, str, str]]]:
    """Read the question and the (number, title and section, text) of its documents from a prompt."""
    asked = _QUESTION.findall(text)
    question = unescape(asked[-1]) if asked else text
    documents = [
        (int(index), " ".join(unescape(found) for found in _SECTION.findall(attributes)), body)
        for index, attributes, body in _DOCUMENT.findall(text)
    ]
    return question, documents


def _usage(messages: Sequence[BaseMessage], reply: str) -> Any:
    read = sum(estimate_tokens(str(message.text)) for message in messages)
    written = estimate_tokens(reply)
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
