"""A record of a batch job is the request of a call on demand, and its reply is read as one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

import rag
from rag.core.errors import ConfigError, GenerationError
from rag.emulator import Emulator
from rag.emulator.job_records import answered
from rag.generation.reply import parts
from tests.bedrock.claude_calls import HAIKU_3, SONNET, claude, lookup, streamed
from tests.bedrock.golden_requests import EARLIER, HAIKU_4_5, asked


def body(emulator: Emulator) -> dict[str, Any]:
    """The body of the last request."""
    assert emulator.problems == []
    return dict(json.loads(emulator.requests[-1].body))


OPTIONS: list[dict[str, Any]] = [
    {}, {"model": HAIKU_4_5, "temperature": 0.2, "max_tokens": 77, "stop_sequences": ["END"]},
    {"request_metadata": {"team": "hr"}, "system": ["Be brief."]}, {"guardrail": "gr1a2b3c:2"},
    {"additional_model_request_fields": {"top_k": 5}, "citations": "text"}, {"model": HAIKU_3},
]  # fmt: skip


@pytest.mark.parametrize("form", ["text", "search_results", "guarded"])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(options) or "default")
def test_a_record_is_the_body_of_a_request_on_demand(
    emulator: Emulator, form: str, options: Mapping[str, Any]
) -> None:
    model = rag.ClaudeBedrock(**options)
    if form == "search_results" and options.get("model") == HAIKU_3:
        pytest.skip("this model takes no search results")
    messages = asked(form)
    list(model.stream(messages))
    on_demand = body(emulator)
    on_demand.get("guardrailConfig", {}).pop("streamProcessingMode", None)  # of streams alone
    assert model.batch_record(messages) == on_demand


def test_options_that_are_bound_are_part_of_the_record(emulator: Emulator) -> None:
    messages = [*asked()[:1], *EARLIER]
    model = claude(HAIKU_4_5)
    bound: Any = model.bind_tools([lookup]).bind(temperature=0.5)
    bound.invoke(messages)
    assert model.batch_record(messages, **bound.kwargs) == body(emulator)


def test_cache_points_and_the_service_tier_are_left_out(emulator: Emulator) -> None:
    plain = claude().batch_record(asked())
    point = {"cachePoint": {"type": "default"}}
    model = rag.ClaudeBedrock(prompt_cache="1h", cache_minimum=0, service_tier="flex", performance_config={"latency": "standard"})  # fmt: skip
    assert model.batch_record(asked()) == plain
    system, user = asked()
    messages = [
        SystemMessage([{"type": "text", "text": system.content}, point], additional_kwargs=system.additional_kwargs),
        HumanMessage([{"type": "text", "text": user.content}, point]),
    ]  # fmt: skip
    assert claude().batch_record(messages) == plain
    tools: Any = claude().bind_tools([lookup])
    with_point = claude().batch_record(asked(), tools=[*tools.kwargs["tools"], point])
    assert with_point == {**plain, "toolConfig": claude().batch_record(asked(), **tools.kwargs)["toolConfig"]}


def test_an_image_is_base64_as_on_the_wire(emulator: Emulator) -> None:
    data = "iVBORw0KGgo="
    image = {"type": "image", "source_type": "base64", "mime_type": "image/png", "data": data}
    messages = [HumanMessage([{"type": "text", "text": "What is it?"}, image])]
    record = claude().batch_record(messages)
    assert record["messages"][0]["content"][1]["image"] == {"format": "png", "source": {"bytes": data}}
    list(claude().stream(messages))
    assert record == body(emulator)


@pytest.mark.parametrize("form", ["text", "search_results", "guarded"])
def test_a_reply_is_read_as_a_stream_is(emulator: Emulator, form: str) -> None:
    model = claude(guardrail="gr1a2b3c:2") if form == "guarded" else claude()
    output, read, written = answered(emulator, "Converse", SONNET, model.batch_record(asked(form)))
    message, on_demand = model.batch_reply(json.loads(json.dumps(output))), streamed(model, asked(form))
    assert list(parts(message)) == list(parts(on_demand)) and isinstance(message, AIMessage)
    assert message.usage_metadata == on_demand.usage_metadata
    assert (output["usage"]["inputTokens"], output["usage"]["outputTokens"]) == (read, written)
    told, expected = message.response_metadata, dict(on_demand.response_metadata)
    del expected["ResponseMetadata"]
    assert {name: told[name] for name in told if name != "metrics"} == {
        name: expected[name] for name in expected if name != "metrics"
    }


def output(*content: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}
    message = {"role": "assistant", "content": list(content)}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, **more}


def test_thoughts_and_tool_calls_of_a_reply_are_kept(emulator: Emulator) -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s1"}}}
    hidden = {"reasoningContent": {"redactedContent": "aGlkZGVu"}}
    call = {"toolUse": {"toolUseId": "t1", "name": "lookup", "input": {"place": "EU"}}}
    message: Any = claude().batch_reply(
        output(thought, hidden, {"text": "28 days."}, call, stopReason="tool_use")
    )
    assert message.text == "28 days."
    assert message.tool_calls == [
        {"name": "lookup", "args": {"place": "EU"}, "id": "t1", "type": "tool_call"}
    ]
    assert message.content[0]["reasoning_content"] == {"text": "Hm.", "signature": "s1"}
    assert message.response_metadata["stopReason"] == "tool_use"


@pytest.mark.parametrize(
    "wrong", [{}, {"output": {}}, output("text"), {**output(), "stopReason": None}, {"output": "x", "stopReason": "y"}],
    ids=["empty", "no message", "text", "no reason", "string"],
)  # fmt: skip
def test_what_is_no_reply_is_an_error(emulator: Emulator, wrong: Any) -> None:
    with pytest.raises(GenerationError, match="a batch job's output is no reply"):
        claude().batch_reply(wrong)


def test_a_guardrail_without_a_trace_has_no_records(emulator: Emulator) -> None:
    hidden = {"guardrailIdentifier": "gr1a2b3c", "guardrailVersion": "2", "trace": "disabled"}
    with pytest.raises(ConfigError, match="only the guardrail's trace shows that a reply was checked"):
        rag.ClaudeBedrock(guardrail=hidden).batch_record(asked())
