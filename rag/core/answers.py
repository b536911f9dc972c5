"""Answers: their text, citations, support and cost.

Times are seconds; money is US dollars.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from rag.core.calls import Call, Usage, price_text
from rag.core.citations import Citation, Field, Support
from rag.core.displayable import Displayable
from rag.core.format import age_text, dollars, shortened
from rag.core.passages import Context
from rag.core.plain import from_fields

#: Stop reasons of an answer that is not whole, as Bedrock and others name them.
_CUT = {
    "max_tokens": "it reached max_tokens", "length": "it reached max_tokens",
    "model_context_window_exceeded": "the model's context window is full",
}  # fmt: skip


#: The head of a table of `Answer.field_rows`.
FIELD_HEAD = ("field", "value", "citations", "doubt")


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that the model called while it answered.

    Attributes
    ----------
    args : mapping
        Its arguments, as the model gave them.
    output : str or None
        What went back to the model; None while the tool runs.
    error : bool
        Whether that is an error.
    """

    name: str
    args: Mapping[str, Any]
    output: str | None = None
    error: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of one question: its name, its time, and details of its work."""

    name: str
    seconds: float
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cached:
    """Where an answer comes from that no model was asked for.

    Attributes
    ----------
    kind : {"exact", "unchanged", "similar"}
        The same question to the same index; to a newer version of it that gives the same passages; or a
        similar question, which is `question`.
    age_s : float
        Seconds since the model answered.
    saved_usd : float or None
        What its calls cost then, less what was paid now; None if no price is known.
    question : str
        The question as it was asked then.
    id : str
        The id of the answer that was made then; empty where it is not known.
    """

    kind: str
    age_s: float
    saved_usd: float | None
    question: str
    id: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return ``from the response cache, 2 h old, saved $0.0123``."""
        saved = f", saved {dollars(self.saved_usd)}" if self.saved_usd else ""
        return f"from the response cache, {age_text(self.age_s)} old{saved}"


