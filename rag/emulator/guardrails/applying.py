"""Find the guardrail that a request names, for Converse; answer ApplyGuardrail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from rag.bedrock.guardrails.units import Block
from rag.emulator.behaviour import Behaviour
from rag.emulator.completion import Guard
from rag.emulator.guardrails import engine, forced, reports
from rag.emulator.guardrails.enforced import Enforced
from rag.emulator.guardrails.forced import Forced
from rag.emulator.guardrails.store import Guardrail, Guardrails, Version
from rag.emulator.wire import Refusal, Reply, Request


class Guarding(Protocol):
    """The state of an emulator that guardrails use."""

    @property
    def behaviour(self) -> Behaviour:
        """May force what a guardrail does."""

    @property
    def guardrails(self) -> Guardrails:
        """The account's guardrails."""


def guard_of(emulator: Guarding, config: Mapping[str, Any]) -> Guard:
    """Return the guardrail of a ``guardrailConfig``.

    Raises
    ------
    Refusal
        There is no such guardrail or version.
    """
    if _is_forced(emulator):
        return Forced(emulator.behaviour.guardrail, config)
    try:
        return Enforced(*_named(emulator, config))
    except Refusal:
        raise Refusal(
            "ValidationException",
            "The guardrail identifier or version provided in the request does not exist.",
        ) from None


def apply(emulator: Guarding, request: Request) -> Reply:
    """Answer ApplyGuardrail."""
    params = request.params
    texts = [block["text"] for block in params["content"] if "text" in block]
    blocks = [Block(text["text"], tuple(text.get("qualifiers", ()))) for text in texts]
    if _is_forced(emulator):
        verdict = forced.verdict(emulator.behaviour.guardrail, blocks)
        return Reply(reports.applied(verdict, forced.BLOCKED_MESSAGE))
    guardrail, number, version = _named(emulator, params)
    verdict = engine.assess(version.config, params["source"], blocks)
    name = "blockedInputMessaging" if params["source"] == "INPUT" else "blockedOutputsMessaging"
    return Reply(reports.applied(verdict, version.config[name], guardrail, number))


def _is_forced(emulator: Guarding) -> bool:
    """Tell whether a guardrail does what the behaviour says: always, while the account has none."""
    return emulator.behaviour.guardrail is not None or not emulator.guardrails.known


def _named(emulator: Guarding, params: Mapping[str, Any]) -> tuple[Guardrail, str, Version]:
    number = str(params["guardrailVersion"])
    with emulator.guardrails.lock:
        guardrail = emulator.guardrails.find(str(params["guardrailIdentifier"]))
        version = guardrail.version(number)
    if version is None:
        raise Refusal("ResourceNotFoundException", f"The guardrail {guardrail.id} has no version {number}.")
    return guardrail, number, version
