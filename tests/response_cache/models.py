"""Models and stages for the tests of the response cache; importable, so that a key can name them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever

PRICES = {"echo-1": {"input": 1.0, "output": 10.0}}
#: Of a call of `Echo`, with these prices.
USD = 1000 * 1e-6 + 100 * 10e-6


class Echo(BaseChatModel):
    """Quotes the question that it was asked, and writes each call down."""

    log: str
    model_id: str = "echo-1"
    delay_s: float = 0.0
    temperature: float = 0.0
    stop_reason: str = "end_turn"
    fails: bool = False
    extra: str = ""

    @property
    def _llm_type(self) -> str:
        return "echo"

    def _stream(
        self, messages: Sequence[BaseMessage], *args: Any, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        prompt = str(messages[-1].content)
        question = re.findall(r"<question[^>]*>(.*?)</question>", prompt, re.DOTALL)[-1]
        with Path(self.log).open("a") as file:
            file.write(f"{question}\n")
        time.sleep(self.delay_s)
        if self.fails:
            raise ConnectionError("the model is down")
        first = re.search(r"([^\n]+)\n</document>", prompt)
        quote = f'<cite doc="1">{first[1]}</cite>' if first else ""
        for text in (f"You asked: {question}", self.extra, f" {quote}"):
            yield ChatGenerationChunk(message=AIMessageChunk(text))
        usage = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100}
        yield ChatGenerationChunk(message=AIMessageChunk(
            "", usage_metadata=usage,
            response_metadata={"stop_reason": self.stop_reason, "model_id": self.model_id},
        ))  # fmt: skip

    def _generate(self, messages: Sequence[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        text = "".join(str(chunk.message.content) for chunk in self._stream(messages))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


class Elsewhere(BaseRetriever):
    """Retrieves what is in a file at the moment: no index's version decides it."""

    path: str

    def _get_relevant_documents(self, query: str, *, run_manager: Any = None) -> list[Any]:
        from langchain_core.documents import Document

        return [Document(page_content=Path(self.path).read_text(), metadata={"source": "note"})]


def worker(path: str, settings: dict[str, Any], log: str, question: str) -> str:
    """Ask a question in a process of its own; return whether the answer was cached."""
    import rag

    pipe = rag.Pipeline(
        path, generator=Echo(log=log, delay_s=0.3), responses=settings, ledger=f"{log}.sqlite", prices=PRICES
    )
    answer = pipe.ask(question)
    assert question in answer.text
    return "cached" if answer.cached else f"asked by {os.getpid()}"
