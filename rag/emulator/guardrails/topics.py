"""The topic policy, by the local embedding model: a sentence near to a topic's texts is of it.

Bedrock's own classifier is a language model; this is an approximation. The threshold was chosen on texts that
were written by hand (``CHOICE`` in ``tests/emulator/topic_texts.py``: four topics, 20 texts of them, 20 near
to them), where it is the multiple of 0.05 that best tells the two apart: 85 % of the texts of a topic are
found, and 10 % of those near to one. On four other topics (``CHECK``) it finds 85 %, and 20 % of those near.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rag.bedrock.guardrails.units import Source
from rag.core.text import sentences
from rag.emulator.guardrails.verdict import evaluated

#: The least cosine, of all-MiniLM-L6-v2, at which a sentence is of a topic.
THRESHOLD = 0.35


def assessed(policy: Mapping[str, Any], texts: Sequence[str], source: Source) -> dict[str, Any]:
    """Return the GuardrailTopicPolicyAssessment of some texts; empty if nothing is found."""
    entries = list(evaluated(policy.get("topicsConfig", ()), source))
    spoken = [text[start:end] for text in texts for start, end in sentences(text)] if entries else []
    if not spoken:
        return {}
    vectors = _vectors(tuple(spoken))
    found = [
        {"name": topic["name"], "type": topic["type"], "action": action, "detected": True}
        for topic, action in entries
        if (vectors @ _vectors((topic["definition"], *topic.get("examples", ()))).T).max() >= THRESHOLD
    ]
    return {"topics": found} if found else {}


def similarity(text: str, texts: Sequence[str]) -> float:
    """Return the largest cosine of a sentence of a text and one of other texts."""
    spoken = tuple(text[start:end] for start, end in sentences(text)) or (text,)
    return float((_vectors(spoken) @ _vectors(tuple(texts)).T).max())


def nearness(text: str, other: str) -> float:
    """Return how near two texts are, in [0, 1]; 1 from the cosine on at which a sentence is of a topic."""
    return min(1.0, max(0.0, similarity(text, [other]) / THRESHOLD))


@lru_cache(maxsize=512)
def _vectors(texts: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Return unit vectors, ``(len(texts), 384)`` float32."""
    return np.asarray(_embedder().embed_documents(list(texts)), np.float32)


@lru_cache(maxsize=1)
def _embedder() -> Any:
    from rag.embedding.local import LocalEmbeddings

    return LocalEmbeddings()
