"""A chat model's answer, and what a guardrail does with one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rag.emulator.wire import Request


@dataclass(frozen=True, slots=True)
class Part:
    """A block of a completion: a text with the search results that it cites, or a tool call.

    Attributes
    ----------
    text : str
    citations : tuple of Mapping
        In the form of the Converse API.
    tool : Mapping, optional
        ``{"toolUseId", "name", "input"}``; the text is then empty.
    """

    text: str = ""
    citations: tuple[Mapping[str, Any], ...] = ()
    tool: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A chat model's answer: its blocks, its stop reason, and the stop sequence that ended it."""

    parts: tuple[Part, ...]
    stop_reason: str
    stop_sequence: str | None = None


class Guard(Protocol):
    """The guardrail of one Converse request."""

    blocked_input: str

    def prompt(self, request: Request) -> Request | None:
        """Return the request as the model gets it; None if it is blocked."""

    def reply(self, completion: Completion) -> Completion:
        """Return the completion as the user gets it."""

    def streamed(self, completion: Completion) -> Completion:
        """Return the completion as it reaches the user in asynchronous mode."""

    def trace(self) -> dict[str, Any]:
        """Return the GuardrailTraceAssessment."""
