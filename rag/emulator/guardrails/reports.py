"""What a guardrail reports: assessments with their metrics, and the answer of ApplyGuardrail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rag.emulator.guardrails.store import Guardrail
from rag.emulator.guardrails.verdict import Verdict

REASONS: Mapping[str, str] = {
    "NONE": "No action.", "BLOCKED": "Guardrail blocked.", "ANONYMIZED": "Guardrail masked.",
}  # fmt: skip


def assessment(verdict: Verdict, guardrail: Guardrail | None = None, version: str = "") -> dict[str, Any]:
    """Return a GuardrailAssessment."""
    metrics = {
        "guardrailProcessingLatency": 1, "usage": dict(verdict.units), "guardrailCoverage": coverage(verdict),
    }  # fmt: skip
    report: dict[str, Any] = {**verdict.assessment, "invocationMetrics": metrics}
    if guardrail is not None:
        report["appliedGuardrailDetails"] = {
            "guardrailId": guardrail.id, "guardrailVersion": version, "guardrailArn": guardrail.arn,
            "guardrailOrigin": ["REQUEST"], "guardrailOwnership": "SELF",
        }  # fmt: skip
    return report


def coverage(verdict: Verdict) -> dict[str, Any]:
    """Return a GuardrailCoverage."""
    return {"textCharacters": {"guarded": verdict.guarded_chars, "total": verdict.total_chars}}


def applied(
    verdict: Verdict, message: str, guardrail: Guardrail | None = None, version: str = ""
) -> dict[str, Any]:
    """Return the body that answers ApplyGuardrail; `message` is what replaces a blocked text."""
    blocked = verdict.action == "BLOCKED"
    outputs = [message] if blocked else verdict.texts if verdict.intervened else ()
    return {
        "usage": dict(verdict.units), "action": "GUARDRAIL_INTERVENED" if verdict.intervened else "NONE",
        "actionReason": REASONS[verdict.action], "outputs": [{"text": text} for text in outputs],
        "assessments": [assessment(verdict, guardrail, version)], "guardrailCoverage": coverage(verdict),
    }  # fmt: skip
