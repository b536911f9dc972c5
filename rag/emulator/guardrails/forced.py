"""A guardrail that `Behaviour.guardrail` forces: it passes everything, blocks everything, or masks digits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from rag.bedrock.guardrails.units import Block, processed
from rag.emulator.completion import Completion
from rag.emulator.guardrails.verdict import Action, Verdict
from rag.emulator.wire import Request

Forcing = Literal["blocked", "masked"] | None
BLOCKED_MESSAGE = "Sorry, the guardrail of this emulator blocks this."
#: Digits, except a document's number in a citation tag, which is not part of the answer.
_DIGITS = re.compile(r'(?<!<cite doc=")(?<!\d)\d+')
#: A guardrail with the policies that it stands for, for the text units.
_POLICIES: Mapping[str, Any] = {
    "topicPolicyConfig": {"topicsConfig": [{}]}, "contentPolicyConfig": {"filtersConfig": [{}]},
    "wordPolicyConfig": {"wordsConfig": [{}]},
    "sensitiveInformationPolicyConfig": {"piiEntitiesConfig": [{}]},
}  # fmt: skip
_REASONS = {None: "No action.", "blocked": "Guardrail blocked.", "masked": "Guardrail masked."}


class Forced:
    """The guardrail of one Converse request; prompts are blocked, replies masked."""

    def __init__(self, action: Forcing, config: Mapping[str, Any]) -> None:
        self._action = action
        self._name = str(config.get("guardrailIdentifier", "")).rsplit("/", 1)[-1]
        self._assessed: Mapping[str, Any] = {}
        self.blocked_input = BLOCKED_MESSAGE

    def prompt(self, request: Request) -> Request | None:
        """Return the request as the model gets it; None if it is blocked."""
        return None if self._action == "blocked" else request

    def reply(self, completion: Completion) -> Completion:
        """Return the completion as the user gets it."""
        texts = [part.text for part in completion.parts]
        self._assessed = _assessment(self._action, ["".join(texts)])
        if not self._assessed:
            return completion
        parts = tuple(replace(part, text=masked(part.text)) for part in completion.parts)
        return Completion(parts, "guardrail_intervened", completion.stop_sequence)

    def streamed(self, completion: Completion) -> Completion:
        """Return the completion as the user gets it in asynchronous mode: as in the other one."""
        return self.reply(completion)

    def trace(self) -> dict[str, Any]:
        """Return the GuardrailTraceAssessment."""
        if self._action == "blocked":
            assessed = _assessment(self._action, [])
            return {"inputAssessment": {self._name: assessed}, "actionReason": _REASONS[self._action]}
        return {
            "inputAssessment": {self._name: {}}, "outputAssessments": {self._name: [self._assessed]},
            "actionReason": _REASONS[self._action if self._assessed else None],
        }  # fmt: skip


def masked(text: str) -> str:
    """Mask the digits of a text; citation tags still name their documents.

    Examples
    --------
    >>> masked('28 days<cite doc="12">28 days</cite>')
    '{NUMBER} days<cite doc="12">{NUMBER} days</cite>'
    """
    return _DIGITS.sub("{NUMBER}", text)


def verdict(action: Forcing, blocks: Sequence[Block]) -> Verdict:
    """Return what the guardrail does to the texts of ApplyGuardrail."""
    texts = [block.text for block in blocks]
    assessed = _assessment(action, texts)
    found: Action = "NONE" if not assessed else "BLOCKED" if action == "blocked" else "ANONYMIZED"
    units, chars = processed(_POLICIES, "OUTPUT", blocks), sum(map(len, texts))
    return Verdict(found, tuple(map(masked, texts)), assessed, units, chars, chars)


def _assessment(action: Forcing, texts: Sequence[str]) -> dict[str, Any]:
    """Return the GuardrailAssessment of some texts."""
    if action == "blocked":
        topic = {"name": "emulated", "type": "DENY", "action": "BLOCKED", "detected": True}
        return {"topicPolicy": {"topics": [topic]}}
    if action == "masked":
        rule = {"name": "NUMBER", "regex": _DIGITS.pattern, "action": "ANONYMIZED", "detected": True}
        matches = [{**rule, "match": match} for text in texts for match in _DIGITS.findall(text)]
        return {"sensitiveInformationPolicy": {"piiEntities": [], "regexes": matches}} if matches else {}
    return {}
