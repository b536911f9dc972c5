"""Structured output: validated against the whole schema, repaired a limited number of times."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field

from rag.bedrock.chat.claude import ClaudeBedrock
from rag.bedrock.chat.schemas import sendable
from rag.bedrock.chat.structured import structured
from rag.core.errors import ConfigError, GenerationError
from rag.emulator import Behaviour, Emulator
from rag.generation.structured.schemas import target

NATIVE, TOOLS = "global.anthropic.claude-haiku-5-5", "anthropic.claude-3-haiku-20240307-v1:0"
MODELS = pytest.mark.parametrize("model", [NATIVE, TOOLS])


class Place(BaseModel):
    """Where something is said."""

    source: str = Field(min_length=1)
    page: int | None = Field(default=None, ge=1)


class Leave(BaseModel):
    """How much leave there is."""

    days: int = Field(ge=1, le=366, description="days a year")
    region: str = Field(pattern="^[a-z]{2}$")
    places: list[Place] = Field(max_length=2)


SCHEMA = {
    "title": "Leave", "type": "object", "required": ["days"],
    "properties": {"days": {"type": "integer", "minimum": 1}, "until": {"type": "string", "format": "date"}},
}  # fmt: skip
GOOD = {"days": 28, "region": "eu", "places": [{"source": "a.md", "page": 2}]}
BAD = {"days": 400, "region": "Europe", "places": [{"source": ""}]}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def says(emulator: Emulator, *replies: Any, **more: Any) -> None:
    """Let the emulator's next calls give these replies, as text and as a tool's input, the last one for ever."""
    first = len(emulator.requests)

    def nth(request: Any) -> Any:
        return replies[min(len(emulator.requests) - first, len(replies)) - 1]

    def text(request: Any) -> str:
        content = nth(request)
        return content if isinstance(content, str) else json.dumps(content)

    emulator.behaviour = Behaviour(reply=text, tool_input=nth, **more)


def chat(emulator: Emulator, model: str, **more: Any) -> ClaudeBedrock:
    return ClaudeBedrock(model, region="eu-west-1", endpoint_url=emulator.url, aws_access_key_id="test", aws_secret_access_key="test", **more)  # fmt: skip


@MODELS
def test_model_class(emulator: Emulator, model: str) -> None:
    """A model class yields its instance."""
    says(emulator, GOOD)
    leave = structured(chat(emulator, model), Leave).invoke("How much leave?")
    assert leave == Leave(days=28, region="eu", places=[Place(source="a.md", page=2)])
    sent = emulator.requests[-1].params
    assert ("outputConfig" in sent, "toolConfig" in sent) == (model == NATIVE, model == TOOLS)
    assert emulator.problems == []


@MODELS
def test_json_schema(emulator: Emulator, model: str) -> None:
    """A JSON schema yields a dict, for any form of input."""
    says(emulator, {"days": 28})
    runnable = structured(chat(emulator, model), SCHEMA)
    assert runnable.invoke([("system", "Be short."), ("human", "How much?")]) == {"days": 28}
    assert (ChatPromptTemplate.from_messages([("human", "{q}")]) | runnable).invoke({"q": "How much?"}) == {
        "days": 28
    }
    assert runnable.batch(["a", "b"]) == [{"days": 28}] * 2


@MODELS
def test_repair(emulator: Emulator, model: str) -> None:
    """An invalid reply goes back with its problems."""
    says(emulator, BAD, GOOD)
    first = len(emulator.requests)
    result = structured(chat(emulator, model), Leave, include_raw=True).invoke("How much leave?")
    assert result["parsed"].days == 28
    assert result["parsing_error"] is None
    assert len(result["attempts"]) == len(emulator.requests) - first == 2
    sent = emulator.requests[-1].params["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    block = sent[2]["content"][0]
    if model == TOOLS:
        assert block["toolResult"]["status"] == "error"
        assert block["toolResult"]["toolUseId"] == sent[1]["content"][0]["toolUse"]["toolUseId"]
        block = block["toolResult"]["content"][0]
    for line in (
        "$.days: Input should be less than or equal to 366",
        "$.region: String should match",
        "$.places[0].source:",
    ):
        assert line in block["text"]
    tokens = [reply.usage_metadata["total_tokens"] for reply in result["attempts"]]
    assert result["usage"]["total_tokens"] == sum(tokens) > max(tokens)


@MODELS
@pytest.mark.parametrize("repairs", [0, 1, 2])
def test_repair_limit(emulator: Emulator, model: str, repairs: int) -> None:
    """Repairs are limited; the error names the problems."""
    says(emulator, BAD)
    first = len(emulator.requests)
    with pytest.raises(GenerationError, match=r"does not fit the schema Leave: \$\.days: "):
        structured(chat(emulator, model), Leave, repairs=repairs).invoke("?")
    assert len(emulator.requests) - first == repairs + 1
    assert emulator.problems == []
    result = structured(chat(emulator, model), Leave, repairs=repairs, include_raw=True).invoke("?")
    assert result["parsed"] is None
    assert isinstance(result["parsing_error"], GenerationError)


@MODELS
def test_formats(emulator: Emulator, model: str) -> None:
    """All of a JSON schema is checked, including formats."""
    says(emulator, {"days": 0, "until": "soon"}, {"days": 1, "until": "2026-03-01"})
    result = structured(chat(emulator, model), SCHEMA, include_raw=True).invoke("?")
    assert len(result["attempts"]) == 2
    sent = json.dumps(emulator.requests[-1].params["messages"])
    assert "$.days: 0 is less than the minimum of 1" in sent
    assert "$.until: 'soon' is not a 'date'" in sent


@pytest.mark.parametrize("odd", ["", "no JSON", '{"days": 28', '{"days": NaN}', "[1]", "```json\n{}\n```"])
def test_invalid_json(emulator: Emulator, odd: str) -> None:
    """Text that is not JSON is repaired."""
    says(emulator, odd or " ", {"days": 3})
    result = structured(chat(emulator, NATIVE), SCHEMA, include_raw=True).invoke("?")
    assert (result["parsed"], len(result["attempts"])) == ({"days": 3}, 2)
    assert emulator.problems == []


def test_fenced_json(emulator: Emulator) -> None:
    says(emulator, '```json\n{"days": 28}\n```')
    assert structured(chat(emulator, NATIVE), SCHEMA, repairs=0).invoke("?") == {"days": 28}


@MODELS
@pytest.mark.parametrize(
    ("reason", "content"),
    [("max_tokens", "raise max_tokens"), ("model_context_window_exceeded", "send less"), ("content_filtered", "content filter"),
     ("guardrail_intervened", "guardrail")],
)  # fmt: skip
def test_cut_reply(emulator: Emulator, model: str, reason: str, content: str) -> None:
    """A cut or refused reply is neither read nor repaired."""
    says(emulator, GOOD, stop_reason=reason)
    first = len(emulator.requests)
    with pytest.raises(GenerationError, match=content):
        structured(chat(emulator, model), Leave).invoke("?")
    assert len(emulator.requests) - first == 1


def test_sendable(emulator: Emulator) -> None:
    """Unsupported keywords become descriptions, and objects are closed."""
    says(emulator, GOOD)
    structured(chat(emulator, NATIVE), Leave).invoke("?")
    sent = json.loads(
        emulator.requests[-1].params["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
    )
    assert sent["properties"]["days"] == {
        "title": "Days",
        "type": "integer",
        "description": "days a year; maximum: 366; minimum: 1",
    }
    assert sent["properties"]["places"] == {
        "title": "Places",
        "type": "array",
        "items": {"$ref": "#/$defs/Place"},
        "description": "maxItems: 2",
    }
    assert sent["additionalProperties"] is sent["$defs"]["Place"]["additionalProperties"] is False
    assert "pattern" not in sent["properties"]["region"]


class Node(BaseModel):
    """A tree."""

    name: str
    parts: list[Node] = []


class Anything(BaseModel):
    """Values by name."""

    values: dict[str, int]


@pytest.mark.parametrize(
    ("schema", "reply"), [(Node, {"name": "a", "parts": [{"name": "b"}]}), (Anything, {"values": {"x": 1}})]
)
def test_tool_instead(emulator: Emulator, schema: type[BaseModel], reply: Any) -> None:
    """A schema that cannot be sent is requested by a tool."""
    assert sendable(schema.model_json_schema()) is None
    says(emulator, reply)
    assert structured(chat(emulator, NATIVE), schema).invoke("?") == schema.model_validate(reply)
    assert emulator.requests[-1].params["toolConfig"]["toolChoice"] == {"tool": {"name": schema.__name__}}
    assert emulator.problems == []


def test_thinking_model(
    emulator: Emulator,
) -> None:
    """A thinking model is not forced to call, and repaired if it does not."""
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runnable = structured(
            chat(emulator, "anthropic.claude-3-7-sonnet-20250219-v1:0", additional_model_request_fields=thinking, max_tokens=4096),
            Leave, include_raw=True,
        )  # fmt: skip
    says(emulator, "It is 28 days.", GOOD)
    result = runnable.invoke("?")
    assert "toolChoice" not in emulator.requests[-1].params["toolConfig"]
    assert result["parsed"].days == 28
    assert "call the tool Leave" in json.dumps(emulator.requests[-1].params["messages"])


def test_claude_method(emulator: Emulator) -> None:
    says(emulator, BAD, GOOD)
    assert chat(emulator, NATIVE).with_structured_output(Leave).invoke("?").days == 28


def test_wrong_arguments(emulator: Emulator) -> None:
    model = chat(emulator, NATIVE)
    for schema, content in (
        ({"type": "object", "properties": {"a": {"type": "integr"}}}, "is invalid"), ({"type": "array"}, "does not describe an object"),
        (3, "is not a schema"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=content):
            structured(model, schema)
    with pytest.raises(ConfigError, match="repairs is -1"):
        structured(model, Leave, repairs=-1)
    with pytest.raises(ConfigError, match="supports neither tools"):
        structured(FakeListChatModel(responses=["x"]), Leave)


def test_ten_problems() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}
    _, problems = target(schema).check({"a": ["x"] * 30})
    assert len(problems) == 10
    assert problems[-1] == "… and 21 more"


LEAVES = st.sampled_from([
    {"type": "string", "maxLength": 3}, {"type": "integer", "minimum": 1}, {"type": "boolean"}, {"enum": ["a", "b"]},
    {"type": ["string", "null"], "pattern": "^a"}, {"type": "number", "multipleOf": 2}, {},
])  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda part: {"type": "object", "properties": part}),
        inner.map(lambda part: {"type": "array", "items": part, "maxItems": 3}),
        st.lists(inner, min_size=1, max_size=2).map(lambda part: {"oneOf": part}),
    ), max_leaves=6,
)  # fmt: skip


@given(SCHEMAS)
def test_any_sendable(schema: dict[str, Any]) -> None:
    """Any schema sent is closed and has supported keywords only."""

    def look(node: dict[str, Any]) -> None:
        assert not {"maxLength", "minimum", "pattern", "multipleOf", "maxItems", "oneOf"} & set(node)
        if node.get("type") == "object":
            assert node["additionalProperties"] is False
            assert node["properties"]
        for inner in [
            *node.get("properties", {}).values(),
            *node.get("anyOf", []),
            *([node["items"]] if "items" in node else []),
        ]:
            look(inner)

    sent = sendable(schema)
    if sent is None:
        written = json.dumps(schema)
        assert "{}" in written  # something without a shape
    else:
        look(sent)
