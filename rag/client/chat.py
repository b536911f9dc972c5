"""A conversation with a server, which keeps none: each question takes the messages before it along."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Protocol

from rag.client.calls import ASK, Call, asked
from rag.conversation.transcript import Transcript, Turn
from rag.core.answers import Event

#: What a server takes at most: messages, characters of one, and (with room for the question) bytes of all.
_MOST_MESSAGES, _MOST_CHARS, _MOST_BYTES = 200, 32_000, 900_000


class Streams(Protocol):
    """What sends requests (`rag.client.transport.Transport`)."""

    def events(self, call: Call) -> Iterator[Event]:
        """Yield the events of a reply."""

    def aevents(self, call: Call) -> AsyncGenerator[Event, None]:
        """Yield the events of a reply."""


class RemoteTurns:
    """What a `rag.conversation.chat.Chat` asks, in place of a pipeline."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def stream(self, question: str, **options: Any) -> Iterator[Event]:
        """Answer a question of a conversation as events, and add the turn to its transcript, ``history``."""
        history = options.pop("history")
        for event in self._streams.events(_call(question, history, options)):
            _take(event, question, history)
            yield event

    async def astream(self, question: str, **options: Any) -> AsyncGenerator[Event, None]:
        """Answer a question of a conversation as events; see `stream`."""
        history = options.pop("history")
        events = self._streams.aevents(_call(question, history, options))
        async with contextlib.aclosing(events):
            async for event in events:
                _take(event, question, history)
                yield event


def _call(question: str, history: Transcript, options: dict[str, Any]) -> Call:
    given = {name: value for name, value in options.items() if value is not None}
    given.pop("follow_up", None)  # the server has its own
    messages = _messages(history)
    return asked("/v1/chat", question, given, ASK, repeatable=False, messages=messages, stream=True)


def _messages(history: Transcript) -> list[dict[str, str]]:
    """Return the latest turns, as many as a server takes, oldest first."""
    kept: list[dict[str, str]] = []
    size = 0
    for turn in reversed(history.turns):
        pair = [
            {"role": role, "content": text[:_MOST_CHARS]}
            for role, text in (("user", turn.question), ("assistant", turn.text))
        ]
        size += len(json.dumps(pair, ensure_ascii=False).encode(errors="replace"))
        if len(kept) + 2 > _MOST_MESSAGES or size > _MOST_BYTES:
            break
        kept = pair + kept
    return kept


def _take(event: Event, question: str, history: Transcript) -> None:
    if event.kind == "answer":
        answer = event.value
        details = [step.detail for step in answer.trace if step.name == "follow-up"]
        search = str(details[0].get("search") or question) if details else question
        history.end(Turn(question, search), "", answer)
