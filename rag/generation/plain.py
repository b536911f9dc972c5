"""The local answerer without LangChain, whose imports take longer than the answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rag.core.calls import Usage
from rag.core.passages import Hit
from rag.generation.parameters import refuse_untaken
from rag.generation.prompt import Prompt
from rag.generation.quoting import Quoting, tokens_of
from rag.usage.collector import paid_call


@dataclass(frozen=True, slots=True)
class Message:
    """A message, or a piece of a reply, with the fields of LangChain's that the pipeline reads."""

    content: str
    response_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlainPrompt:
    """`rag.generation.prompt.Prompt` with plain messages."""

    prompt: Prompt

    @property
    def name(self) -> str:
        """The prompt's name."""
        return self.prompt.name

    @property
    def hash(self) -> str:
        """The hash of the prompt's text."""
        return self.prompt.hash

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the prompt asks of the model."""
        return self.prompt.parameters

    @property
    def variables(self) -> Mapping[str, Any]:
        """The prompt's variables."""
        return self.prompt.variables

    @property
    def values(self) -> Mapping[str, Any]:
        """The values of the prompt's variables."""
        return self.prompt.values

    def filled(self, variables: Mapping[str, Any]) -> PlainPrompt:
        """Return the prompt with values of its variables."""
        return PlainPrompt(self.prompt.filled(variables))

    def messages(self, question: str, hits: Sequence[Hit]) -> list[Message]:
        """Return the messages: the system prompt, then the passages and the question."""
        return [Message(self.prompt.system), Message(str(self.prompt.content(question, hits)))]


@dataclass(frozen=True, slots=True)
class PlainGenerator:
    """`Quoting` as the pipeline calls a generator."""

    quoting: Quoting

    @property
    def model(self) -> Quoting:
        """The answerer."""
        return self.quoting

    def bound(self, parameters: Mapping[str, Any]) -> PlainGenerator:
        """Return it for a prompt without parameters; `Quoting` takes none."""
        refuse_untaken(self.quoting, parameters)
        return self

    def stream(self, messages: Sequence[Message]) -> Iterator[Message]:
        """Yield the answer in pieces."""
        with paid_call(None, "generate") as call:
            call.model, answer = "extractive", ""
            for piece in self.quoting.pieces(messages[-1].content):
                answer += piece
                yield Message(piece)
            read, written = tokens_of([message.content for message in messages], answer)
            call.usage = Usage(read, written, cost_usd=0.0)
        yield Message("", {"stop_reason": "end_turn"})

    def astream(self, messages: Sequence[Message]) -> AsyncGenerator[Message, None]:
        """Yield the answer in pieces, without blocking the event loop."""
        from rag.core.threads import in_thread  # asyncio takes longer to import than the answer to make

        return in_thread(lambda: self.stream(messages))
