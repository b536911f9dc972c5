"""The turns of a conversation: what was asked, sent and answered, and the messages that follow from it.

The messages only grow: each turn adds its new passages, its question and its reply behind those before.
So what a model has read already stays its prompt's beginning, and a prompt cache holds it. Only when the
turns outgrow their room do old ones go, half of the room at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from rag.core.answers import Answer
from rag.core.passages import Hit
from rag.core.text import sentences
from rag.generation.history import messages_of
from rag.generation.prompt import Prompt
from rag.usage.messages import texts_of
from rag.usage.tokens import estimate_tokens

#: The key in a message's ``additional_kwargs`` under which a turn is stored with it.
KEY = "rag"


@dataclass(slots=True)
class Turn:
    """One question, and what became of it.

    Attributes
    ----------
    question, search : str
        As it was asked, and as it stands on its own.
    hits : tuple of Hit
        The passages that this turn added.
    again : tuple of Hit
        Passages of turns before that concern this question, too.
    reply, text : str
        The model's reply as it came, to be sent again, and as its reader saw it.
    """

    question: str
    search: str = ""
    hits: tuple[Hit, ...] = ()
    again: tuple[Hit, ...] = ()
    reply: str = ""
    text: str = ""

    def to_messages(self) -> list[BaseMessage]:
        """Return the turn as two messages for any history; `Transcript.of` reads them."""
        return [
            HumanMessage(self.question, additional_kwargs={KEY: {
                "search": self.search,
                "hits": [hit.to_dict() for hit in self.hits],
                "again": [hit.to_dict() for hit in self.again],
            }}),
            AIMessage(self.text, additional_kwargs={KEY: {"reply": self.reply}}),
        ]  # fmt: skip


@dataclass(slots=True)
class Transcript:
    """The turns of a conversation that are still sent, oldest first.

    Attributes
    ----------
    keep_tokens : int
        The most tokens, as estimated, that the turns before a question may take.
    dropped : list of Turn
        Turns that are no longer sent; a summary of a line each stands in their place.
    """

    turns: list[Turn] = field(default_factory=list)
    keep_tokens: int = 16_000
    dropped: list[Turn] = field(default_factory=list)

    @classmethod
    def of(cls, messages: Sequence[Any], keep_tokens: int = 16_000) -> Transcript:
        """Read the turns of a history; messages of another program count as question and reply."""
        turns: list[Turn] = []
        for message in messages_of(messages):
            stored = message.additional_kwargs.get(KEY) or {}
            if isinstance(message, HumanMessage):
                text, search = str(message.text), str(stored.get("search") or message.text)
                turns.append(Turn(text, search, _hits(stored.get("hits")), _hits(stored.get("again"))))
            elif isinstance(message, AIMessage) and turns:
                text = str(message.text)
                turns[-1].text, turns[-1].reply = text, str(stored.get("reply") or text)
        return cls([turn for turn in turns if turn.reply], keep_tokens)

    @property
    def earlier(self) -> list[tuple[str, str]]:
        """The questions as they were asked, with their answers."""
        return [(turn.question, turn.text) for turn in (*self.dropped, *self.turns)]

    @property
    def hits(self) -> tuple[Hit, ...]:
        """The passages that the turns have sent, in the order of their numbers."""
        return tuple(hit for turn in self.turns for hit in turn.hits)

    def begin(self, question: str, search: str, hits: Sequence[Hit], prompt: Prompt) -> Turn:
        """Return a new turn: of the passages those that were not sent before, and the others referred to.

        Turns that no longer fit `keep_tokens` are dropped first, so that what they sent counts as new.
        """
        self._make_room(prompt)
        shown = self.hits
        known = {id(hit): _holding(shown, hit) for hit in hits}
        again = dict.fromkeys(where for where in known.values() if where is not None)
        return Turn(
            question, search, tuple(hit for hit in hits if known[id(hit)] is None),
            tuple(shown[number] for number in sorted(again)),
        )  # fmt: skip

    def messages(self, turn: Turn, prompt: Prompt) -> list[BaseMessage]:
        """Return the messages up to a turn's question."""
        named = {"prompt": prompt.name, "version": prompt.version}
        out: list[BaseMessage] = [SystemMessage(prompt.system, additional_kwargs=named)]
        for each in self.turns:
            out += [HumanMessage(self._content(each, prompt)), AIMessage(each.reply)]
        return [*out, HumanMessage(self._content(turn, prompt))]

    def end(self, turn: Turn, reply: str, answer: Answer) -> None:
        """Add a turn with its reply."""
        turn.reply, turn.text = reply or answer.text, answer.text
        self.turns.append(turn)

    def last_turn(self) -> tuple[str, str]:
        """Return the last question as it was searched, and the model's reply as it came."""
        return self.turns[-1].search, self.turns[-1].reply

    def repeat(self, question: str, search: str, reply: str, answer: Answer, prompt: Any) -> None:
        """Add a turn whose answer was given before, as if the model had given it now."""
        own = isinstance(prompt, Prompt)
        turn = self.begin(question, search, answer.context.hits, prompt) if own else Turn(question, search)
        self.end(turn, reply, answer)

    def _content(self, turn: Turn, prompt: Prompt) -> Any:
        """Return the content of a turn's message; its passages are numbered behind those before."""
        before: list[Hit] = []
        for each in self.turns:
            if each is turn:
                break
            before += each.hits
        again = [
            number for number, hit in enumerate(before, 1) if any(_holds(hit, one) for one in turn.again)
        ]
        first = self.turns[0] if self.turns else turn
        return prompt.content(
            turn.question, turn.hits, first=len(before) + 1, again=again,
            in_full=turn.search if turn.search != turn.question else None,
            before=self._summary() if turn is first and self.dropped else None,
        )  # fmt: skip

    def _make_room(self, prompt: Prompt) -> None:
        """Drop the oldest turns once they are too long, until half of the room is free."""
        sizes = [
            sum(map(estimate_tokens, [*texts_of(self._content(turn, prompt)), turn.reply]))
            for turn in self.turns
        ]
        if sum(sizes) <= self.keep_tokens:
            return
        while self.turns and sum(sizes) > self.keep_tokens // 2:
            self.dropped.append(self.turns.pop(0))
            sizes.pop(0)

    def _summary(self) -> str:
        """Return a line for each dropped turn: its question, and the first sentence of its answer."""
        return "\n".join(f"- {turn.search} {_first_sentence(turn.text)}" for turn in self.dropped)


def _first_sentence(text: str) -> str:
    spans = sentences(text)
    return text[spans[0][0] : spans[0][1]].strip() if spans else ""


def _holding(shown: Sequence[Hit], hit: Hit) -> int | None:
    """Return which of the passages holds all of another one."""
    return next((number for number, other in enumerate(shown) if _holds(other, hit)), None)


def _holds(other: Hit, hit: Hit) -> bool:
    same = other.source == hit.source
    if other.placed and hit.placed:
        return same and other.start <= hit.start and hit.end <= other.end
    return same and hit.text in other.text


def _hits(stored: Any) -> tuple[Hit, ...]:
    """Read passages as `Hit.to_dict` writes them."""
    return tuple(Hit.from_dict(values) for values in stored or ())
