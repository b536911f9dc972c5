"""The smallest calls: valid requests, with their price, one for each permission."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag.bedrock.control.permissions import Place, Use
from rag.bedrock.control.probes import GUARDRAIL_UNIT_USD, Probe, probes
from rag.config.bedrock_uses import uses
from rag.core.calls import Usage
from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at
from rag.usage.prices import BUILT_IN

HERE = Place("us-east-1", "123456789012")
SETTINGS = {
    "embedder": "cohere", "generator": {"use": "claude", "guardrail": "gr1a2b3c:2"},
    "retriever": {"reranker": "bedrock"}, "batch": {"s3": "s3://work/jobs"},
}  # fmt: skip


def calls(*found: Use) -> list[Probe]:
    return probes(found, BUILT_IN, lambda use: HERE)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as running:
        point_at(monkeypatch, running.environment())
        yield running


def test_every_call_is_valid_and_priced(emulator: Emulator) -> None:
    made = calls(*uses(SETTINGS))
    assert [probe.operation for probe in made] == [
        "InvokeModel", "Converse", "ConverseStream", "ApplyGuardrail", "Rerank", "ListModelInvocationJobs",
    ]  # fmt: skip
    used = [probe.call() for probe in made]
    assert emulator.problems == []
    assert all(isinstance(usage, Usage) and usage.input_tokens for usage in used[:3])
    prices = dict(zip((probe.operation for probe in made), (probe.usd for probe in made), strict=True))
    # 20 tokens in and 1 out of Sonnet 5.5, at 2 and 10 dollars per million.
    assert prices["Converse"] == pytest.approx((20 * 2 + 10) / 1e6)
    assert prices["Rerank"] == 0.001
    assert prices["ApplyGuardrail"] == GUARDRAIL_UNIT_USD
    assert prices["ListModelInvocationJobs"] == 0.0


@pytest.mark.parametrize("name", ["titan", "nova"])
def test_each_embedder_is_called_in_its_own_form(emulator: Emulator, name: str) -> None:
    [use] = uses({"embedder": {"use": name, "dimensions": 256}})
    [probe] = calls(use)
    assert probe.call() is not None
    assert emulator.problems == []
    assert emulator.requests[-1].params["modelId"] == use.name


def test_a_model_without_a_price_has_none_and_retrieve_is_not_called() -> None:
    unknown = Use("chat", "generator", "anthropic.claude-of-tomorrow")
    assert [probe.usd for probe in calls(unknown)] == [None, None]
    assert calls(Use("retrieve", "retriever", "ABCDEFGHIJ")) == []
