"""A conversation over a pipeline: each question may build on those before it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, Protocol

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from rag.conversation.follow_up import FollowUp, carry_over
from rag.conversation.transcript import Transcript
from rag.core.answers import Answer, Event
from rag.core.errors import UsageError
from rag.core.shown import Shows
from rag.generation.history import messages_of

_KEEP = object()


class _InMemory(BaseChatMessageHistory):
    """The messages of a conversation in a list."""

    def __init__(self, messages: Sequence[BaseMessage]) -> None:
        self.messages = list(messages)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        self.messages += messages

    def clear(self) -> None:
        self.messages.clear()


class Answers(Protocol):
    """What a conversation asks of a pipeline."""

    def stream(self, question: str, **options: Any) -> Iterator[Event]:
        """Answer a question as events."""

    def astream(self, question: str, **options: Any) -> AsyncGenerator[Event, None]:
        """Answer a question as events, without blocking the event loop."""


class Chat(Shows):
    """A conversation; one question at a time.

    Parameters
    ----------
    pipeline : Pipeline
    history : BaseChatMessageHistory or sequence of messages, optional
        Where the turns are stored; what it holds already is continued. By default in memory.
    where : Where, str or dict, optional
        The filter; it stays in force until another one is given to `ask`.
    follow_up : callable, optional
        Makes a follow-up stand on its own (`rag.conversation.follow_up.FollowUp`); by default without a
        model.
    keep_tokens : int
        The most tokens, as estimated, that the turns before a question may take.
    tag : str, optional
        Recorded with the calls.
    user, variables : optional
        As of `Pipeline.ask`: who asks, and values of the prompt's variables.

    Attributes
    ----------
    transcript : Transcript
        The turns that are still sent.

    Examples
    --------
    >>> chat = rag.Pipeline("indexes/handbook").chat()                        # doctest: +SKIP
    >>> chat.ask("How long is parental leave in the US?").text                # doctest: +SKIP
    >>> chat.ask("and in Europe?").text                                       # doctest: +SKIP
    """

    def __init__(
        self,
        pipeline: Answers,
        history: BaseChatMessageHistory | Sequence[Any] | None = None,
        *,
        where: Any = None,
        follow_up: FollowUp | None = None,
        keep_tokens: int = 16_000,
        tag: str | None = None,
        user: str | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        if keep_tokens < 0:
            raise UsageError(f"keep_tokens is {keep_tokens}: give a number of tokens from 0")
        if not isinstance(history, BaseChatMessageHistory):
            history = _InMemory(messages_of(history or ()))
        self.pipeline, self.history, self.where, self.tag = pipeline, history, where, tag
        self.user, self.variables = user, variables
        self.follow_up: FollowUp = follow_up or carry_over
        self.transcript = Transcript.of(history.messages, keep_tokens)
        self._busy = threading.Lock()

    @property
    def messages(self) -> list[BaseMessage]:
        """The conversation so far, as LangChain's messages."""
        return list(self.history.messages)

    def clear(self) -> None:
        """Forget the turns, in the history, too."""
        self.history.clear()
        self.transcript = Transcript(keep_tokens=self.transcript.keep_tokens)

    def ask(self, question: str, **options: Any) -> Answer:
        """Answer a question; the options are those of `Pipeline.ask`."""
        answer = None
        for event in self.stream(question, **options):
            answer = event.value
        assert isinstance(answer, Answer)
        return answer

    def stream(self, question: str, *, where: Any = _KEEP, **options: Any) -> Iterator[Event]:
        """Answer a question as events; the options are those of `Pipeline.stream`.

        A question that fails, or that is left before its end, is not part of the conversation.

        Raises
        ------
        UsageError
            Another question of this conversation is being answered.
        """
        with self._one_at_a_time():
            for event in self.pipeline.stream(question, **self._options(where, options)):
                self._take(event)
                yield event

    async def aask(self, question: str, **options: Any) -> Answer:
        """Answer a question without blocking the event loop."""
        answer = None
        async with contextlib.aclosing(self.astream(question, **options)) as events:
            async for event in events:
                answer = event.value
        assert isinstance(answer, Answer)
        return answer

    async def astream(
        self, question: str, *, where: Any = _KEEP, **options: Any
    ) -> AsyncGenerator[Event, None]:
        """Answer a question as events without blocking the event loop; see `stream`."""
        with self._one_at_a_time():
            events = self.pipeline.astream(question, **self._options(where, options))
            async with contextlib.aclosing(events):
                async for event in events:
                    self._take(event)
                    yield event

    def _options(self, where: Any, options: dict[str, Any]) -> dict[str, Any]:
        if where is not _KEEP:
            self.where = where
        return {
            "where": self.where, "tag": self.tag, "user": self.user, "variables": self.variables, **options,
            "history": self.transcript, "follow_up": self.follow_up,
        }  # fmt: skip

    def _take(self, event: Event) -> None:
        """Store a turn once it is answered."""
        if event.kind == "answer" and self.transcript.turns:
            self.history.add_messages(self.transcript.turns[-1].to_messages())

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise UsageError("this conversation answers another question: wait for it, or open another chat")
        try:
            yield
        finally:
            self._busy.release()
