"""A guardrail as CreateGuardrail's arguments, made from settings or from GetGuardrail's reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rag.bedrock.guardrails.settings import GuardrailSettings, Mode, Threshold, Ways

_ACTIONS: Mapping[Mode, str] = {"block": "BLOCK", "mask": "ANONYMIZE", "detect": "NONE", "off": "NONE"}
#: GetGuardrail's names of policies; CreateGuardrail's end in "Config", like those of their members.
POLICIES = (
    "topicPolicy", "contentPolicy", "wordPolicy", "sensitiveInformationPolicy", "contextualGroundingPolicy",
    "automatedReasoningPolicy",
)  # fmt: skip
#: Members of a policy that keep their names in both.
_KEEP = ("policies", "confidenceThreshold")


def arguments(settings: GuardrailSettings) -> dict[str, Any]:
    """Return CreateGuardrail's arguments, without tags and token; UpdateGuardrail's, but for the identifier.

    What equals Bedrock's default is left out.

    Examples
    --------
    >>> from rag.bedrock.guardrails.parse import parse
    >>> words = {"blocked_input": "No.", "blocked_output": "No.", "words": {"block": ["x"]}}
    >>> arguments(parse(words, "a.toml", "a"))["wordPolicyConfig"]
    {'wordsConfig': [{'text': 'x'}]}
    """
    made: dict[str, Any] = {
        "name": settings.name, "description": settings.description,
        "blockedInputMessaging": settings.blocked_input, "blockedOutputsMessaging": settings.blocked_output,
        "topicPolicyConfig": _tiered(
            {"topicsConfig": [_topic(topic) for topic in settings.topics]}, settings.topics_tier
        ),
        "contentPolicyConfig": _tiered(
            {"filtersConfig": [_filter(name, each) for name, each in settings.filters.items()]},
            settings.filters_tier,
        ),
        "wordPolicyConfig": {
            "wordsConfig": [{"text": word.text, **_actions(word.ways)} for word in settings.words],
            "managedWordListsConfig": [
                {"type": "PROFANITY", **_actions(ways)} for ways in (settings.profanity,) if ways is not None
            ],
        },
        "sensitiveInformationPolicyConfig": {
            "piiEntitiesConfig": [
                {"type": name.upper(), **_sensitive(ways)} for name, ways in settings.pii.items()
            ],
            "regexesConfig": [
                {"name": each.name, "pattern": each.pattern, **_sensitive(each.ways),
                 **({"description": each.description} if each.description else {})}
                for each in settings.regexes
            ],
        },
        "contextualGroundingPolicyConfig": _tiered(
            {"filtersConfig": [_threshold(name, each) for name, each in settings.grounding.items()]},
            settings.grounding_tier,
        ),
        "crossRegionConfig": settings.cross_region and {"guardrailProfileIdentifier": settings.cross_region},
        "kmsKeyId": settings.kms_key,
    }  # fmt: skip
    if settings.reasoning is not None:
        confidence = settings.reasoning.confidence
        made["automatedReasoningPolicyConfig"] = {
            "policies": list(settings.reasoning.policies),
            **({} if confidence is None else {"confidenceThreshold": confidence}),
        }  # fmt: skip
    return _filled(made)


def configuration(reply: Mapping[str, Any]) -> dict[str, Any]:
    """Return GetGuardrail's reply in the form of CreateGuardrail's arguments."""
    made = {
        name: reply[name]
        for name in ("name", "description", "blockedInputMessaging", "blockedOutputsMessaging")
        if name in reply
    }  # fmt: skip
    for policy in POLICIES:
        if reply.get(policy):
            made[f"{policy}Config"] = {
                name if name in _KEEP else f"{name}Config": value for name, value in reply[policy].items()
            }
    if profile := reply.get("crossRegionDetails", {}).get("guardrailProfileId"):
        made["crossRegionConfig"] = {"guardrailProfileIdentifier": profile}
    if "kmsKeyArn" in reply:
        made["kmsKeyId"] = reply["kmsKeyArn"]
    return made


def _filled(made: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments without the policies that are empty, and their empty members."""
    for name, value in list(made.items()):
        if name.endswith("PolicyConfig"):
            value = {key: inner for key, inner in value.items() if inner}
            made[name] = value if set(value) - {"tierConfig"} else None
    return {name: value for name, value in made.items() if value is not None}


def _tiered(policy: dict[str, Sequence[Any]], tier: str) -> dict[str, Any]:
    return policy if tier == "classic" else {**policy, "tierConfig": {"tierName": tier.upper()}}


def _actions(ways: Ways) -> dict[str, Any]:
    """Return the members of an entry that say what happens, but for Bedrock's default: to block both ways."""
    made: dict[str, Any] = {}
    for way, mode in (("input", ways.input), ("output", ways.output)):
        if mode != "block":
            made[f"{way}Action"] = _ACTIONS[mode]
        if mode == "off":
            made[f"{way}Enabled"] = False
    return made


def _sensitive(ways: Ways) -> dict[str, Any]:
    """Return the same for sensitive information, where `action` is the default of both ways."""
    both = _ACTIONS[ways.output if ways.output != "off" else ways.input]
    made: dict[str, Any] = {"action": both}
    for way, mode in (("input", ways.input), ("output", ways.output)):
        if mode == "off":
            made[f"{way}Enabled"] = False
        elif _ACTIONS[mode] != both:
            made[f"{way}Action"] = _ACTIONS[mode]
    return made


def _topic(topic: Any) -> dict[str, Any]:
    examples = {"examples": list(topic.examples)} if topic.examples else {}
    return {
        "name": topic.name,
        "definition": topic.definition,
        **examples,
        "type": "DENY",
        **_actions(topic.ways),
    }


def _filter(name: str, each: Any) -> dict[str, Any]:
    made = {
        "type": name.upper(), "inputStrength": each.input.upper(), "outputStrength": each.output.upper(),
        **_actions(each.ways),
    }  # fmt: skip
    both = ["TEXT", "IMAGE"]
    return {**made, "inputModalities": both, "outputModalities": both} if each.images else made


def _threshold(name: str, each: Threshold) -> dict[str, Any]:
    made: dict[str, Any] = {"type": name.upper(), "threshold": each.threshold}
    if each.action != "block":
        made["action"] = _ACTIONS[each.action]
    return {**made, "enabled": False} if each.action == "off" else made
