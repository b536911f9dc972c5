"""A question whose passages and messages are there: what remains is to ask the model and read its reply."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag.core.answers import Answer, Event
from rag.core.calls import Call, Usage
from rag.core.observed import stage
from rag.core.retrieved import Retrieved
from rag.generation import reply
from rag.generation.asking import Asking, Reads
from rag.generation.nothing import nothing_sent
from rag.generation.question import Question
from rag.generation.voice import Voice
from rag.usage.collector import Collector
from rag.usage.tokens import TokenCounter


class Given(Asking):
    """A reply that is there already: no model is called."""

    plain = False  # what was sent for it may be another prompt's messages, from which no tokens are learned

    def __init__(self, message: Any) -> None:
        self._message = message

    def events(self, messages: Sequence[Any], reading: Any) -> Iterator[Event]:
        """Yield the events of the reply."""
        yield from reading.feed(self._message)


@dataclass(frozen=True, slots=True)
class Begun:
    """A question whose reply is awaited.

    Attributes
    ----------
    retrieved : Retrieved
    messages : sequence of messages
        Empty where nothing was found: no model is asked then.
    voice : Voice
        The prompt and the generator of this question.
    collector : Collector
        Of its calls and notes.
    generator : Any
        As the user gave it.
    trimmer : Any
    end : callable or None
        Takes the reply and the answer, to add them to the conversation.
    filtered : bool
        Whether the question or the retriever has a filter.
    """

    question: str
    retrieved: Retrieved
    messages: Sequence[Any]
    reading: Reads
    about: Question
    asking: Asking
    voice: Voice
    collector: Collector
    generator: Any
    trimmer: Any
    end: Callable[[Any, Answer], None] | None = None
    filtered: bool = False

    def answer(self, message: Any = None, calls: Sequence[Call] = ()) -> Answer:
        """Ask the model and return the answer.

        Parameters
        ----------
        message : BaseMessage, optional
            The model's reply, where it is there already: then no model is asked.
        calls : sequence of Call
            What that reply cost; recorded already.

        Raises
        ------
        GenerationError, BudgetError
            The model failed, or must not be called.
        """
        self.collector.include(calls)
        begun = self if message is None else replace(self, asking=Given(message))
        answer = None
        for event in self.collector.through(begun.events()):
            answer = event.value
        assert isinstance(answer, Answer)
        return answer

    def events(self) -> Iterator[Event]:
        """Yield the context, the reply's events, and the answer."""
        yield Event("context", self.retrieved.context)
        self.about.begin(self.collector.tag)
        if self.messages:
            with stage("generate", {}):
                yield from self.asking.events(self.messages, self.reading)
        yield from self._rest()

    async def aevents(self) -> AsyncGenerator[Event, None]:
        """Yield the events without blocking the event loop."""
        yield Event("context", self.retrieved.context)
        self.about.begin(self.collector.tag)
        if self.messages:
            with stage("generate", {}):
                async with contextlib.aclosing(self.asking.aevents(self.messages, self.reading)) as events:
                    async for event in events:
                        yield event
        for event in self._rest():
            yield event

    def _rest(self) -> Iterator[Event]:
        """Yield the rest of the text and citations, then the answer."""
        reading, collector, prompt = self.reading, self.collector, self.voice.name
        if self.messages:
            yield from reading.close()
            answer = self._read(reading, prompt, collector.calls)
        else:
            answer = nothing_sent(
                self.question, self.retrieved.context, reading.steps, prompt, self.asking.nothing,
                filtered=self.filtered,
            )  # fmt: skip
            yield Event("text", answer.text)
        answer = replace(
            answer, question=self.question, prompt_hash=self.voice.hash, calls=collector.calls,
            notes=(*collector.notes, *answer.notes), id=collector.id,
        )  # fmt: skip
        if self.end is not None:
            self.end(reading.message, answer)
        yield Event("answer", answer)

    def _read(self, reading: Reads, prompt: str, calls: Sequence[Call]) -> Answer:
        usage: Usage = reply.usage_of(reading.message if self.asking.plain else None, calls)
        counter = getattr(self.trimmer, "count_tokens", None)
        if self.asking.plain and isinstance(counter, TokenCounter):
            counter.learn(reply.texts(self.messages), usage)
        # May raise: a malformed reply is paid for, too.
        return reading.answer(self.generator, prompt, usage)
