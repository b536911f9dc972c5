"""ApplyGuardrail in this process: the engine without a server, for ``rag guardrail test --offline``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rag.bedrock.guardrails.units import Block, Source
from rag.emulator.guardrails import engine, personal, reports


class OfflineGuardrail:
    """A guardrail on this machine; it costs nothing.

    Parameters
    ----------
    guardrail : mapping
        As CreateGuardrail takes it.

    Examples
    --------
    >>> words = {"wordPolicyConfig": {"wordsConfig": [{"text": "falcon"}]}, "blockedInputMessaging": "No."}
    >>> OfflineGuardrail(words).apply("INPUT", [Block("What is Falcon?")])["outputs"]
    [{'text': 'No.'}]
    """

    def __init__(self, guardrail: Mapping[str, Any]) -> None:
        self._guardrail = guardrail

    def apply(self, source: Source, blocks: Sequence[Block]) -> Mapping[str, Any]:
        """Return what ApplyGuardrail answers."""
        name = "blockedInputMessaging" if source == "INPUT" else "blockedOutputsMessaging"
        return reports.applied(engine.assess(self._guardrail, source, blocks), self._guardrail.get(name, ""))

    def notes(self) -> list[str]:
        """Return what it cannot detect here, a line each."""
        sensitive = self._guardrail.get("sensitiveInformationPolicyConfig", {})
        lines = [
            f"{kind} is not detected here: install presidio-analyzer and spaCy's model en_core_web_sm"
            for kind in personal.undetected(sensitive)
        ]
        if "automatedReasoningPolicyConfig" in self._guardrail:
            lines.append("automated reasoning is not done here")
        return lines
