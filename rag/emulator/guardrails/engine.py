"""The engine: all policies of a guardrail on texts, for the emulator and ``rag guardrail test --offline``.

It takes a guardrail as CreateGuardrail does, and returns assessments in the form of ApplyGuardrail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rag.bedrock.guardrails.units import Block, Source, processed
from rag.emulator.guardrails import content, grounding, personal, topics, words
from rag.emulator.guardrails.verdict import Action, Verdict, masked, strictest


def assess(guardrail: Mapping[str, Any], source: Source, blocks: Sequence[Block]) -> Verdict:
    """Assess texts by a guardrail.

    Parameters
    ----------
    guardrail : mapping
        As CreateGuardrail takes it.
    source : {"INPUT", "OUTPUT"}
        A prompt, or a model's answer.
    blocks : sequence of Block

    Examples
    --------
    >>> pii = {"piiEntitiesConfig": [{"type": "EMAIL", "action": "ANONYMIZE"}]}
    >>> guardrail = {"sensitiveInformationPolicyConfig": pii}
    >>> assess(guardrail, "OUTPUT", [Block("Write to ada@acme.com.")]).texts
    ('Write to {EMAIL}.',)
    """
    texts = [block.text for block in blocks if block.guarded]
    sensitive, spans = personal.assessed(guardrail.get("sensitiveInformationPolicyConfig", {}), texts, source)
    found = {
        "topicPolicy": topics.assessed(guardrail.get("topicPolicyConfig", {}), texts, source),
        "contentPolicy": content.assessed(guardrail.get("contentPolicyConfig", {}), texts, source),
        "wordPolicy": words.assessed(guardrail.get("wordPolicyConfig", {}), texts, source),
        "sensitiveInformationPolicy": sensitive,
        "contextualGroundingPolicy": grounding.assessed(guardrail, blocks, source, topics.nearness),
    }
    assessment = {name: value for name, value in found.items() if value}
    return Verdict(
        strictest(_actions(assessment)), tuple(map(masked, texts, spans)), assessment,
        processed(guardrail, source, blocks), sum(map(len, texts)), sum(len(block.text) for block in blocks),
    )  # fmt: skip


def _actions(assessment: Any) -> Iterator[Action]:
    """Yield the action of every entry of an assessment."""
    if isinstance(assessment, Mapping):
        if "action" in assessment:
            yield assessment["action"]
        else:
            for inner in assessment.values():
                yield from _actions(inner)
    elif isinstance(assessment, list):
        for inner in assessment:
            yield from _actions(inner)
