"""What a guardrail consists of, field by field, and how two differ.

Both sides are in the form of CreateGuardrail's arguments, so that a file is compared with what an account
has, whoever made it: what is left out counts as Bedrock's default, and the order of entries does not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: What Bedrock's actions are called in files.
_MODES = {"BLOCK": "block", "ANONYMIZE": "mask", "NONE": "detect"}
#: Fields that a numbered version does not share with the draft: its description names its content.
DRAFT_ONLY = ("description", "kms_key")
#: How the description of a version begins that was made from a file; the digest of its content follows.
MADE_FROM = "content sha256:"

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A field that differs.

    Attributes
    ----------
    field : str
        As in a guardrail's file: ``pii.email``, ``topics.Investment advice.definition``.
    before, after : any
        None where the field is missing.
    """

    field: str
    before: Any
    after: Any

    @property
    def sign(self) -> str:
        """``+`` for a new field, ``-`` for one that is gone, else ``~``."""
        return "+" if self.before is None else "-" if self.after is None else "~"

    def __str__(self) -> str:
        """Return the change on one line."""
        values = [
            json.dumps(value, ensure_ascii=False) for value in (self.before, self.after) if value is not None
        ]
        return f"{self.sign} {self.field}: {' -> '.join(values)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"field": self.field, "before": self.before, "after": self.after}


def facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a guardrail's fields and values, named as in files.

    Examples
    --------
    >>> pii = {"piiEntitiesConfig": [{"type": "EMAIL", "action": "ANONYMIZE", "inputEnabled": False}]}
    >>> facts({"sensitiveInformationPolicyConfig": pii})
    {'pii.email': {'input': 'off', 'output': 'mask'}}
    """
    return dict(_facts(config))


def digest(values: Facts) -> str:
    """Return the SHA-256 of what a numbered version keeps, in hexadecimal digits."""
    kept = {name: value for name, value in values.items() if name not in DRAFT_ONLY}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def differences(before: Facts, after: Facts) -> list[Change]:
    """Return the fields that differ, in the order of their names."""
    changes = [
        Change(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    # An alias cannot be compared with the key behind it, which only KMS knows.
    return [
        change for change in changes
        if not (change.field == "kms_key" and change.before and _same_key(change.before, change.after))
    ]  # fmt: skip


def _same_key(before: str, after: str | None) -> bool:
    return after is not None and ("alias/" in after or before.endswith(f"/{after}"))


def _facts(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for wire, name in (
        ("description", "description"), ("blockedInputMessaging", "blocked_input"),
        ("blockedOutputsMessaging", "blocked_output"), ("kmsKeyId", "kms_key"),
    ):  # fmt: skip
        if config.get(wire):
            yield name, config[wire]
    if profile := config.get("crossRegionConfig", {}).get("guardrailProfileIdentifier"):
        yield "cross_region", profile.rsplit("/", 1)[-1]
    topics, content = config.get("topicPolicyConfig", {}), config.get("contentPolicyConfig", {})
    for topic in topics.get("topicsConfig", ()):
        place = f"topics.{topic['name']}"
        yield f"{place}.definition", topic["definition"]
        yield from _unless(f"{place}.examples", list(topic.get("examples", ())), [])
        yield f"{place}.action", _ways(topic)
    for each in content.get("filtersConfig", ()):
        yield from _filter(each)
    words = config.get("wordPolicyConfig", {})
    for word in words.get("wordsConfig", ()):
        yield f"words.{word['text']}", _ways(word)
    for managed in words.get("managedWordListsConfig", ()):
        yield f"words ({managed['type'].lower()})", _ways(managed)
    sensitive = config.get("sensitiveInformationPolicyConfig", {})
    for entity in sensitive.get("piiEntitiesConfig", ()):
        yield f"pii.{entity['type'].lower()}", _ways(entity)
    for regex in sensitive.get("regexesConfig", ()):
        place = f"regexes.{regex['name']}"
        yield f"{place}.pattern", regex["pattern"]
        yield from _unless(f"{place}.description", regex.get("description"), None)
        yield f"{place}.action", _ways(regex)
    grounding = config.get("contextualGroundingPolicyConfig", {})
    for check in grounding.get("filtersConfig", ()):
        place = f"grounding.{check['type'].lower()}"
        yield place, check["threshold"]
        yield from _unless(f"{place}.action", _mode(check, "", check.get("action", "BLOCK")), "block")
    for name, policy in (("topics", topics), ("filters", content), ("grounding", grounding)):
        tier = policy.get("tierConfig", {}).get("tierName", "CLASSIC")
        yield from _unless(f"tier.{name}", tier.lower(), "classic")
    reasoning = config.get("automatedReasoningPolicyConfig", {})
    if reasoning.get("policies"):
        yield "reasoning.policies", sorted(reasoning["policies"])
        yield from _unless("reasoning.confidence", reasoning.get("confidenceThreshold"), None)


def _filter(each: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    place = f"filters.{each['type'].lower()}"
    for way in ("input", "output"):
        strength = each[f"{way}Strength"].lower()
        yield f"{place}.{way}", strength
        if strength != "none":
            mode = _mode(each, way, each.get(f"{way}Action") or "BLOCK")
            yield from _unless(f"{place}.{way} action", mode, "block")
    images = "IMAGE" in (*each.get("inputModalities", ()), *each.get("outputModalities", ()))
    yield from _unless(f"{place}.images", images, False)


def _ways(entry: Mapping[str, Any]) -> Any:
    """Return what an entry does: one mode, or one for each way where they differ."""
    modes = {
        way: _mode(entry, way, entry.get(f"{way}Action") or entry.get("action") or "BLOCK")
        for way in ("input", "output")
    }
    return modes["input"] if modes["input"] == modes["output"] else modes


def _mode(entry: Mapping[str, Any], way: str, action: str) -> str:
    enabled = entry.get(f"{way}Enabled" if way else "enabled", True)
    return _MODES.get(action, action.lower()) if enabled else "off"


def _unless(name: str, value: Any, default: Any) -> Iterator[tuple[str, Any]]:
    if value != default:
        yield name, value
