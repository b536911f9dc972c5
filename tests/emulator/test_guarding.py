"""Guardrails, in Converse and in ApplyGuardrail."""

from __future__ import annotations

from typing import Any

from rag.emulator import Emulator
from tests.emulator.conftest import CLAUDE, LEAVE, QUESTION, prompt, streamed, text_of, user


def test_guardrail_blocks_or_masks_with_trace(emulator: Emulator, client: Any) -> None:
    config = {"guardrailIdentifier": "abc123", "guardrailVersion": "1", "trace": "enabled"}
    request = {"modelId": CLAUDE, "messages": user(LEAVE + "\n\n" + QUESTION), "guardrailConfig": config}
    assert text_of(client.converse(**request)) == LEAVE
    emulator.behaviour.guardrail = "masked"
    masked = client.converse(**request)
    assert text_of(masked) == "Staff in Europe take {NUMBER} days of annual leave."
    (assessed,) = masked["trace"]["guardrail"]["outputAssessments"]["abc123"]
    (rule,) = assessed["sensitiveInformationPolicy"]["regexes"]
    assert (rule["match"], rule["action"]) == ("28", "ANONYMIZED")
    emulator.behaviour.guardrail = "blocked"
    blocked = client.converse(**request)
    assert blocked["stopReason"] == "guardrail_intervened"
    (topic,) = blocked["trace"]["guardrail"]["inputAssessment"]["abc123"]["topicPolicy"]["topics"]
    assert (topic["action"], blocked["usage"]["totalTokens"]) == ("BLOCKED", 0)
    assert streamed(client, **request)[-1][1]["trace"] == blocked["trace"]
    assert (
        text_of(client.converse(modelId=CLAUDE, messages=request["messages"])) == LEAVE
    )  # names no guardrail


def test_masking_keeps_document_numbers_in_citations(emulator: Emulator, client: Any) -> None:
    emulator.behaviour.guardrail = "masked"
    config = {"guardrailIdentifier": "abc123", "guardrailVersion": "1"}
    messages = user(prompt(QUESTION, "Backups run every night at two.", LEAVE))
    hidden = LEAVE.replace("28", "{NUMBER}")
    reply = client.converse(modelId=CLAUDE, messages=messages, guardrailConfig=config)
    assert text_of(reply) == f'{hidden}<cite doc="2">{hidden}</cite>'


def test_apply_guardrail(emulator: Emulator, client: Any) -> None:
    def applied(text: str) -> Any:
        return client.apply_guardrail(
            guardrailIdentifier="abc123",
            guardrailVersion="DRAFT",
            source="OUTPUT",
            content=[{"text": {"text": text}}],
        )

    assert (applied(LEAVE)["action"], applied(LEAVE)["outputs"]) == ("NONE", [])
    emulator.behaviour.guardrail = "masked"
    assert applied(LEAVE)["outputs"] == [{"text": LEAVE.replace("28", "{NUMBER}")}]
    assert applied("no numbers")["action"] == "NONE"
    emulator.behaviour.guardrail = "blocked"
    assert applied("x" * 1500)["action"] == "GUARDRAIL_INTERVENED"
    assert applied("x" * 1500)["usage"]["contentPolicyUnits"] == 2
