"""A guardrail of the account is enforced in Converse, ConverseStream and ApplyGuardrail."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from rag.emulator import Emulator
from tests.emulator.conftest import CLAUDE, client_of, streamed, text_of, user
from tests.emulator.guardrails import GUARDRAIL, config, fits, made

MAIL, SSN = "Write to ada@acme.com.", "His number is 123-45-6789."


@pytest.fixture
def guardrail(emulator: Emulator) -> str:
    return made(client_of(emulator, "bedrock"))


def ask(client: Any, identifier: str, *blocks: Any, **more: Any) -> Any:
    reply = client.converse(
        **{"modelId": CLAUDE, "messages": user(*blocks), "guardrailConfig": config(identifier), **more}
    )
    fits(client, "Converse", reply)
    return reply


def guarded(text: str, *qualifiers: str) -> dict[str, Any]:
    return {"guardContent": {"text": {"text": text, "qualifiers": list(qualifiers) or ["guard_content"]}}}


def test_a_blocked_prompt_never_reaches_the_model(emulator: Emulator, client: Any, guardrail: str) -> None:
    emulator.behaviour.reply = lambda request: pytest.fail("the model was asked")
    reply = ask(client, guardrail, "What is Falcon?")
    assert (text_of(reply), reply["stopReason"]) == ("Not that question.", "guardrail_intervened")
    assert reply["usage"]["totalTokens"] == 0
    trace = reply["trace"]["guardrail"]
    (word,) = trace["inputAssessment"][guardrail]["wordPolicy"]["customWords"]
    assert (word["match"], word["action"], trace["actionReason"]) == (
        "Falcon",
        "BLOCKED",
        "Guardrail blocked.",
    )
    details = trace["inputAssessment"][guardrail]["appliedGuardrailDetails"]
    assert (details["guardrailId"], details["guardrailVersion"]) == (guardrail, "DRAFT")


def test_a_masked_prompt_reaches_the_model_masked(emulator: Emulator, client: Any, guardrail: str) -> None:
    seen = []
    emulator.behaviour.reply = lambda request: (
        seen.append(request.params["messages"][0]["content"][0]["text"]) or "Yes."
    )
    reply = ask(client, guardrail, f"May I? {MAIL}")
    assert seen == ["May I? Write to {EMAIL}."]
    assert (text_of(reply), reply["stopReason"]) == ("Yes.", "end_turn")
    assert emulator.requests[-1].params["messages"][0]["content"][0]["text"] == f"May I? {MAIL}"


def test_replies_are_masked_or_blocked(emulator: Emulator, client: Any, guardrail: str) -> None:
    emulator.behaviour.reply = f"Yes. {MAIL}"
    masked = ask(client, guardrail, "Whom do I ask?")
    assert (text_of(masked), masked["stopReason"]) == ("Yes. Write to {EMAIL}.", "guardrail_intervened")
    trace = masked["trace"]["guardrail"]
    assert (trace["modelOutput"], trace["actionReason"]) == ([f"Yes. {MAIL}"], "Guardrail masked.")
    (assessed,) = trace["outputAssessments"][guardrail]
    assert assessed["invocationMetrics"]["usage"]["sensitiveInformationPolicyUnits"] == 1
    emulator.behaviour.reply = SSN
    blocked = ask(client, guardrail, "What is his number?")
    assert (text_of(blocked), blocked["stopReason"]) == ("Not that answer.", "guardrail_intervened")
    assert blocked["usage"]["outputTokens"] > 0
    passed = ask(client, guardrail, "Hello?", guardrailConfig=config(guardrail, trace="disabled"))
    assert "trace" not in passed


def test_only_marked_content_is_assessed(emulator: Emulator, client: Any, guardrail: str) -> None:
    emulator.behaviour.reply = "Yes."
    assert text_of(ask(client, guardrail, "falcon", guarded("Hello?"))) == "Yes."
    assert text_of(ask(client, guardrail, "Hello", guarded("falcon"))) == "Not that question."
    system = [{"text": "falcon"}]
    assert text_of(ask(client, guardrail, "Hello?", system=system)) == "Yes."
    assert text_of(ask(client, guardrail, "Hello?", system=[guarded("falcon")])) == "Not that question."
    source = guarded("falcon", "grounding_source")
    assert text_of(ask(client, guardrail, source, guarded("Hello?", "query", "guard_content"))) == "Yes."


def test_a_reply_is_masked_beside_a_guarded_query(emulator: Emulator, client: Any, guardrail: str) -> None:
    emulator.behaviour.reply = MAIL
    query = guarded("Whom do I ask?", "query", "guard_content")
    assert text_of(ask(client, guardrail, query)) == "Write to {EMAIL}."


def test_tool_calls_are_not_assessed(emulator: Emulator, client: Any, guardrail: str) -> None:
    schema = {"type": "object", "properties": {"who": {"type": "string"}}}
    tools = {"tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": schema}}}]}
    emulator.behaviour.tool_input = {"who": "ada@acme.com"}
    reply = ask(client, guardrail, "Call the tool find.", toolConfig=tools)
    (block,) = reply["output"]["message"]["content"]
    assert (reply["stopReason"], block["toolUse"]["input"]) == ("tool_use", {"who": "ada@acme.com"})
    assert "outputAssessments" not in reply["trace"]["guardrail"]


def text_of_stream(events: list[tuple[str, dict[str, Any]]]) -> str:
    return "".join(event["delta"].get("text", "") for kind, event in events if kind == "contentBlockDelta")


def test_a_synchronous_stream_holds_back(emulator: Emulator, client: Any, guardrail: str) -> None:
    emulator.behaviour.reply = f"Yes. {MAIL}"
    events = streamed(client, guardrailConfig=config(guardrail))
    assert text_of_stream(events) == "Yes. Write to {EMAIL}."
    emulator.behaviour.reply = "A harmless beginning. " * 40 + SSN
    events = streamed(client, guardrailConfig=config(guardrail, streamProcessingMode="sync"))
    assert text_of_stream(events) == "Not that answer."
    assert dict(events)["messageStop"]["stopReason"] == "guardrail_intervened"


def test_an_asynchronous_stream_lets_through(emulator: Emulator, client: Any, guardrail: str) -> None:
    emulator.behaviour.reply = f"Yes. {MAIL}"
    mode = config(guardrail, streamProcessingMode="async")
    events = streamed(client, guardrailConfig=mode)
    assert text_of_stream(events) == f"Yes. {MAIL}"
    assert dict(events)["messageStop"]["stopReason"] == "guardrail_intervened"
    emulator.behaviour.reply = "A harmless beginning. " * 40 + SSN + " And so on." * 100
    text = text_of_stream(streamed(client, guardrailConfig=mode))
    assert text.startswith("A harmless beginning. ") and text.endswith("Not that answer.")
    assert SSN[:-1] in text and text.count("And so on.") < 20
    trace = dict(streamed(client, guardrailConfig=mode))["metadata"]["trace"]["guardrail"]
    assert trace["outputAssessments"][guardrail][0]["sensitiveInformationPolicy"]["piiEntities"]


def test_answers_are_checked_against_their_sources(emulator: Emulator, client: Any) -> None:
    filters = [{"type": "GROUNDING", "threshold": 0.7}]
    identifier = made(
        client_of(emulator, "bedrock"), contextualGroundingPolicyConfig={"filtersConfig": filters}
    )
    blocks = (
        guarded("Staff take 28 days of leave.", "grounding_source"),
        guarded("How long is the leave of staff?", "query", "guard_content"),
    )
    emulator.behaviour.reply = "Staff take 28 days of leave."
    good = ask(client, identifier, *blocks)
    assert (text_of(good), good["stopReason"]) == ("Staff take 28 days of leave.", "end_turn")
    emulator.behaviour.reply = "Staff take 30 days of leave."
    bad = ask(client, identifier, *blocks)
    assert text_of(bad) == "Not that answer."
    (assessed,) = bad["trace"]["guardrail"]["outputAssessments"][identifier]
    assert assessed["contextualGroundingPolicy"]["filters"][0]["score"] == 0.0


def test_a_version_is_enforced_as_it_was(emulator: Emulator, client: Any, guardrail: str) -> None:
    control = client_of(emulator, "bedrock")
    control.create_guardrail_version(guardrailIdentifier=guardrail)
    words = {"wordPolicyConfig": {"wordsConfig": [{"text": "merlin"}]}}
    control.update_guardrail(guardrailIdentifier=guardrail, **{**GUARDRAIL, **words})
    emulator.behaviour.reply = "Yes."

    def said(version: str, text: str) -> str:
        return text_of(ask(client, guardrail, text, guardrailConfig=config(guardrail, version)))

    assert (said("1", "falcon"), said("1", "merlin")) == ("Not that question.", "Yes.")
    assert (said("DRAFT", "falcon"), said("DRAFT", "merlin")) == ("Yes.", "Not that question.")


def test_apply_guardrail(client: Any, guardrail: str) -> None:
    def applied(text: str, source: str = "OUTPUT") -> Any:
        names = {"guardrailIdentifier": guardrail, "guardrailVersion": "DRAFT"}
        reply = client.apply_guardrail(**names, source=source, content=[{"text": {"text": text}}])
        fits(client, "ApplyGuardrail", reply)
        return reply

    masked = applied(MAIL)
    assert (masked["action"], masked["outputs"]) == ("GUARDRAIL_INTERVENED", [{"text": "Write to {EMAIL}."}])
    assert applied(SSN)["outputs"] == [{"text": "Not that answer."}]
    assert applied(SSN, "INPUT")["outputs"] == [{"text": "Not that question."}]
    passed = applied("Hello.")
    assert (passed["action"], passed["outputs"], passed["actionReason"]) == ("NONE", [], "No action.")
    assert passed["usage"]["wordPolicyUnits"] == 1 and passed["usage"]["topicPolicyUnits"] == 0


def test_another_guardrail_is_refused(emulator: Emulator, client: Any, guardrail: str) -> None:
    for identifier, version in (("abc123", "1"), (guardrail, "7")):
        with pytest.raises(ClientError, match="identifier or version provided in the request does not exist"):
            ask(client, identifier, "Hello?", guardrailConfig=config(identifier, version))
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            client.apply_guardrail(
                guardrailIdentifier=identifier, guardrailVersion=version, source="INPUT", content=[]
            )
    emulator.behaviour.guardrail = "blocked"  # forced, whatever the account has
    assert "emulator blocks" in text_of(ask(client, guardrail, "Hello?"))
