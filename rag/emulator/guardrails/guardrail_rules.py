"""Rules of guardrails that Bedrock enforces and its service model does not state.

Sources: the texts of botocore 1.44.5's model of bedrock, shape GuardrailTopicsTierConfig (the standard tier
needs cross-Region inference); Amazon Bedrock User Guide, "Detect prompt attacks" (prompts alone), "Sensitive
information filters" (regexes without lookaround) and "Contextual grounding check" (thresholds below 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

#: Bedrock refuses a grounding threshold of 1, which no answer passes.
MOST_THRESHOLD = 0.99
_LOOKAROUND = re.compile(r"\(\?<?[=!]")
_POLICIES = (
    "topicPolicyConfig", "contentPolicyConfig", "wordPolicyConfig", "sensitiveInformationPolicyConfig",
    "contextualGroundingPolicyConfig", "automatedReasoningPolicyConfig",
)  # fmt: skip
#: What is unique: the policy, its list, and the member that names an entry.
_UNIQUE = (
    ("topicPolicyConfig", "topicsConfig", "name"), ("contentPolicyConfig", "filtersConfig", "type"),
    ("wordPolicyConfig", "wordsConfig", "text"),
    ("sensitiveInformationPolicyConfig", "piiEntitiesConfig", "type"),
    ("sensitiveInformationPolicyConfig", "regexesConfig", "name"),
    ("contextualGroundingPolicyConfig", "filtersConfig", "type"),
)  # fmt: skip


def broken(params: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line per rule that a guardrail breaks; it fits the service model."""
    if not any(params.get(name) for name in _POLICIES):
        yield "at least one policy must be configured"
    if "automatedReasoningPolicyConfig" in params:
        yield "automatedReasoningPolicyConfig: this emulator has no automated reasoning"
    for policy, name, key in _UNIQUE:
        named = [str(entry[key]) for entry in params.get(policy, {}).get(name, ())]
        for double in sorted(
            {each for each in named if named.count(each) > 1} if len(set(named)) < len(named) else ()
        ):
            yield f"{policy}.{name}: {double!r} occurs twice"
    for entry in params.get("contentPolicyConfig", {}).get("filtersConfig", ()):
        if entry["type"] == "PROMPT_ATTACK" and entry["outputStrength"] != "NONE":
            yield "contentPolicyConfig: the outputStrength of PROMPT_ATTACK must be NONE"
    for entry in params.get("contextualGroundingPolicyConfig", {}).get("filtersConfig", ()):
        if entry["threshold"] > MOST_THRESHOLD:
            yield f"contextualGroundingPolicyConfig: a threshold must be at most {MOST_THRESHOLD}"
    for entry in params.get("sensitiveInformationPolicyConfig", {}).get("regexesConfig", ()):
        yield from _regex(entry["name"], entry["pattern"])
    for policy in _POLICIES:
        tier = params.get(policy, {}).get("tierConfig", {}).get("tierName")
        if tier == "STANDARD" and "crossRegionConfig" not in params:
            yield f"{policy}: the STANDARD tier requires crossRegionConfig"


def _regex(name: str, pattern: str) -> Iterator[str]:
    place = f"sensitiveInformationPolicyConfig: the regex {name!r}"
    if _LOOKAROUND.search(pattern):
        yield f"{place} has a lookaround, which is not supported"
    try:
        re.compile(pattern)
    except re.error as error:
        yield f"{place} is not valid: {error}"
