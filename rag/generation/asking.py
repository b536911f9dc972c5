"""How a question is put to the model and its reply read: as text, as data, or with tools."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, Protocol

from rag.core.answers import Answer, Event, Step
from rag.core.calls import Usage
from rag.core.errors import ConfigError, UsageError
from rag.core.passages import Context, Hit
from rag.generation.citations import OnFail
from rag.generation.reading import Reading
from rag.usage.collector import calls_for

#: Options of a question that say how it is answered.
OPTIONS = ("schema", "repairs", "tools", "max_turns", "max_usd")


class Speaks(Protocol):
    """A generator as the pipeline calls it (`rag.generation.generator.Generator`)."""

    @property
    def model(self) -> Any:
        """The chat model behind it, with what a prompt has bound to it."""

    def stream(self, messages: Sequence[Any]) -> Iterator[Any]:
        """Yield the reply in pieces."""

    def astream(self, messages: Sequence[Any]) -> AsyncGenerator[Any, None]:
        """Yield the reply in pieces, without blocking the event loop."""


class Reads(Protocol):
    """What reads a reply: `Reading`, or its like."""

    steps: list[Step]

    @property
    def purpose(self) -> str:
        """What the next call is for."""

    @property
    def message(self) -> Any:
        """The reply as one message; None where the answer's text stands for it."""

    def feed(self, piece: Any) -> Iterator[Event]:
        """Read one more piece; yield what is complete now."""

    def more(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Take the end of a reply; return the messages of a further call, none if it is the last."""

    def close(self) -> Iterator[Event]:
        """Read the end; yield what was held back."""

    def answer(self, generator: Any, prompt: str, usage: Usage) -> Answer:
        """Return the answer, without the calls and notes of the question's collector."""


class Asking:
    """One call of the model, whose reply is the answer's text.

    Attributes
    ----------
    plain : bool
        Whether exactly the prompt's messages are sent.
    nothing : str or None
        The text where nothing was found; None for the pipeline's.
    """

    plain = True
    nothing: str | None = None

    def __init__(self, generator: Speaks) -> None:
        self._generator = generator

    def prepared(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Return the messages to send for those of the prompt."""
        return messages

    def reading(
        self, question: str, context: Context, hits: Sequence[Hit], steps: list[Step], on_fail: OnFail
    ) -> Any:
        """Return what reads the reply."""
        return Reading(question, context, hits, steps, on_fail)

    def events(self, messages: Sequence[Any], reading: Any) -> Iterator[Event]:
        """Yield the events of the model's replies, up to the last one's end."""
        messages = self.prepared(messages)
        while messages:
            with calls_for(reading.purpose):
                for piece in self._generator.stream(messages):
                    yield from reading.feed(piece)
            yield from self._between(reading)
            messages = reading.more(messages)

    async def aevents(self, messages: Sequence[Any], reading: Any) -> AsyncGenerator[Event, None]:
        """Yield the events as `events` does, without blocking the event loop."""
        messages = self.prepared(messages)
        while messages:
            with calls_for(reading.purpose):
                async with contextlib.aclosing(self._generator.astream(messages)) as pieces:
                    async for piece in pieces:
                        for event in reading.feed(piece):
                            yield event
            async with contextlib.aclosing(self._abetween(reading)) as events:
                async for event in events:
                    yield event
            messages = reading.more(messages)

    def _between(self, reading: Any) -> Iterator[Event]:
        """Do what a reply asks for before the next one."""
        yield from ()

    async def _abetween(self, reading: Any) -> AsyncGenerator[Event, None]:
        for event in self._between(reading):
            yield event


class AskingForData(Asking):
    """The answer as data that fits a schema, with a citation for each field; invalid replies are repaired.

    Raises
    ------
    ConfigError
        The schema or `repairs` is invalid, or the model only quotes.
    """

    plain = False
    nothing = "null"

    def __init__(self, generator: Speaks, schema: Any, repairs: Any) -> None:
        from rag.generation.generator import Generator
        from rag.generation.structured.envelope import envelope
        from rag.generation.structured.forms import form_of
        from rag.generation.structured.schemas import target

        if isinstance(repairs, bool) or not isinstance(repairs, int) or repairs < 0:
            raise ConfigError(f"repairs is {repairs!r}: set it to 0 or more")
        self._form, self._repairs = form_of(generator.model, envelope(target(schema))), repairs
        assert isinstance(generator, Generator)  # only the local answerer has another, which form_of refuses
        super().__init__(generator.of(self._form.model))

    def prepared(self, messages: Sequence[Any]) -> Sequence[Any]:
        """Return the messages with what the model is asked for, and without native citations.

        These and structured output exclude each other.
        """
        from rag.generation.structured.envelope import instructions
        from rag.generation.structured.forms import with_text

        return self._form.asked(with_text([_uncited(message) for message in messages], instructions()))

    def reading(
        self, question: str, context: Context, hits: Sequence[Hit], steps: list[Step], on_fail: OnFail
    ) -> Any:
        """Return what reads the reply."""
        from rag.generation.structured.reading import DataReading

        return DataReading(
            question, context, hits, steps, drop=on_fail == "drop", form=self._form, repairs=self._repairs
        )


class AskingWithTools(Asking):
    """The model may call tools before it answers.

    Raises
    ------
    ConfigError
        A tool or a limit is wrong, or the model calls no tools.
    """

    plain = False

    def __init__(self, generator: Speaks, tools: Sequence[Any], max_turns: Any, max_usd: Any) -> None:
        from rag.generation.generator import Generator
        from rag.generation.tool_loop import Tools

        if isinstance(max_turns, bool) or not isinstance(max_turns, int) or max_turns < 1:
            raise ConfigError(f"max_turns is {max_turns!r}: set it to 1 or more")
        if max_usd is not None and not (isinstance(max_usd, int | float) and max_usd > 0):
            raise ConfigError(f"max_usd is {max_usd!r}: set it to more than 0, or leave it out")
        self._tools, self._max_turns, self._max_usd = Tools(tools), max_turns, max_usd
        bound = self._tools.bound(generator.model)
        assert isinstance(generator, Generator)  # only the local answerer has another, which is refused
        super().__init__(generator.of(bound))

    def reading(
        self, question: str, context: Context, hits: Sequence[Hit], steps: list[Step], on_fail: OnFail
    ) -> Any:
        """Return what reads the replies; a tool's passages may be cited, too."""
        from rag.generation.tool_loop import ToolReading

        shown = list(hits)
        inner = Reading(question, context, shown, steps, on_fail)
        return ToolReading(inner, shown, max_turns=self._max_turns, max_usd=self._max_usd)

    def _between(self, reading: Any) -> Iterator[Event]:
        for call in reading.requests():
            yield reading.starts(call)
            yield reading.took(call, self._tools.run(call, reading.hits))

    async def _abetween(self, reading: Any) -> AsyncGenerator[Event, None]:
        for call in reading.requests():
            yield reading.starts(call)
            yield reading.took(call, await self._tools.arun(call, reading.hits))


def asking(generator: Speaks, options: dict[str, Any]) -> Asking:
    """Return how a question is asked; its options (`OPTIONS`) are taken out of `options`.

    Parameters
    ----------
    generator : Speaks
    options : dict

    Raises
    ------
    UsageError
        Two options exclude each other, or one has no effect.
    ConfigError
        As of `AskingForData` and `AskingWithTools`.
    """
    mine: Mapping[str, Any] = {
        name: value for name in OPTIONS if (value := options.pop(name, None)) is not None
    }
    schema, tools = mine.get("schema"), mine.get("tools")
    if schema is not None and tools is not None:
        raise UsageError("schema= and tools= exclude each other: ask with tools first, then for the data")
    for name, needs in (("repairs", "schema"), ("max_turns", "tools"), ("max_usd", "tools")):
        if name in mine and needs not in mine:
            raise UsageError(f"{name}= needs {needs}=")
    if schema is not None:
        return AskingForData(generator, schema, mine.get("repairs", 2))
    if tools is not None:
        return AskingWithTools(generator, tools, mine.get("max_turns", 8), mine.get("max_usd"))
    return Asking(generator)


def _uncited(message: Any) -> Any:
    """Return a message whose search results ask for no native citations."""
    if isinstance(message.content, str):
        return message
    blocks = [
        {**block, "citations": {"enabled": False}}
        if isinstance(block, Mapping) and block.get("type") == "search_result" else block
        for block in message.content
    ]  # fmt: skip
    return message.model_copy(update={"content": blocks})
