"""A prompt's model parameters reach Claude, and the budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import rag
from rag.core.errors import BudgetError, ConfigError
from rag.emulator import Behaviour, Emulator
from tests.bedrock.claude_calls import HAIKU_3, QUESTION, claude, last
from tests.generation.test_prompt_files import write

SONNET = "global.anthropic.claude-sonnet-5-5"


class Days(BaseModel):
    days: int


def today() -> str:
    """Return the date."""
    return "2026-11-26"


async def test_parameters_are_sent(
    emulator: Emulator, pipe: Callable[..., rag.Pipeline], tmp_path: Path
) -> None:
    front = "cite: true\nparameters: {temperature: 0.25, max_tokens: 321, stop: [END]}"
    path = str(write(tmp_path, front))
    pipeline = pipe(claude(model=HAIKU_3), prompt=path)
    for answer in (pipeline.ask(QUESTION), await pipeline.aask(QUESTION)):
        assert last(emulator)["inferenceConfig"] == {
            "temperature": 0.25,
            "maxTokens": 321,
            "stopSequences": ["END"],
        }
        named = {"prompt": answer.prompt, "version": answer.prompt_hash[:8]}
        assert (
            last(emulator)["requestMetadata"]
            == named
            == {"prompt": "help@1.2", "version": pipeline.prompt.version}
        )
    assert "How to use the documents" in last(emulator)["system"][0]["text"]
    with pytest.raises(
        ConfigError, match=r"sets temperature, which its generator does not take .*sonnet-5-5"
    ):
        pipe(prompt=path)


def test_they_pass_a_fallback_and_are_refused_where_one_model_takes_none(
    emulator: Emulator, pipe: Callable[..., rag.Pipeline], tmp_path: Path
) -> None:
    path = str(write(tmp_path, "cite: true\nparameters: {max_tokens: 99}"))
    pipe({"use": "claude", "fallback": [HAIKU_3]}, prompt=path).ask(QUESTION)
    assert last(emulator)["inferenceConfig"]["maxTokens"] == 99
    with pytest.raises(ConfigError, match=r"sets max_tokens, which its generator does not take .local"):
        pipe({"use": "claude", "fallback": ["local"]}, prompt=path)


def test_the_budget_reserves_the_prompts_max_tokens(
    emulator: Emulator, pipe: Callable[..., rag.Pipeline], tmp_path: Path
) -> None:
    """Sonnet's reply of 100,000 tokens may cost a dollar; of 100 it may not."""
    few = str(write(tmp_path, "cite: true\nparameters: {max_tokens: 100}", name="few@1"))
    many = str(write(tmp_path, "cite: true\nparameters: {max_tokens: 100000}", name="many@1"))
    pipe(claude(), prompt=few, ledger={"stop_usd": 0.5}).ask(QUESTION)
    with pytest.raises(BudgetError):
        pipe(claude(), prompt=many, ledger={"stop_usd": 0.5}).ask(QUESTION)


@pytest.mark.parametrize("how", [{"schema": Days}, {"tools": [today]}], ids=["schema", "tools"])
def test_parameters_are_sent_with_schemas_and_tools(
    how: dict[str, Any], emulator: Emulator, pipe: Callable[..., rag.Pipeline], tmp_path: Path
) -> None:
    path = str(write(tmp_path, "cite: true\nparameters: {temperature: 0.25, max_tokens: 321}"))
    emulator.behaviour = Behaviour(reply='{"data": {"days": 28}, "quotes": [], "missing": ""}')
    pipe(claude(model=HAIKU_3), prompt=path).ask(QUESTION, **how)
    assert all(
        request.params["inferenceConfig"] == {"temperature": 0.25, "maxTokens": 321}
        for request in emulator.requests
    )
    assert "toolConfig" in last(emulator)


def test_they_pass_a_router_to_all_its_tiers(
    emulator: Emulator, pipe: Callable[..., rag.Pipeline], tmp_path: Path
) -> None:
    path = str(write(tmp_path, "cite: true\nparameters: {max_tokens: 99}"))
    pipe({"use": "router", "tiers": {"small": HAIKU_3, "large": SONNET}}, prompt=path).ask(QUESTION)
    assert last(emulator)["inferenceConfig"]["maxTokens"] == 99
    warm = str(write(tmp_path, "cite: true\nparameters: {temperature: 0.5}", name="warm@1"))
    with pytest.raises(
        ConfigError, match=r"sets temperature, which its generator does not take .*sonnet-5-5"
    ):
        pipe({"use": "router", "tiers": {"small": HAIKU_3, "large": SONNET}}, prompt=warm)
