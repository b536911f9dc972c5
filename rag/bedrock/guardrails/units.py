"""Text units: what a guardrail processes of some texts, and is billed by.

A guardrail is in the form of CreateGuardrail's arguments here, as in `rag.bedrock.guardrails.wire`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["INPUT", "OUTPUT"]
#: Characters of a text unit (Amazon Bedrock pricing page, "Guardrails", November 2026).
UNIT_CHARS = 1000
#: Members of GuardrailUsage, each with the policy and the lists of entries that it counts for.
_COUNTED = (
    ("topicPolicyUnits", "topicPolicyConfig", ("topicsConfig",)),
    ("contentPolicyUnits", "contentPolicyConfig", ("filtersConfig",)),
    ("wordPolicyUnits", "wordPolicyConfig", ("wordsConfig", "managedWordListsConfig")),
    ("sensitiveInformationPolicyUnits", "sensitiveInformationPolicyConfig", ("piiEntitiesConfig",)),
    ("sensitiveInformationPolicyFreeUnits", "sensitiveInformationPolicyConfig", ("regexesConfig",)),
    ("automatedReasoningPolicyUnits", "automatedReasoningPolicyConfig", ("policies",)),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A text that a guardrail is shown.

    Attributes
    ----------
    text : str
    qualifiers : tuple of str
        ``grounding_source``, ``query``, ``guard_content``, as in the request.
    """

    text: str
    qualifiers: tuple[str, ...] = ()

    @property
    def guarded(self) -> bool:
        """Whether all policies apply; a text that is a source or query alone is for grounding."""
        return not self.qualifiers or "guard_content" in self.qualifiers


def is_evaluated(entry: Any, source: Source) -> bool:
    """Tell whether an entry of a policy is evaluated for a source.

    Examples
    --------
    >>> is_evaluated({"type": "EMAIL", "inputEnabled": False}, "INPUT")
    False
    """
    if not isinstance(entry, Mapping):  # an automated reasoning policy's ARN
        return source == "OUTPUT"
    strength = entry.get(f"{source.lower()}Strength", "HIGH")
    return bool(
        entry.get(f"{source.lower()}Enabled", True) and entry.get("enabled", True) and strength != "NONE"
    )


def checks_grounding(guardrail: Mapping[str, Any], source: Source, blocks: Sequence[Block]) -> bool:
    """Tell whether contextual grounding is checked: of an answer, with its source and its query."""
    qualifiers = {name for block in blocks for name in block.qualifiers}
    entries = guardrail.get("contextualGroundingPolicyConfig", {}).get("filtersConfig", ())
    there = source == "OUTPUT" and {"grounding_source", "query"} <= qualifiers
    return there and any(is_evaluated(entry, source) for entry in entries)


def processed(guardrail: Mapping[str, Any], source: Source, blocks: Sequence[Block]) -> dict[str, int]:
    """Return the text units of each policy, as GuardrailUsage has them; each text is rounded up.

    Examples
    --------
    >>> words = {"wordPolicyConfig": {"wordsConfig": [{"text": "x"}]}}
    >>> processed(words, "INPUT", [Block("a" * 1001)])["wordPolicyUnits"]
    2
    """
    count = _units(block.text for block in blocks if block.guarded)
    checked = checks_grounding(guardrail, source, blocks)
    return {
        "contextualGroundingPolicyUnits": _units(block.text for block in blocks) if checked else 0,
        **{
            unit: count
            if any(
                is_evaluated(entry, source)
                for name in names
                for entry in guardrail.get(policy, {}).get(name, ())
            )
            else 0
            for unit, policy, names in _COUNTED
        },
    }


def _units(texts: Iterable[str]) -> int:
    return sum(-(-len(text) // UNIT_CHARS) for text in texts)
