"""The local answerer with LangChain's interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict

from rag.generation.quoting import Quoting, conversation_text, tokens_of


class ExtractiveAnswerer(Quoting, BaseChatModel):
    """Answers by quoting, offline and free; the parameters are those of `Quoting`.

    It reads the same messages that a model would be sent, so it can stand wherever a chat model stands.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @property
    def _llm_type(self) -> str:
        return "extractive"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = "".join(self.pieces(_read(messages)))
        message = AIMessage(answer, response_metadata={"stop_reason": "end_turn"})
        message.usage_metadata = _usage(messages, str(message.content))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = ""
        for piece in self.pieces(_read(messages)):
            reply += piece
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        yield ChatGenerationChunk(message=AIMessageChunk(
            content="", usage_metadata=_usage(messages, reply), response_metadata={"stop_reason": "end_turn"},
        ))  # fmt: skip


def _read(messages: Sequence[BaseMessage]) -> str:
    return conversation_text([str(message.text) for message in messages])


def _usage(messages: Sequence[BaseMessage], reply: str) -> Any:
    read, written = tokens_of([str(message.text) for message in messages], reply)
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
