"""Guardrails are planned and applied: field by field, once, and after a process that was killed."""

from __future__ import annotations

from typing import Any

import pytest

import rag
from rag.bedrock.control.guardrails import GuardrailControl
from rag.bedrock.guardrails.changes import MADE_FROM
from rag.bedrock.guardrails.parse import parse
from rag.bedrock.guardrails.plan import apply, plan, version_of
from rag.bedrock.guardrails.settings import GuardrailSettings
from rag.bedrock.runtime.retry import Retry
from rag.core.errors import RagError
from rag.emulator import Emulator
from rag.generation.fallback import Fallback
from rag.generation.router import Router

TABLE: dict[str, Any] = {
    "blocked_input": "Not that question.", "blocked_output": "Not that answer.",
    "pii": {"email": "mask", "us_social_security_number": "block"}, "words": {"block": ["falcon"]},
}  # fmt: skip


def settings(**changed: Any) -> GuardrailSettings:
    return parse({**TABLE, **changed}, "support.toml", "support")


@pytest.fixture
def control(emulator: Emulator) -> GuardrailControl:
    return GuardrailControl(retry=Retry(attempts=1), sleep=lambda seconds: None)


def applied(control: GuardrailControl, **changed: Any) -> tuple[str, bool]:
    wanted = settings(**changed)
    done = apply(wanted, plan(wanted, control), control)
    assert done.kept_otherwise == ()
    return done.version, done.made


def test_a_new_guardrail_is_created_with_a_version(emulator: Emulator, control: GuardrailControl) -> None:
    wanted = settings()
    planned = plan(wanted, control)
    assert (planned.step, planned.id) == ("create", None)
    assert {change.sign for change in planned.changes} == {"+"}
    done = apply(wanted, planned, control)
    assert done.setting == f"{next(iter(emulator.guardrails.known))}:1" and done.made
    after = plan(wanted, control)
    assert (after.step, after.version, after.changes) == ("none", "1", ())
    (version,) = control.versions(done.arn)
    assert version.description == MADE_FROM + planned.digest
    assert emulator.problems == []


def test_applying_twice_changes_nothing(emulator: Emulator, control: GuardrailControl) -> None:
    assert [applied(control) for _ in range(3)] == [("1", True), ("1", False), ("1", False)]
    assert emulator.counts["CreateGuardrail"] == emulator.counts["CreateGuardrailVersion"] == 1
    assert emulator.counts["UpdateGuardrail"] == 0


def test_a_change_is_shown_by_field_and_gets_a_version(control: GuardrailControl) -> None:
    applied(control)
    pii = {"email": "block", "url": "mask", "us_social_security_number": "block"}
    planned = plan(settings(pii=pii), control)
    assert (planned.step, planned.latest, planned.version) == ("update", "1", None)
    assert list(map(str, planned.changes)) == ['~ pii.email: "mask" -> "block"', '+ pii.url: "mask"']
    assert applied(control, pii=pii) == ("2", True)


def test_content_that_a_version_has_gets_no_second_one(control: GuardrailControl) -> None:
    applied(control), applied(control, words={"block": ["merlin"]})
    planned = plan(settings(), control)
    assert (planned.step, planned.version, planned.latest) == ("update", "1", "2")
    assert applied(control) == ("1", False)
    assert plan(settings(), control).step == "none"


