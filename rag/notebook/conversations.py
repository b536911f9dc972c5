"""Conversations, and the servers that are asked: what was said, and what is sent with the next question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rag.core.format import counted
from rag.notebook import lines, parts
from rag.notebook.display import Display
from rag.notebook.texts import marked

if TYPE_CHECKING:
    from rag.conversation.chat import Chat
    from rag.conversation.transcript import Turn

#: Most turns, and characters of a question or an answer, that are shown.
_TURNS, _CHARS = 20, 2000


class ChatDisplay(Display):
    """A conversation's turns, the latest last."""

    value: Chat

    def html(self) -> str:
        """Return the turns as a card."""
        turns = self._turns()
        left = parts.dim(_earlier(len(turns) - _TURNS)) if len(turns) > _TURNS else ""
        items = "".join(
            f'<li class="item"><div class="place" dir="auto">{parts.inert(turn.question, _CHARS)}</div>'
            f'<div class="text" dir="auto">{marked(turn.text[:_CHARS])}</div>'
            f"{parts.more(len(turn.text) - _CHARS, 'character', '.messages')}</li>"
            for turn in turns[-_TURNS:]
        )
        body = parts.facts([(name, parts.inert(value)) for name, value in self._facts()])
        body += left + (f"<ol>{items}</ol>" if items else parts.dim("no question was asked yet"))
        return parts.card("Conversation", counted(len(turns), "turn"), body)

    def text(self) -> str:
        """Return the last turns, a few lines each."""
        turns = self._turns()
        out = [f"Conversation of {counted(len(turns), 'turn')}", *lines.labelled(self._facts())]
        out += [f"  {_earlier(len(turns) - 3)}"] if len(turns) > 3 else []
        for turn in turns[-3:]:
            out += [lines.line(f"> {turn.question}", indent="  "), *lines.wrapped(turn.text, "    ", 3)]
        return "\n".join(out)

    def _turns(self) -> list[Turn]:
        transcript = self.value.transcript
        return [*transcript.dropped, *transcript.turns]

    def _facts(self) -> list[tuple[str, str]]:
        chat = self.value
        dropped = len(chat.transcript.dropped)
        return [
            ("filter", "" if chat.where is None else str(chat.where)),
            ("asks", str(getattr(getattr(chat.pipeline, "index", None), "path", "") or "")),
            ("no longer sent", f"{counted(dropped, 'turn')}, but a line each" if dropped else ""),
            ("tag", chat.tag or ""),
        ]


def _earlier(count: int) -> str:
    return f"… {counted(count, 'earlier turn')}: chat.messages"


class Asks(Protocol):
    """What `rag.Client` shows of itself, a room beside this one."""

    url: str


class ClientDisplay(Display):
    """Which server a client asks; nothing of its key."""

    value: Asks

    def html(self) -> str:
        """Return the address as a card."""
        return parts.card("Client", self.value.url, parts.dim("asks, searches and explains on this server"))

    def text(self) -> str:
        """Return the address."""
        return lines.line(repr(self.value))
