"""What the pipeline asks of a generator."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from rag.core.calls import Call
from rag.core.errors import GenerationError
from rag.generation.generator import Explain, Generator
from rag.generation.models import describe
from rag.generation.prompt import Prompt
from rag.generation.reply import whole
from rag.testing import examples
from rag.testing.threads import at_once
from rag.usage.collector import Collector


class GeneratorSuite:
    """Any `BaseChatModel`, or Runnable over messages.

    Give a fixture ``generator`` that answers the same each time; and a fixture ``failing``, the same kind
    of generator of which every call fails.

    Attributes
    ----------
    paid : bool
        Whether a call costs money. One that is free need not be recorded if its stream is not read to
        the end.

    Examples
    --------
    >>> class TestMine(GeneratorSuite):
    ...     @pytest.fixture
    ...     def generator(self):
    ...         return MyChatModel()
    ...     @pytest.fixture
    ...     def failing(self):
    ...         return MyChatModel(endpoint="http://127.0.0.1:1")
    """

    paid = True

    @pytest.fixture
    def generator(self) -> Any:
        """Return the generator under test."""
        raise NotImplementedError("give the generator under test in a fixture named generator")

    @pytest.fixture
    def failing(self) -> Any:
        """Return a generator of the same kind of which every call fails."""
        pytest.skip("no generator that fails is given: add a fixture named failing")

    @pytest.fixture
    def explain(self) -> Explain | None:
        """Return what the pipeline explains an error of the generator's service with."""
        return None

    @pytest.fixture
    def messages(self) -> list[BaseMessage]:
        """Return the messages to answer: `rag.Prompt`'s, with a passage that holds the answer."""
        return Prompt().messages(examples.QUESTION, examples.hits()[:1])

    def test_pieces_add_up_to_the_reply(self, generator: Any, messages: list[BaseMessage]) -> None:
        """A stream's pieces joined are the text that ``invoke`` returns, and there is some."""
        pieces = list(Generator(generator).stream(messages))
        assert all(isinstance(piece, BaseMessage) for piece in pieces)
        text = "".join(piece.text for piece in pieces)
        assert text.strip()
        assert text == _text(generator.invoke(messages))
        reply = whole(pieces)
        assert reply is not None and reply.text == text

    def test_asynchronously_the_reply_is_the_same(self, generator: Any, messages: list[BaseMessage]) -> None:
        """``ainvoke`` returns what ``invoke`` returns."""
        assert _text(asyncio.run(generator.ainvoke(messages))) == _text(generator.invoke(messages))

    def test_the_messages_stay_as_they_are(self, generator: Any, messages: list[BaseMessage]) -> None:
        """A generator does not change the messages that it reads."""
        before = [message.model_copy(deep=True) for message in messages]
        list(Generator(generator).stream(messages))
        assert messages == before

    def test_the_call_is_in_the_questions_collector(
        self, generator: Any, messages: list[BaseMessage]
    ) -> None:
        """Each question has its one call, with tokens that are not negative, and none of another's."""
        for _ in range(2):
            [call] = _calls(generator, messages)
            assert call.purpose == "generate"
            assert min(call.usage.counts) >= 0

    def test_a_stream_that_is_not_read_to_its_end_is_paid_for(
        self, generator: Any, messages: list[BaseMessage]
    ) -> None:
        """Whoever stops reading at the first piece has had the call all the same."""
        collector = Collector()
        stream = collector.through(Generator(generator).stream(messages))
        assert next(stream) is not None
        stream.close()  # type: ignore[attr-defined]
        if self.paid or collector.calls:
            assert [call.purpose for call in collector.calls] == ["generate"]

    def test_many_threads_have_the_same_reply_and_a_call_each(
        self, generator: Any, messages: list[BaseMessage]
    ) -> None:
        """16 threads at once have the reply that one has, and each its own call."""
        expected = _text(generator.invoke(messages))

        def ask(_: int) -> tuple[str, int]:
            collector = Collector()
            pieces = list(collector.through(Generator(generator).stream(messages)))
            return "".join(piece.text for piece in pieces), len(collector.calls)

        assert at_once(ask) == [(expected, 1)] * 16

    def test_it_says_what_it_is(self, generator: Any) -> None:
        """The answer names its generator in one line, without an address in memory."""
        line = describe(generator)
        assert line.strip() and "\n" not in line and " at 0x" not in line

    def test_a_failure_is_a_generation_error_in_one_line(
        self, failing: Any, explain: Explain | None, messages: list[BaseMessage]
    ) -> None:
        """Whatever its service raises, the user reads one line that says what happened."""
        with pytest.raises(GenerationError) as caught:
            list(Generator(failing, explain).stream(messages))
        assert str(caught.value).strip() and "\n" not in str(caught.value)


def _calls(generator: Any, messages: Sequence[BaseMessage]) -> tuple[Call, ...]:
    collector = Collector()
    list(collector.through(Generator(generator).stream(messages)))
    return collector.calls


def _text(reply: Any) -> str:
    return reply.text if isinstance(reply, BaseMessage) else str(reply)
