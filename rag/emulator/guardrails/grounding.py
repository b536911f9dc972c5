"""The contextual grounding policy, by the library's own judgement of support.

Bedrock's check is a model that scores each answer. Here the grounding of an answer is the share of its
sentences that the sources support (`rag.generation.support.judge`), and its relevance the cosine of answer
and query, over the one that makes a sentence of a topic, at most 1. Of the 227 hand-written answers of
``data/golden.jsonl``, 89 % have a relevance of 0.5 or more to their own question, and 28 % to another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rag.bedrock.guardrails.units import Block, Source, checks_grounding
from rag.core.citations import Citation
from rag.core.text import sentences
from rag.emulator.guardrails.verdict import evaluated
from rag.generation.support import judge


def assessed(
    guardrail: Mapping[str, Any],
    blocks: Sequence[Block],
    source: Source,
    nearness: Callable[[str, str], float],
) -> dict[str, Any]:
    """Return the GuardrailContextualGroundingPolicyAssessment of an answer; empty if nothing is checked.

    A filter whose score is below its threshold acts; the scores are in it either way.

    Parameters
    ----------
    guardrail : mapping
        As CreateGuardrail takes it.
    blocks : sequence of Block
    source : {"INPUT", "OUTPUT"}
    nearness : callable
        Of an answer to a query, in [0, 1]: the relevance.
    """
    if not checks_grounding(guardrail, source, blocks):
        return {}
    sources = [block.text for block in blocks if "grounding_source" in block.qualifiers]
    query = "\n".join(block.text for block in blocks if "query" in block.qualifiers)
    answer = "\n".join(block.text for block in blocks if _is_answer(block))
    filters = []
    for entry, action in evaluated(guardrail["contextualGroundingPolicyConfig"]["filtersConfig"], source):
        grounded = entry["type"] == "GROUNDING"
        score = round(grounding(answer, sources, query) if grounded else nearness(answer, query), 2)
        detected = score < entry["threshold"]
        filters.append({
            "type": entry["type"], "threshold": entry["threshold"], "score": score,
            "action": action if detected else "NONE", "detected": detected,
        })  # fmt: skip
    return {"filters": filters}


def grounding(answer: str, sources: Sequence[str], query: str) -> float:
    """Return the share of an answer's sentences that sources support, in [0, 1]; 1 if it states nothing.

    Examples
    --------
    >>> source = "Leave is 28 days in Europe."
    >>> grounding("Leave is 28 days. Leave is 30 days.", [source], "How long is leave?")
    0.5
    """
    quotes = [Citation(n, "", 0, len(text), text, True) for n, text in enumerate(sources, 1)]
    claims = [answer[start:end] for start, end in sentences(answer)]
    whys = [judge(claim, quotes, query) for claim in claims if any(map(str.isalnum, claim))]
    return sum(not why for why in whys) / len(whys) if whys else 1.0


def _is_answer(block: Block) -> bool:
    return block.guarded and not {"grounding_source", "query"} & set(block.qualifiers)