@dataclass(frozen=True, slots=True, repr=False)
class Answer(Displayable):
    """The answer to a question, and all that it rests on.

    Attributes
    ----------
    text : str
        The answer, with ``[n]`` for each citation.
    answered : bool
        False if the model stated that the context holds no answer, or if its reply is empty or withheld.
    context : Context
        Exactly what was sent.
    generator, prompt : str
        The model and the prompt (``NAME@VERSION`` where it has one) that made it.
    prompt_hash : str
        The SHA-256 of the prompt's text; empty where it is not known, as of a function.
    stop_reason : str
        As the model named it; ``"max_tokens"`` means that the text is cut.
    support : Support or None
        Which sentences of the text a verified citation supports, numbers included; None if the text was
        not judged.
    guardrail : {"blocked", "masked"} or None
        What a guardrail did to the text.
    notes : tuple of str
        What the user should know: why a text is cut, which model stood in for another, a budget.
    calls : tuple of Call
        Every call for the answer, with its cost.
    tool_calls : tuple of mapping
        The tools that the model asks for, in LangChain's form: ``name``, ``args``, ``id``.
    tool_uses : tuple of ToolUse
        The tools that it called, in order.
    data : Any
        With ``schema=``, the validated object; None if the passages do not hold it. The text is its JSON.
    fields : tuple of Field
        The values of `data`, each with what it rests on; those that are null state nothing and are left out.
    cached : Cached or None
        Set if the answer is from the response cache; its `usage` then costs nothing.
    review_id : str
        The item of the review queue under which a person finds the answer; empty if it is not queued.
    id : str
        Its own, which nobody can guess and which sorts by time (`rag.core.ids`); its records bear it.
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
    support: Support | None = None
    guardrail: str | None = None
    notes: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    tool_uses: tuple[ToolUse, ...] = ()
    data: Any = None
    fields: tuple[Field, ...] = ()
    cached: Cached | None = None
    prompt_hash: str = ""
    review_id: str = ""
    id: str = field(default="", repr=False)

    @property
    def field_citations(self) -> dict[str, tuple[Citation, ...]]:
        """The citations of each field of `data`, by its path."""
        return {each.path: each.citations for each in self.fields}

    @property
    def supported(self) -> float | None:
        """The share, in [0, 1], of the text's sentences that are supported; None if none was judged."""
        return None if self.support is None else self.support.share

    @property
    def support_lines(self) -> list[str]:
        """``supported 3 of 4 sentences``, and a line for each other one; empty if none was judged."""
        if self.support is None or self.support.share is None:
            return []
        return [str(self.support)] + [
            f'not supported: "{shortened(self.text[each.start : each.end], 80)}": {each.why}'
            for each in self.support.doubts
        ]  # fmt: skip

    @property
    def remarks(self) -> list[str]:
        """What a reader must know: the notes, and that the text is cut, blocked or masked."""
        lines = list(self.notes)
        if self.stop_reason in _CUT and not any("is cut" in note for note in lines):
            lines.append(f"the answer is cut: {_CUT[self.stop_reason]}")
        if self.guardrail and not any("guardrail" in note for note in lines):
            what = "the" if self.guardrail == "blocked" else "parts of the"
            lines.append(f"a guardrail {self.guardrail} {what} answer")
        return lines

    @property
    def spent(self) -> str:
        """The answer's tokens and dollars, and those of all its calls if these are more."""
        cost = self.usage.cost if self.cached is None else str(self.cached)
        usages = [call.usage for call in self.calls]
        total = sum(usages, Usage(cost_usd=0.0))
        same = total.counts == self.usage.counts and total.cost_usd == (self.usage.cost_usd or 0.0)
        if not usages or same:
            return cost
        least = "at least " if any(usage.cost_usd is None for usage in usages) else ""
        purposes = ", ".join(dict.fromkeys(call.purpose for call in self.calls))
        return f"{cost}; all {len(usages)} calls ({purposes}): {least}{price_text(total.cost_usd)}"

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
            "prompt_hash": self.prompt_hash,
            "stop_reason": self.stop_reason,
            "supported": self.supported,
            "support": None if self.support is None else asdict(self.support),
            "guardrail": self.guardrail,
            "notes": list(self.notes),
            "calls": [asdict(call) for call in self.calls],
            "tool_calls": [dict(call) for call in self.tool_calls],
            "tool_uses": [asdict(use) for use in self.tool_uses],
            "data": None if self.data is None else json.loads(self.text),
            "fields": [
                {**asdict(each), "citations": [citation.number for citation in each.citations]}
                for each in self.fields
            ],
            "cached": None if self.cached is None else asdict(self.cached),
            "review_id": self.review_id,
            "id": self.id,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Answer:
        """Read what `to_dict` returned, also after it was written as JSON.

        Examples
        --------
        >>> Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer    # doctest: +SKIP
        True
        """
        by_number = {each["number"]: each for each in values.get("citations", ())}
        fields = [
            {**each, "citations": [by_number[number] for number in each["citations"]]}
            for each in values.get("fields", ())
        ]
        return from_fields(cls, {**values, "fields": fields})

    @property
    def field_rows(self) -> list[tuple[str, str, str, str]]:
        """Of data, a row for each field: its path, its value, its citations' marks, and why it is doubted."""
        return [
            (each.path, str(each.value), " ".join(map(_mark, each.citations)), each.why)
            for each in self.fields
        ]  # fmt: skip


def _mark(citation: Citation) -> str:
    return f"[{citation.number}{'?' if citation.verdict else ''}]"


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a streamed answer.

    Attributes
    ----------
    kind : {"context", "text", "citation", "data", "tool", "answer"}
    value : Context, str, Citation, Any, ToolUse or Answer
        ``"text"`` events joined are the answer's text; ``"answer"`` comes last. ``"data"`` is what is known
        of the data so far, not yet validated; ``"tool"`` comes before and after a tool runs.
    """

    kind: str
    value: Any

    @classmethod
    def from_plain(cls, kind: str, value: Any) -> Event:
        """Read an event whose value is the plain one of its record, as a server sends it."""
        read = _READ.get(kind)
        return cls(kind, value if read is None else read(value))


_READ: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "context": Context.from_dict, "citation": Citation.from_dict, "answer": Answer.from_dict,
    "tool": partial(from_fields, ToolUse),
}  # fmt: skip
