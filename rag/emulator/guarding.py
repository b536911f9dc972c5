"""A guardrail that passes everything, blocks everything, or masks digits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

BLOCKED_MESSAGE = "Sorry, the guardrail of this emulator blocks this."
#: Characters of a text unit, the billing unit of guardrails (Amazon Bedrock pricing page, November 2026).
UNIT_CHARS = 1000
#: Digits, except a document's number in a citation tag, which is not part of the answer.
_DIGITS = re.compile(r'(?<!<cite doc=")(?<!\d)\d+')
_REASONS = {None: "No action.", "blocked": "Guardrail blocked.", "masked": "Guardrail masked."}


def masked(text: str) -> str:
    """Mask the digits of a text; citation tags still name their documents.

    Examples
    --------
    >>> masked('28 days<cite doc="12">28 days</cite>')
    '{NUMBER} days<cite doc="12">{NUMBER} days</cite>'
    """
    return _DIGITS.sub("{NUMBER}", text)


def assessment(guardrail: str | None, texts: Sequence[str]) -> dict[str, Any]:
    """Return the GuardrailAssessment of some texts."""
    if guardrail == "blocked":
        topic = {"name": "emulated", "type": "DENY", "action": "BLOCKED", "detected": True}
        return {"topicPolicy": {"topics": [topic]}}
    if guardrail == "masked":
        rule = {"name": "NUMBER", "regex": _DIGITS.pattern, "action": "ANONYMIZED", "detected": True}
        matches = [{**rule, "match": match} for text in texts for match in _DIGITS.findall(text)]
        return {"sensitiveInformationPolicy": {"piiEntities": [], "regexes": matches}} if matches else {}
    return {}


def trace(guardrail: str | None, config: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return the GuardrailTraceAssessment of a reply: inputs are blocked, outputs masked."""
    name = str(config.get("guardrailIdentifier", "")).rsplit("/", 1)[-1]
    assessed = assessment(guardrail, [text])
    if guardrail == "blocked":
        return {"inputAssessment": {name: assessed}, "actionReason": _REASONS[guardrail]}
    reason = _REASONS[guardrail if assessed else None]
    return {"inputAssessment": {name: {}}, "outputAssessments": {name: [assessed]}, "actionReason": reason}


def applied(guardrail: str | None, texts: Sequence[str]) -> dict[str, Any]:
    """Return the response of ApplyGuardrail."""
    units = sum(-(-len(text) // UNIT_CHARS) for text in texts)
    assessed = assessment(guardrail, texts)
    blocked = guardrail == "blocked"
    outputs = [{"text": BLOCKED_MESSAGE}] if blocked else [{"text": masked(text)} for text in texts]
    counted = ("topicPolicyUnits", "contentPolicyUnits", "wordPolicyUnits", "sensitiveInformationPolicyUnits")
    free = ("sensitiveInformationPolicyFreeUnits", "contextualGroundingPolicyUnits")
    return {
        "usage": {**dict.fromkeys(counted, units), **dict.fromkeys(free, 0)},
        "action": "GUARDRAIL_INTERVENED" if assessed else "NONE",
        "actionReason": _REASONS[guardrail if assessed else None],
        "outputs": outputs if assessed else [],
        "assessments": [assessed],
    }
