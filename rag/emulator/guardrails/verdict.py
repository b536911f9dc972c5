"""What a guardrail finds in texts, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rag.bedrock.guardrails.units import Source, is_evaluated

Action = Literal["BLOCKED", "ANONYMIZED", "NONE"]
_ACTIONS: Mapping[str, Action] = {"BLOCK": "BLOCKED", "ANONYMIZE": "ANONYMIZED", "NONE": "NONE"}


@dataclass(frozen=True, slots=True)
class Span:
    """A match in a text that may be masked: its place, and what replaces it."""

    start: int
    end: int
    mask: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a guardrail does to some texts.

    Attributes
    ----------
    action : {"BLOCKED", "ANONYMIZED", "NONE"}
        The strictest of what it detects.
    texts : tuple of str
        The guarded texts, masked.
    assessment : mapping
        A GuardrailAssessment, in the form of botocore's model.
    units : mapping of str to int
        Text units by policy, as in GuardrailUsage.
    guarded_chars, total_chars : int
    """

    action: Action
    texts: tuple[str, ...]
    assessment: Mapping[str, Any]
    units: Mapping[str, int] = field(default_factory=dict)
    guarded_chars: int = 0
    total_chars: int = 0

    @property
    def intervened(self) -> bool:
        """Whether it blocks or masks."""
        return self.action != "NONE"


def evaluated(
    entries: Iterable[Mapping[str, Any]], source: Source
) -> Iterator[tuple[Mapping[str, Any], Action]]:
    """Yield the entries of a policy that are evaluated for a source, each with its action.

    Examples
    --------
    >>> list(evaluated([{"action": "ANONYMIZE", "outputAction": "BLOCK"}], "OUTPUT"))[0][1]
    'BLOCKED'
    """
    for entry in entries:
        if is_evaluated(entry, source):
            yield entry, _ACTIONS[entry.get(f"{source.lower()}Action") or entry.get("action") or "BLOCK"]


def strictest(actions: Iterable[Action]) -> Action:
    """Return the strictest of some actions."""
    found = set(actions)
    return "BLOCKED" if "BLOCKED" in found else "ANONYMIZED" if "ANONYMIZED" in found else "NONE"


def masked(text: str, spans: Sequence[Span]) -> str:
    """Return a text with its spans masked; of spans that overlap, the first and longest counts.

    Examples
    --------
    >>> masked("Write to ada@acme.com", [Span(9, 21, "{EMAIL}"), Span(13, 21, "{URL}")])
    'Write to {EMAIL}'
    """
    out, at = "", 0
    for span in sorted(spans, key=lambda each: (each.start, -each.end)):
        if span.start >= at:
            out, at = f"{out}{text[at : span.start]}{span.mask}", span.end
        elif span.end > at:  # the rest of a match that another one covers in part
            at = span.end
    return out + text[at:]
