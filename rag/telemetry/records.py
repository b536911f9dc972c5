"""A question as one JSON object, by the schema ``record.schema.json``, whose name and version it has."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from rag.core.answers import Answer
from rag.core.asked import index_of
from rag.core.calls import Call
from rag.core.personal_data import masked
from rag.generation.models import STANDS_IN
from rag.telemetry.observation import Observation
from rag.telemetry.settings import TelemetrySettings

SCHEMA = "rag.call/2"
#: Versions that can be read: the second has all of the first, and more.
READ = ("rag.call/1", SCHEMA)
#: Of the hashes of filters: values of few bits, such as a department, could be tried out otherwise.
_KEY = secrets.token_bytes(32)
#: Purposes of calls that make an answer's text, or made it before it was cached.
_ANSWERING = ("generate", "repair", "cached")


def record(
    settings: TelemetrySettings,
    *,
    id: str,
    at: float,
    question: str,
    options: Mapping[str, Any],
    index: Any,
    tag: str,
    tenant: str,
    calls: Sequence[Call],
    answer: Answer | None,
    error: BaseException | None,
    whole_s: float,
    first_s: float | None,
    trace_id: str | None = None,
    seen: Observation | None = None,
) -> dict[str, Any]:
    """Return the record of a question that has ended.

    Parameters
    ----------
    settings : TelemetrySettings
    id : str
        The question's.
    at : float
        When it was asked, in seconds since 1970.
    question, options, index, tag, tenant
        As it was asked.
    calls : sequence of Call
        What it has paid for, whatever became of it.
    answer : Answer or None
        None if it failed, or nobody waited for it.
    error : exception or None
        Why it failed.
    whole_s, first_s : float
        Seconds to its end, and to the first piece of its text; None where none came.
    trace_id : str, optional
    seen : Observation, optional
        What was seen of its calls.
    """
    seen = seen or Observation()
    counts = [sum(each) for each in zip(*(call.usage.counts for call in calls), strict=True)] or [0] * 4
    costs = [call.usage.cost_usd for call in calls]
    saved = [call.saved_usd for call in calls if call.saved_usd is not None]
    purposes = [call.purpose for call in calls]
    name, version = index_of(index)
    row: dict[str, Any] = {
        "schema": SCHEMA, "time": _time(at), "id": id, "trace_id": trace_id, "task": task_of(options),
        "outcome": _outcome(answer, error), "error": None if error is None else type(error).__name__,
        "index": name, "version": version, "filter": _hashed(options.get("where")),
        "prompt": "", "prompt_hash": "", "tag": tag, "tenant": tenant,
        "model": next((call.model for call in reversed(calls) if call.purpose in _ANSWERING), ""), "tier": "",
        "seconds": {"whole": _rounded(whole_s), "first_token": _rounded(first_s)},
        "tokens": dict(zip(("input", "output", "cache_read", "cache_write"), counts, strict=True)),
        "usd": None if None in costs else sum(cost or 0.0 for cost in costs),
        "saved_usd": sum(saved) if saved else None,
        "temperature": seen.temperature, "retries": seen.retries, "throttles": seen.throttles,
        "aws_request_ids": list(seen.request_ids),
        "repairs": purposes.count("repair"), "calls": [_call(call) for call in calls],
    }  # fmt: skip
    if answer is not None:
        row |= _of_answer(answer, row)
    if settings.texts:
        row["question"] = masked(question)[: settings.most_chars]
        if answer is not None:
            row["answer"] = masked(answer.text)[: settings.most_chars]
    return row


def task_of(options: Mapping[str, Any]) -> str:
    """Return what a question is: ``"ask"``, ``"chat"``, ``"data"`` or ``"tools"``."""
    if options.get("tools"):
        return "tools"
    if options.get("schema") is not None:
        return "data"
    return "chat" if options.get("history") is not None else "ask"


def _of_answer(answer: Answer, row: Mapping[str, Any]) -> dict[str, Any]:
    steps: dict[str, float] = {}
    for step in answer.trace:
        steps[step.name] = round(steps.get(step.name, 0.0) + step.seconds, 4)
    routed = [step.detail for step in answer.trace if step.name in ("route", "escalate")]
    stood_in = [note for note in answer.notes if any(each in note for each in STANDS_IN)]
    return {
        "prompt": answer.prompt, "prompt_hash": answer.prompt_hash, "generator": answer.generator,
        "seconds": {**row["seconds"], **steps},
        "tier": str(routed[-1].get("to") or routed[-1].get("tier") or "") if routed else "",
        "stop_reason": answer.stop_reason, "guardrail": answer.guardrail, "supported": answer.supported,
        "citations": len(answer.citations), "unverified": sum(not each.verified for each in answer.citations),
        "passages": len(answer.context.hits), "fallbacks": len(stood_in),
        "escalations": sum(step.name == "escalate" for step in answer.trace),
        "cache": None if answer.cached is None else answer.cached.kind, "review_id": answer.review_id,
    }  # fmt: skip


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _outcome(answer: Answer | None, error: BaseException | None) -> str:
    if answer is not None:
        return "answered" if answer.answered else "refused"
    return "left" if error is None else "failed"


def _call(call: Call) -> dict[str, Any]:
    names = ("input", "output", "cache_read", "cache_write")
    return {
        "model": call.model, "purpose": call.purpose, **dict(zip(names, call.usage.counts, strict=True)),
        "usd": call.usage.cost_usd,
    }  # fmt: skip


def _hashed(where: Any) -> str | None:
    if where is None:
        return None
    return hmac.new(_KEY, str(where).encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:16]


def _time(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
