"""A fallback asks each of its models for a schema in that model's own way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, Field

import rag
from rag.core.errors import BudgetError, ConfigError, GenerationError
from rag.emulator import Emulator, Request
from rag.generation.fallback import Fallback
from rag.usage.collector import Collector
from rag.usage.ledger import Ledger

SONNET, HAIKU = "global.anthropic.claude-sonnet-5-5", "global.anthropic.claude-haiku-5-5"
OLD = "anthropic.claude-3-haiku-20240307-v1:0"  # without structured output: made to call a tool
SCHEMA = {
    "title": "Leave",
    "type": "object",
    "properties": {"days": {"type": "integer"}},
    "required": ["days"],
}


class Leave(BaseModel):
    """A number of days."""

    days: int = Field(ge=0, le=366)


def fallback(*models: str, **options: Any) -> Fallback:
    return Fallback(
        models=[
            rag.ClaudeBedrock(model, retry=rag.bedrock.runtime.retry.Retry(attempts=1)) for model in models
        ],
        **options,
    )


def saying(emulator: Emulator, texts: dict[str, str]) -> None:
    """Let each model reply with a text; a tool's input is the emulator's own instance of the schema."""

    def reply(request: Request) -> str:
        return next(text for name, text in texts.items() if name in request.params["modelId"])

    emulator.behaviour.reply = reply


@pytest.mark.parametrize("models", [(SONNET, HAIKU), (OLD, SONNET), (SONNET, OLD), (OLD,)])
@pytest.mark.parametrize("schema", [SCHEMA, Leave])
def test_the_first_model_answers_in_its_way(
    bedrock_emulator: Emulator, models: tuple[str, ...], schema: Any
) -> None:
    if models[0] == OLD:
        bedrock_emulator.behaviour.tool_input = {"days": 28}
    else:
        saying(bedrock_emulator, {"sonnet": '{"days": 28}', "haiku-5": '{"days": 3}'})
    result = fallback(*models).with_structured_output(schema).invoke("28 days of leave")
    assert result == (Leave(days=28) if schema is Leave else {"days": 28})
    (request,) = bedrock_emulator.requests
    assert request.params["modelId"] == models[0]
    assert ("toolConfig" in request.params, "outputConfig" in request.params) == (
        (True, False) if models[0] == OLD else (False, True)
    )
    assert bedrock_emulator.problems == []


@pytest.mark.parametrize("first", [SONNET, OLD])
def test_the_next_model_answers_where_the_first_fails(bedrock_emulator: Emulator, first: str) -> None:
    saying(bedrock_emulator, {"haiku-5": '{"days": 28}'})
    bedrock_emulator.fail_next("ModelErrorException")
    collector = Collector()
    asked = fallback(first, HAIKU).with_structured_output(Leave)
    assert collector.run(asked.invoke, "28 days of leave") == Leave(days=28)
    (note,) = collector.notes
    assert note.startswith(f"{HAIKU} answered, as {first} failed: ModelErrorException")
    assert [call.model for call in collector.calls] == [HAIKU]


def test_a_reply_that_stays_invalid_counts_as_a_failure_and_as_no_strike(bedrock_emulator: Emulator) -> None:
    saying(bedrock_emulator, {"sonnet": '{"days": 999}', "haiku-5": '{"days": 28}'})
    model, collector = fallback(SONNET, HAIKU), Collector()
    raw = collector.run(model.with_structured_output(Leave, repairs=1).invoke, "28 days of leave")
    assert raw == Leave(days=28)
    assert [call.purpose for call in collector.calls] == ["generate", "repair", "generate"]
    assert "does not fit the schema Leave" in collector.notes[0]
    assert [strikes for _, _, strikes in model.states()] == [0, 0]


def test_raw_replies_are_passed_on(bedrock_emulator: Emulator) -> None:
    saying(bedrock_emulator, {"sonnet": '{"days": 28}'})
    raw = fallback(SONNET, HAIKU).with_structured_output(Leave, include_raw=True).invoke("28 days")
    assert raw["parsed"] == Leave(days=28)
    assert raw["parsing_error"] is None


def test_all_failing_is_one_error_that_names_each(bedrock_emulator: Emulator) -> None:
    bedrock_emulator.fail_next("ThrottlingException")
    bedrock_emulator.fail_next("AccessDeniedException")
    with pytest.raises(GenerationError, match=f"no model answered: {SONNET}: .*; {HAIKU}: AccessDenied"):
        fallback(SONNET, HAIKU).with_structured_output(Leave).invoke("28 days of leave")


@pytest.mark.parametrize("model", [FakeListChatModel(responses=["x"]), RunnableLambda(lambda messages: "x")])
def test_a_model_without_tools_is_refused_when_it_is_bound(bedrock_emulator: Emulator, model: Any) -> None:
    with pytest.raises(ConfigError, match="supports neither tools nor structured output"):
        Fallback(models=[rag.ClaudeBedrock(), model]).with_structured_output(Leave)


def test_a_pipeline_pays_for_every_reply_and_repair(
    bedrock_emulator: Emulator, handbook_index: rag.Index, tmp_path: Path
) -> None:
    saying(bedrock_emulator, {"sonnet": '{"days": 999}', "haiku-5": '{"days": 28}'})
    structured = fallback(SONNET, HAIKU).with_structured_output(Leave, repairs=1)
    path = tmp_path / "l.sqlite"
    answer = rag.Pipeline(handbook_index, generator=structured, ledger=path).ask("How many days of leave?")
    assert [(call.model, call.purpose) for call in answer.calls] == [
        (SONNET, "generate"), (SONNET, "repair"), (HAIKU, "generate"),
    ]  # fmt: skip
    assert all(call.usage.cost_usd for call in answer.calls)
    assert sum(row.calls for row in Ledger(path).rows()) == len(bedrock_emulator.requests) == 3
    with pytest.raises(BudgetError):
        rag.Pipeline(
            handbook_index, generator=structured, ledger={"path": str(path), "stop_usd": 1e-9, "per": "ever"}
        ).ask("How many days of leave?")
    assert len(bedrock_emulator.requests) == 3
