"""Claude against the emulator: metadata, tools, schemas and ARNs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

import rag
from rag.core.errors import GenerationError
from rag.emulator import Behaviour, Emulator, Request
from tests.bedrock.claude_calls import (
    ARN,
    HAIKU,
    HAIKU_3,
    QUESTION,
    SONNET,
    blocks,
    claude,
    last,
    lookup,
)


def test_request_metadata(emulator: Emulator, pipe: Callable[..., rag.Pipeline], tmp_path: Path) -> None:
    """A request carries the user's tags, and the prompt's name and version."""
    path = tmp_path / "support desk\u00a0(é).md"
    path.write_text("Answer in one word.", encoding="utf-8")
    pipeline = pipe({"use": "claude", "request_metadata": {"team": "hr"}}, prompt=str(path))
    pipeline.ask(QUESTION)
    assert last(emulator)["requestMetadata"] == {
        "team": "hr", "prompt": "support desk____.md", "version": pipeline.prompt.version,
    }  # fmt: skip
    pipe().ask(QUESTION)
    assert last(emulator)["requestMetadata"]["prompt"] == "answer-native-v1"
    pipe({"use": "claude", "request_metadata": {"prompt": "mine"}}).ask(QUESTION)
    assert last(emulator)["requestMetadata"]["prompt"] == "mine"


@pytest.mark.parametrize("count", [14, 15, 16])
def test_sixteen_tags(count: int, emulator: Emulator) -> None:
    """Of at most sixteen tags the user's come first."""
    tags = {f"tag{n}": "x" for n in range(count)}
    rag.ClaudeBedrock(request_metadata=tags).invoke(rag.Prompt()(QUESTION, []))
    sent = last(emulator)["requestMetadata"]
    assert len(sent) == 16
    assert tags.items() <= sent.items()


def test_no_tags(emulator: Emulator) -> None:
    """Empty metadata is not sent."""
    rag.ClaudeBedrock(request_metadata={}).invoke(QUESTION)
    claude().invoke(QUESTION, request_metadata={})
    assert all("requestMetadata" not in request.params for request in emulator.requests)
    assert emulator.problems == []


def test_tools(emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """Tools are sent, and their calls are in the answer."""
    emulator.behaviour = Behaviour(tool_input={"place": "Europe"})
    answer = pipe(claude().bind_tools([lookup])).ask("Please call the tool lookup.")
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("lookup", {"place": "Europe"})
    assert (answer.stop_reason, answer.text) == ("tool_use", "")
    assert answer.generator == f"ClaudeBedrock {SONNET}"
    assert answer.usage.cost_usd > 0
    (tool,) = last(emulator)["toolConfig"]["tools"]
    assert tool["toolSpec"]["description"] == "Look up the leave of a place."
    assert "searchResult" in blocks(emulator)[0]


def test_stop_sequences(emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    emulator.behaviour.reply = "It is 28 days. END And more."
    answer = pipe(claude().bind(stop=["END"])).ask(QUESTION)
    assert (answer.text, answer.stop_reason) == ("It is 28 days.", "stop_sequence")
    assert last(emulator)["inferenceConfig"]["stopSequences"] == ["END"]


@pytest.mark.parametrize("model", [SONNET, HAIKU_3])
def test_structured_output(model: str, emulator: Emulator) -> None:
    """An invalid object is repaired by a second call."""

    class Leave(BaseModel):
        days: int = Field(le=366)

    def days(request: Request) -> dict[str, int]:
        return {"days": 400 if len(request.params["messages"]) == 1 else 28}

    emulator.behaviour = Behaviour(reply=lambda request: json.dumps(days(request)), tool_input=days)
    assert claude(model).with_structured_output(Leave, repairs=1).invoke(QUESTION) == Leave(days=28)
    assert emulator.counts == {"Converse": 2}
    assert "days" in json.dumps(last(emulator)["messages"][-1])


@pytest.mark.parametrize(("model", "base", "price"), [
    (f"{ARN}:inference-profile/us.anthropic.claude-sonnet-5-5", None, 2.2),
    (f"{ARN}:application-inference-profile/abcdefghijkl", HAIKU, 0.10),
])  # fmt: skip
def test_arn(
    model: str, base: str | None, price: float, emulator: Emulator, pipe: Callable[..., rag.Pipeline]
) -> None:
    """An ARN has the price and abilities of its model."""
    answer = pipe({"use": "claude", "model": model, **({"base_model": base} if base else {})}).ask(QUESTION)
    used = answer.usage
    assert used.cost_usd == pytest.approx(price * (used.input_tokens + 5 * used.output_tokens) / 1e6)
    assert (answer.calls[-1].model, answer.prompt) == (model, "answer-native-v1")
    assert last(emulator)["modelId"] == model
    assert emulator.counts == {"ConverseStream": 1}  # the profile's model was not asked for


def test_arn_without_model(emulator: Emulator, pipe: Callable[..., rag.Pipeline]) -> None:
    """Provisioned throughput has no price per token, and base_model determines its abilities."""
    provisioned = {"use": "claude", "model": f"{ARN}:provisioned-model/abcdefghijkl"}
    answer = pipe(provisioned).ask(QUESTION)
    assert (answer.usage.cost_usd, answer.prompt) == (None, "answer-v1")
    assert emulator.counts == {"ConverseStream": 1}
    based = pipe({**provisioned, "base_model": "anthropic.claude-sonnet-5-5"}).ask(QUESTION)
    assert (based.usage.cost_usd, based.prompt) == (None, "answer-native-v1")  # paid by the hour
    with pytest.raises(GenerationError, match=r"application-inference.*; set base_model to skip"):
        claude(f"{ARN}:application-inference-profile/abcdefghijkl")
