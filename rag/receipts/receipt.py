"""What a receipt holds: all that an answer was made from, and hashes of what it showed and said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed_version
from typing import Any

from rag.core.answers import Answer
from rag.core.asked import index_of, search_of
from rag.core.passages import Hit
from rag.index.filters.parse import parse
from rag.response_cache.key import parts_of

#: Options that say what is retrieved.
OF_CONTEXT = ("k", "mode", "budget", "unit")


def receipt_of(
    pipeline: Any,
    options: Mapping[str, Any],
    tag: str,
    tenant: str,
    at: float,
    answer: Answer,
    *,
    keep_text: bool,
) -> dict[str, Any]:
    """Return the receipt of an answer, as plain values.

    Parameters
    ----------
    pipeline : Pipeline
    options : mapping
        As the question was asked.
    tag, tenant : str
    at : float
        When it was asked, in seconds since 1970.
    answer : Answer
    keep_text : bool
        Whether it has the answer's text.
    """
    where = options.get("where")
    index, version = index_of(pipeline.index)
    routed = [step.detail for step in answer.trace if step.name in ("route", "escalate")]
    schema = options.get("schema")
    return {
        "id": answer.id, "at": at, "question": answer.question, "search": search_of(answer, options),
        "where": None if where is None else parse(where).to_string(),
        "options": {name: options[name] for name in OF_CONTEXT if options.get(name) is not None},
        "conversation": options.get("history") is not None,
        "schema": None if schema is None else getattr(schema, "__name__", "a schema"),
        "tag": tag, "tenant": tenant, "user": str(options.get("user") or ""),
        "variables": dict(options.get("variables") or {}),
        "index": index, "version": version,
        "prompt": answer.prompt, "prompt_hash": answer.prompt_hash, "generator": answer.generator,
        "tier": str(routed[-1].get("to") or routed[-1].get("tier") or "") if routed else "",
        "stages": stages_of(pipeline, answer.question), "rag": installed_version("bedrock-rag"),
        "answered": answer.answered, "stop_reason": answer.stop_reason, "guardrail": answer.guardrail,
        "supported": answer.supported, "text": answer.text if keep_text else None,
        "text_sha256": digest(answer.text), "passages": passages(answer.context.hits),
        "citations": [
            {"number": each.number, "source": each.source, "start": each.start, "end": each.end,
             "verified": each.verified} for each in answer.citations
        ],
        "calls": [
            {"model": call.model, "purpose": call.purpose, "tokens": list(call.usage.counts),
             "usd": call.usage.cost_usd} for call in answer.calls
        ],
        "cached": None if answer.cached is None else {"kind": answer.cached.kind, "id": answer.cached.id},
    }  # fmt: skip


def passages(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Return the places of passages, and a hash of each text."""
    return [
        {"source": hit.source, "start": hit.start, "end": hit.end, "sha256": digest(hit.text)} for hit in hits
    ]


#: Fields of LangChain's models that say nothing of the answer.
_OF_LANGCHAIN = ("disable_streaming", "output_version")


def stages_of(pipeline: Any, question: str) -> dict[str, str]:
    """Return a hash of each stage's settings, as the response cache tells them apart.

    Whether a stage of `rag` has LangChain's interface, as in Python, or not, as on the command line, makes
    no difference.
    """
    parts = parts_of(pipeline, question, {})
    return {
        name: digest(json.dumps(_settings(value), sort_keys=True, default=str))[:16]
        for name, value in parts.stages.items() if name != "prompt"
    }  # fmt: skip


def _settings(value: Any) -> Any:
    """Return a description without the names of rag's own classes."""
    if not isinstance(value, list | tuple):
        return value
    kept = [
        each for each in value if not (isinstance(each, list | tuple) and each and each[0] in _OF_LANGCHAIN)
    ]
    own = kept and isinstance(kept[0], str) and kept[0].startswith("rag.") and ":" in kept[0]
    return [_settings(each) for each in (kept[1:] if own else kept)]


def digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