@pytest.mark.parametrize("killed", ["CreateGuardrail", "CreateGuardrailVersion", "UpdateGuardrail"])
def test_what_was_killed_halfway_is_finished(
    emulator: Emulator, control: GuardrailControl, killed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if killed == "UpdateGuardrail":
        applied(control)
    changed = {"words": {"block": ["merlin"]}}
    call = control._call

    def dies(operation: str, **arguments: Any) -> Any:
        reply = call(operation, **arguments)
        if operation == killed:
            raise KeyboardInterrupt
        return reply

    monkeypatch.setattr(control, "_call", dies)
    with pytest.raises(KeyboardInterrupt):
        applied(control, **changed)
    monkeypatch.setattr(control, "_call", call)
    step = plan(settings(**changed), control).step
    assert step == ("none" if killed == "CreateGuardrailVersion" else "version")
    number = "2" if killed == "UpdateGuardrail" else "1"
    assert applied(control, **changed) == (number, killed != "CreateGuardrailVersion")
    assert emulator.counts["CreateGuardrail"] == 1
    assert len(control.versions(control.all()[0].arn)) == int(number)


def test_a_version_that_lies_about_its_content_is_not_taken(control: GuardrailControl) -> None:
    applied(control)
    (guardrail,) = control.all()
    wanted = settings(words={"block": ["merlin"]})
    control.number(guardrail.id, MADE_FROM + plan(wanted, control).digest, "by-hand")
    applied(control, words={"block": ["third"]})
    assert plan(wanted, control).version is None


def test_tags_are_compared_and_set(control: GuardrailControl) -> None:
    applied(control, tags={"team": "hr", "old": "1"})
    planned = plan(settings(tags={"team": "desk"}), control)
    assert (planned.step, planned.version) == ("tag", "1")
    assert list(map(str, planned.tags)) == ['- old: "1"', '~ team: "hr" -> "desk"']
    assert applied(control, tags={"team": "desk"}) == ("1", False)
    assert control.tags(control.all()[0].arn) == {"team": "desk"}


def test_what_others_added_would_be_removed(emulator: Emulator, control: GuardrailControl) -> None:
    applied(control)
    (guardrail,) = emulator.guardrails.known.values()
    config = dict(guardrail.draft.config)
    arn = "arn:aws:bedrock:us-east-1:123456789012:automated-reasoning-policy/abcdefghijkl"
    config["automatedReasoningPolicyConfig"] = {"policies": [arn]}
    emulator.guardrails.known[guardrail.id].draft = type(guardrail.draft)(config, None, 0.0, 0.0)
    assert list(map(str, plan(settings(), control).changes)) == [f'- reasoning.policies: ["{arn}"]']


def test_a_busy_guardrail_is_waited_for(emulator: Emulator) -> None:
    waits: list[float] = []
    emulator.guardrails.busy_s = 60

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) % 4 == 0:
            for guardrail in emulator.guardrails.known.values():
                guardrail.ready_at = 0.0

    control = GuardrailControl(sleep=sleep)
    assert applied(control) == ("1", True)
    assert waits == [0.25, 0.5, 1.0, 2.0] * 2


def test_waiting_ends_with_what_to_do(emulator: Emulator) -> None:
    emulator.guardrails.busy_s = 60
    now = iter(range(0, 10_000, 100))
    control = GuardrailControl(clock=lambda: float(next(now)), sleep=lambda seconds: None)
    with pytest.raises(RagError, match=r"support .* is still CREATING after 300 s: run the same again later"):
        applied(control)


def test_failures_say_what_to_allow(emulator: Emulator, control: GuardrailControl) -> None:
    emulator.fail_next("AccessDeniedException")
    with pytest.raises(
        RagError, match=r"bedrock:ListGuardrails: .*: allow bedrock:ListGuardrails on the guardrail"
    ):
        plan(settings(), control)


def test_the_version_of_a_file(control: GuardrailControl) -> None:
    assert version_of(settings(), control) is None
    applied(control)
    assert version_of(settings(), control) == (control.all()[0].id, "1")
    assert version_of(settings(words={"block": ["x"]}), control) is None


def test_answers_pass_through_the_guardrail(emulator: Emulator, control: GuardrailControl, pipe: Any) -> None:
    wanted = settings()
    done = apply(wanted, plan(wanted, control), control)
    claude = rag.ClaudeBedrock(max_tokens=500, guardrail=done.setting)
    emulator.behaviour.reply = "Staff in Europe take 28 days of annual leave; write to ada@acme.com."
    masked = pipe(claude).ask("How many days of leave are there?")
    assert masked.guardrail == "masked" and "write to {EMAIL}" in masked.text
    blocked = pipe(claude).ask("What is Falcon?")
    assert (blocked.guardrail, blocked.text) == ("blocked", "Not that question.")
    emulator.behaviour.reply = "It is 123-45-6789."
    events = list(pipe(claude).stream("What is the number?"))
    assert "".join(event.value for event in events if event.kind == "text") == "Not that answer."


def test_every_tier_and_fallback_has_the_guardrail(
    emulator: Emulator, control: GuardrailControl, pipe: Any
) -> None:
    wanted = settings()
    done = apply(wanted, plan(wanted, control), control)

    def model(name: str) -> Any:
        return rag.ClaudeBedrock(name, max_tokens=500, guardrail=done.setting)

    models = [model("global.anthropic.claude-haiku-5-5"), model("global.anthropic.claude-opus-5-5")]
    emulator.behaviour.reply = "Write to ada@acme.com."
    rules = [{"when": {"question_words_at_least": 3}, "tier": "strong"}]
    router = Router(tiers=dict(zip(("weak", "strong"), models, strict=True)), rules=rules)
    for question in ("Leave?", "How long is leave?"):
        assert pipe(router).ask(question).guardrail == "masked"
    emulator.fail_next("AccessDeniedException")
    assert pipe(Fallback(models=models)).ask("Leave?").guardrail == "masked"
    asked = [request.params for request in emulator.requests if request.operation == "ConverseStream"]
    assert {each["modelId"] for each in asked} == {each.model_id for each in models}
    guardrails = [each["guardrailConfig"] for each in asked]
    assert len(asked) == 4 and {each["guardrailIdentifier"] for each in guardrails} == {done.id}
