"""What a guardrail does: lets all through, blocks all, or masks digits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

BLOCKED_MESSAGE = "Sorry, the guardrail of this emulator blocks this."
#: Characters of a text unit, which guardrails are billed by (Amazon Bedrock pricing page, November 2026).
UNIT_CHARS = 1000
#: But for those of a tag that cites a document by its number: no number of the answer's.
_DIGITS = re.compile(r'(?<!<cite doc=")(?<!\d)\d+')
_REASONS = {None: "No action.", "blocked": "Guardrail blocked.", "masked": "Guardrail masked."}


def masked(text: str) -> str:
    """Return a text without its digits; citations still name their documents.

    Examples
    --------
    >>> masked('28 days<cite doc="12">28 days</cite>')
    '{NUMBER} days<cite doc="12">{NUMBER} days</cite>'
    """
    return _DIGITS.sub("{NUMBER}", text)


def assessment(guardrail: str | None, texts: Sequence[str]) -> dict[str, Any]:
    """Return what was found, as a GuardrailAssessment."""
    if guardrail == "blocked":
        topic = {"name": "emulated", "type": "DENY", "action": "BLOCKED", "detected": True}
        return {"topicPolicy": {"topics": [topic]}}
    if guardrail == "masked":
        rule = {"name": "NUMBER", "regex": _DIGITS.pattern, "action": "ANONYMIZED", "detected": True}
        found = [{**rule, "match": match} for text in texts for match in _DIGITS.findall(text)]
        return {"sensitiveInformationPolicy": {"piiEntities": [], "regexes": found}} if found else {}
    return {}


def trace(guardrail: str | None, config: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return a reply's GuardrailTraceAssessment: an input is blocked, an output masked."""
    name = str(config.get("guardrailIdentifier", "")).rsplit("/", 1)[-1]
    found = assessment(guardrail, [text])
    if guardrail == "blocked":
        return {"inputAssessment": {name: found}, "actionReason": _REASONS[guardrail]}
    told = _REASONS[guardrail if found else None]
    return {"inputAssessment": {name: {}}, "outputAssessments": {name: [found]}, "actionReason": told}


def applied(guardrail: str | None, texts: Sequence[str]) -> dict[str, Any]:
    """Return ApplyGuardrail's answer."""
    units = sum(-(-len(text) // UNIT_CHARS) for text in texts)
    found = assessment(guardrail, texts)
    blocked = guardrail == "blocked"
    outputs = [{"text": BLOCKED_MESSAGE}] if blocked else [{"text": masked(text)} for text in texts]
    counted = ("topicPolicyUnits", "contentPolicyUnits", "wordPolicyUnits", "sensitiveInformationPolicyUnits")
    free = ("sensitiveInformationPolicyFreeUnits", "contextualGroundingPolicyUnits")
    return {
        "usage": {**dict.fromkeys(counted, units), **dict.fromkeys(free, 0)},
        "action": "GUARDRAIL_INTERVENED" if found else "NONE",
        "actionReason": _REASONS[guardrail if found else None],
        "outputs": outputs if found else [],
        "assessments": [found],
    }
