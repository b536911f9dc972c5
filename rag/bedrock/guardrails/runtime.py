"""ApplyGuardrail: texts through a guardrail, without a model, priced by text units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rag.bedrock.guardrails.cases import Case
from rag.bedrock.guardrails.outcome import Outcome, difference, outcome
from rag.bedrock.guardrails.units import Block, Source, processed
from rag.bedrock.runtime.client import client
from rag.bedrock.runtime.retry import Retry
from rag.core.calls import Call, Usage
from rag.core.errors import RagError
from rag.usage.meter import Meter

_ADVICE = {
    "AccessDeniedException": "allow bedrock:ApplyGuardrail on the guardrail",
    "ResourceNotFoundException": "check the region, and that the guardrail has this version",
    "ValidationException": "check the text's length: a source of grounding has at most 100,000 characters, a "
    "query 1,000, an answer 5,000",
}


class Applies(Protocol):
    """A guardrail that texts can be shown to."""

    def apply(self, source: Source, blocks: Sequence[Block]) -> Mapping[str, Any]:
        """Return what ApplyGuardrail answers."""


class BedrockGuardrail:
    """A version of an account's guardrail; each call is paid for.

    Parameters
    ----------
    identifier, version : str
    config : mapping
        The guardrail as CreateGuardrail takes it, to know before a call what it costs at most.
    meter : Meter
        Asked before each call, and told of it.
    region, endpoint_url, client, retry
        As in `rag.bedrock.runtime.agent_runtime.AgentRuntime`.
    """

    def __init__(
        self,
        identifier: str,
        version: str,
        config: Mapping[str, Any],
        meter: Meter,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        client: Any = None,
        retry: Retry | None = None,
    ) -> None:
        self._names = {"guardrailIdentifier": identifier, "guardrailVersion": version}
        self._config, self._meter = config, meter
        self._region, self._endpoint_url, self._client = region, endpoint_url, client
        self._retry = retry or Retry()
        #: What could not be recorded.
        self.notes: list[str] = []

    @property
    def name(self) -> str:
        """What a ledger calls it."""
        return f"guardrail/{self._names['guardrailIdentifier']}"

    def most_usd(self, source: Source, blocks: Sequence[Block]) -> float | None:
        """Return the most that a call can cost; None if a price is not known."""
        return self._meter.prices.guardrails.cost_usd(processed(self._config, source, blocks))

    def apply(self, source: Source, blocks: Sequence[Block]) -> Mapping[str, Any]:
        """Return ApplyGuardrail's reply.

        Raises
        ------
        BudgetError
            The call must not be made.
        RagError
            It failed.
        """
        content = [_content(block) for block in blocks]
        usd = self.most_usd(source, blocks)
        with self._meter.reserve(self.name, usd=usd, purpose="guardrail") as held:
            self.notes += held.notes
            reply: Mapping[str, Any] = self._retry.call(
                lambda: self._runtime().apply_guardrail(**self._names, source=source, content=content),
                model=self.name, error=RagError, advice=_ADVICE,
            )  # fmt: skip
            cost = self._meter.prices.guardrails.cost_usd(reply["usage"])
            note = held.settle(Call(self.name, "guardrail", Usage(cost_usd=cost)))
            self.notes += [note] if note else []
        return reply

    def _runtime(self) -> Any:
        if self._client is None:
            self._client = client("bedrock-runtime", region=self._region, endpoint_url=self._endpoint_url)
        return self._client


@dataclass(frozen=True, slots=True)
class Result:
    """A case, what came of it, and how that differs from what was expected (empty if it does not)."""

    case: Case
    came: Outcome
    wrong: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "place": self.case.place, "text": self.case.text, "source": self.case.source,
            "expect": self.case.expect, "by": list(self.case.by), "did": self.came.did,
            "masked": self.came.text if self.came.did == "masked" else None,
            "found": [{"name": each.name, "did": each.did} for each in self.came.found], "wrong": self.wrong,
        }  # fmt: skip


def results_of(cases: Sequence[Case], guardrail: Applies) -> Iterator[Result]:
    """Yield each case's result, in order."""
    for case in cases:
        came = outcome(guardrail.apply(case.way, case.blocks()))
        yield Result(case, came, difference(case, came))


def _content(block: Block) -> dict[str, Any]:
    qualifiers = {"qualifiers": list(block.qualifiers)} if block.qualifiers else {}
    return {"text": {"text": block.text, **qualifiers}}
