"""What is kept of an answer: the answer, its events, and what it rests on. JSON, never a pickle."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag.core.answers import Answer, Cached, Event, Step
from rag.core.calls import Call, Usage
from rag.core.citations import Citation

#: The most that an entry may be unpacked to: a store that others write to cannot fill the memory.
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer that a model gave.

    Attributes
    ----------
    key : str
        The key under which it was put, so that an entry is never taken for another one's.
    answer : Answer
        Without the trace and calls, which are those of the question then.
    events : sequence of (str, Any)
        The text as it came, piece by piece, and for each citation its place among those of the answer.
    sources : mapping of str to str
        The hash of each document that was sent or cited.
    at : float
        When the model answered, in seconds since 1970.
    usd : float or None
        What all calls for it cost; None if no price is known.
    model : str
        The model that answered; empty if it was free, on this machine.
    turn : tuple of str
        In a conversation: the question as it was searched, and the model's reply as it came.
    """

    key: str
    answer: Answer
    events: Sequence[tuple[str, Any]]
    sources: Mapping[str, str]
    at: float
    usd: float | None
    model: str
    turn: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the entry for a store.

        Raises
        ------
        ValueError, TypeError
            Something in it has no form in JSON: it could not be read back as it is.
        """
        values = {
            "key": self.key, "answer": self.answer.to_dict(), "events": self.events, "sources": self.sources,
            "at": self.at, "usd": self.usd, "model": self.model, "turn": self.turn,
        }  # fmt: skip
        data = zlib.compress(json.dumps(values, ensure_ascii=False, allow_nan=False).encode(), 1)
        if Entry.from_bytes(data, self.key) != self:
            raise ValueError("the answer is not the same when it is read back")
        return data

    @classmethod
    def from_bytes(cls, data: bytes | None, key: str) -> Entry | None:
        """Read an entry; None if there is none, or it is damaged or another key's."""
        if data is None:
            return None
        try:
            unpacked = zlib.decompressobj().decompress(data, _MOST_BYTES)
            values = json.loads(unpacked)
            if values["key"] != key:
                return None
            return cls(
                key, Answer.from_dict(values["answer"]), [(kind, value) for kind, value in values["events"]],
                values["sources"], values["at"], values["usd"], values["model"], tuple(values["turn"]),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
            return None

    def replay(self) -> list[Event]:
        """Return the events between the context and the answer, as they came."""
        citations = self.answer.citations
        return [Event(kind, citations[value] if kind == "citation" else value) for kind, value in self.events]


def recorded(event: Event, citations: Sequence[Citation]) -> tuple[str, Any]:
    """Return an event as an entry holds it.

    Raises
    ------
    ValueError
        A citation is not among those of the answer.
    """
    return (
        (event.kind, citations.index(event.value)) if event.kind == "citation" else (event.kind, event.value)
    )


def restored(
    entry: Entry, question: str, calls: Sequence[Call], notes: Sequence[str], step: Step, cached: Cached
) -> Answer:
    """Return the answer of an entry for a question that was asked now."""
    return replace(
        entry.answer, question=question, usage=Usage(cost_usd=0.0), trace=(step,), calls=tuple(calls),
        notes=(*notes, *entry.answer.notes), cached=cached,
    )  # fmt: skip
