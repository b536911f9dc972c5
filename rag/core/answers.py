"""Answers: what a question gets back, what it rests on, and what it cost.

Offsets are characters into a document's loaded text, end exclusive; pages are 1-based and
inclusive; times are seconds; money is US dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rag.core.passages import Context, place_of


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote of the answer and where it stands.

    Attributes
    ----------
    number : int
        The ``[n]`` in the answer's text.
    text : str
        The exact text of the source, ``loaded_text[start:end]``; what the model claimed to
        quote where `verified` is false (then `start` and `end` are 0).
    verified : bool
        Whether the quote stands, word for word, in the passage that it names.
    supports : bool
        Whether it bears out the sentence that cites it, as far as numbers go: each stands in the
        sentence's quotes or in the question. Where not, the answer's text has ``[n?]``.
    """

    number: int
    source: str
    start: int
    end: int
    text: str
    verified: bool
    page_start: int | None = None
    page_end: int | None = None
    section: tuple[str, ...] = ()
    supports: bool = True

    @property
    def place(self) -> str:
        """Where a person would look."""
        return place_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "section": list(self.section)}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call cost; usages add up with ``+``.

    Attributes
    ----------
    input_tokens : int
        Read by the model, those of the prompt cache left out.
    cache_write_1h_input_tokens : int
        Of `cache_write_input_tokens`, those that are kept for an hour, not five minutes.
    cost_usd : float or None
        None where no price is known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    cost_usd: float | None = None
    cache_write_1h_input_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        known = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_input_tokens + other.cache_read_input_tokens,
            self.cache_write_input_tokens + other.cache_write_input_tokens,
            sum(known) if known else None,
            self.cache_write_1h_input_tokens + other.cache_write_1h_input_tokens,
        )


@dataclass(frozen=True, slots=True)
class Call:
    """A call that may cost money.

    Attributes
    ----------
    model : str
        The model's id.
    purpose : {"embed", "rerank", "generate"}
    """

    model: str
    purpose: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of one question: its name, how long it took, and what it says of itself."""

    name: str
    seconds: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question, with all it rests on.

    Attributes
    ----------
    text : str
        The answer, with ``[n]`` for each citation.
    answered : bool
        False where the model said that the context holds no answer.
    context : Context
        Exactly what was sent.
    generator, prompt : str
        Which model and which version of the prompt made it.
    stop_reason : str
        As the model named it; ``"max_tokens"`` means that the text is cut.
    supported : float or None
        The share, in [0, 1], of the text's sentences that a verified citation supports, numbers
        included; None where there are no sentences.
    guardrail : {"blocked", "masked"} or None
        What a guardrail did.
    notes : tuple of str
        What the user should know: why a text is cut, which model stood in for another, a budget.
    calls : tuple of Call
        Every call that was made for the answer, with what it cost.
    tool_calls : tuple of mapping
        What the model wants called, as LangChain has it: ``name``, ``args``, ``id``.
    """

    question: str
    text: str
    answered: bool
    citations: tuple[Citation, ...]
    context: Context
    usage: Usage
    trace: tuple[Step, ...]
    generator: str
    prompt: str
    stop_reason: str = "end_turn"
    supported: float | None = None
    guardrail: str | None = None
    notes: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    tool_calls: tuple[Mapping[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "question": self.question,
            "text": self.text,
            "answered": self.answered,
            "citations": [citation.to_dict() for citation in self.citations],
            "context": self.context.to_dict(),
            "usage": asdict(self.usage),
            "trace": [asdict(step) for step in self.trace],
            "generator": self.generator,
            "prompt": self.prompt,
            "stop_reason": self.stop_reason,
            "supported": self.supported,
            "guardrail": self.guardrail,
            "notes": list(self.notes),
            "calls": [asdict(call) for call in self.calls],
            "tool_calls": [dict(call) for call in self.tool_calls],
        }

    def _repr_html_(self) -> str:
        from rag.notebook.display import answer_html

        return answer_html(self)


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a streamed answer.

    Attributes
    ----------
    kind : {"context", "text", "citation", "answer"}
    value : Context, str, Citation or Answer
        ``"text"`` events joined are the answer's text; ``"answer"`` comes last.
    """

    kind: str
    value: Any
