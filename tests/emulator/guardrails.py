"""Guardrails for tests of the emulator, and the check of its replies against botocore's model."""

from __future__ import annotations

from typing import Any

from botocore.validate import ParamValidator

GUARDRAIL: dict[str, Any] = {
    "name": "support", "blockedInputMessaging": "Not that question.", "blockedOutputsMessaging": "Not that answer.",
    "wordPolicyConfig": {"wordsConfig": [{"text": "falcon"}]},
    "sensitiveInformationPolicyConfig": {
        "piiEntitiesConfig": [
            {"type": "EMAIL", "action": "ANONYMIZE"}, {"type": "US_SOCIAL_SECURITY_NUMBER", "action": "BLOCK"},
        ],
    },
}  # fmt: skip


def made(control: Any, **changed: Any) -> str:
    """Create a guardrail; return its id."""
    return str(control.create_guardrail(**{**GUARDRAIL, **changed})["guardrailId"])


def config(identifier: str, version: str = "DRAFT", **more: Any) -> dict[str, Any]:
    return {"guardrailIdentifier": identifier, "guardrailVersion": version, "trace": "enabled", **more}


def fits(client: Any, operation: str, reply: dict[str, Any]) -> None:
    """Check a reply against the operation's output: required, unknown and wrong members."""
    shape = client.meta.service_model.operation_model(operation).output_shape
    plain = {name: value for name, value in reply.items() if name != "ResponseMetadata"}
    report = ParamValidator().validate(plain, shape)
    assert not report.has_errors(), report.generate_report()
