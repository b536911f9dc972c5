"""Converse, ConverseStream and CountTokens, through unmodified boto3."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rag.bedrock.runtime.faults import code_of
from rag.emulator import Emulator
from rag.usage.tokens import estimate_tokens
from tests.emulator.conftest import (
    CLAUDE,
    LEAVE,
    QUESTION,
    SCHEMA,
    TOOLS,
    prompt,
    search_result,
    streamed,
    text_of,
    user,
)


def test_quotes_the_documents_of_rags_prompt(client: Any) -> None:
    documents = ("Backups run every night at two.", LEAVE)
    reply = client.converse(modelId=CLAUDE, messages=user(prompt(QUESTION, *documents)))
    assert text_of(reply) == f'{LEAVE}<cite doc="2">{LEAVE}</cite>'
    assert reply["stopReason"] == "end_turn"
    usage = reply["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert usage["outputTokens"] == estimate_tokens(text_of(reply), CLAUDE)


@pytest.mark.parametrize("blocks", [
    ["Backups run every night at two.\n\n" + LEAVE + "\n\n" + QUESTION],
    [{"guardContent": {"text": {"text": LEAVE, "qualifiers": ["grounding_source"]}}},
     {"guardContent": {"text": {"text": QUESTION, "qualifiers": ["query"]}}}],
    [{"document": {"name": "leave", "format": "txt", "source": {"bytes": LEAVE.encode()}}}, QUESTION],
    [search_result(citations=False), QUESTION],
])  # fmt: skip
def test_reads_every_form_of_prompt_without_adding_tags(client: Any, blocks: Any) -> None:
    assert text_of(client.converse(modelId=CLAUDE, messages=user(*blocks))) == LEAVE


def test_cites_search_results_natively(client: Any) -> None:
    messages = user(search_result("Backups run every night at two."), search_result(), QUESTION)
    (block,) = client.converse(modelId=CLAUDE, messages=messages)["output"]["message"]["content"]
    cited = block["citationsContent"]
    assert cited["content"] == [{"text": LEAVE}]
    assert cited["citations"] == [{
        "title": "Leave", "source": "leave.md", "sourceContent": [{"text": LEAVE}],
        "location": {"searchResultLocation": {"searchResultIndex": 1, "start": 1, "end": 2}},
    }]  # fmt: skip
    events = streamed(client, messages=messages)
    deltas = [body["delta"] for kind, body in events if kind == "contentBlockDelta"]
    assert "".join(delta.get("text", "") for delta in deltas) == LEAVE
    assert deltas[-1] == {"citation": cited["citations"][0]}
    assert {body["contentBlockIndex"] for kind, body in events if "Block" in kind} == {0}


def test_set_reply_gets_native_citations_with_search_results(emulator: Emulator, client: Any) -> None:
    emulator.behaviour.reply = 'Europe: 28.<cite doc="1">28 days</cite> No more.<cite doc="9">x</cite>'
    assert text_of(client.converse(modelId=CLAUDE, messages=user(QUESTION))) == emulator.behaviour.reply
    content = client.converse(modelId=CLAUDE, messages=user(search_result(), QUESTION))["output"]["message"][
        "content"
    ]
    assert [next(iter(block)) for block in content] == ["citationsContent", "text"]
    assert content[1]["text"] == " No more."


def test_callable_reply(emulator: Emulator, client: Any) -> None:
    replies = iter(["one", "two"])
    emulator.behaviour.reply = lambda request: next(replies)
    assert [text_of(client.converse(modelId=CLAUDE, messages=user("a"))) for _ in range(2)] == ["one", "two"]


def test_stream_equals_reply(client: Any) -> None:
    messages = user(prompt(QUESTION, LEAVE))
    whole = client.converse(modelId=CLAUDE, messages=messages)
    events = streamed(client, messages=messages)
    kinds = [kind for kind, _ in events]
    assert kinds[0] == "messageStart" and kinds[-3:] == ["contentBlockStop", "messageStop", "metadata"]
    assert kinds.count("contentBlockDelta") > 8
    text = "".join(body["delta"]["text"] for kind, body in events if kind == "contentBlockDelta")
    assert text == text_of(whole)
    assert events[-1][1]["usage"] == whole["usage"]


def test_max_tokens_and_stop_sequences_end_a_reply(emulator: Emulator, client: Any) -> None:
    emulator.behaviour.reply = "one two three four five six seven eight nine ten"
    cut = client.converse(modelId=CLAUDE, messages=user("a"), inferenceConfig={"maxTokens": 5})
    assert cut["stopReason"] == "max_tokens"
    assert emulator.behaviour.reply.startswith(text_of(cut))
    assert 1 <= cut["usage"]["outputTokens"] <= 5
    stopped = client.converse(
        modelId=CLAUDE, messages=user("a"), inferenceConfig={"stopSequences": ["seven", " four"]},
        additionalModelResponseFieldPaths=["/stop_sequence"],
    )  # fmt: skip
    assert (text_of(stopped), stopped["stopReason"]) == ("one two three", "stop_sequence")
    assert stopped["additionalModelResponseFields"] == {"stop_sequence": " four"}
    emulator.behaviour.stop_reason = "model_context_window_exceeded"
    assert streamed(client)[-2][1]["stopReason"] == "model_context_window_exceeded"


def test_tools_are_called_when_forced_or_named(emulator: Emulator, client: Any) -> None:
    for more, text in (
        ({"toolChoice": {"any": {}}}, "a"),
        ({"toolChoice": {"tool": {"name": "leave"}}}, "a"),
        ({}, "Call the tool leave"),
    ):
        reply = client.converse(modelId=CLAUDE, messages=user(text), toolConfig={**TOOLS, **more})
        use = reply["output"]["message"]["content"][0]["toolUse"]
        assert (use["name"], use["input"], reply["stopReason"]) == (
            "leave",
            {"days": 1, "region": "eu"},
            "tool_use",
        )
    emulator.behaviour.tool_input = {"days": "many"}
    events = streamed(client, toolConfig={**TOOLS, "toolChoice": {"any": {}}})
    start = next(body["start"]["toolUse"] for kind, body in events if kind == "contentBlockStart")
    parts = [body["delta"]["toolUse"]["input"] for kind, body in events if kind == "contentBlockDelta"]
    assert (start["name"], len(parts), json.loads("".join(parts))) == ("leave", 2, {"days": "many"})
    assert (
        text_of(client.converse(modelId=CLAUDE, messages=user(LEAVE + "\n\n" + QUESTION), toolConfig=TOOLS))
        == LEAVE
    )


def test_structured_output(emulator: Emulator, client: Any) -> None:
    def answer(schema: Any) -> Any:
        structure = {"jsonSchema": {"schema": json.dumps(schema), "name": "leave"}}
        config = {"textFormat": {"type": "json_schema", "structure": structure}}
        return json.loads(text_of(client.converse(modelId=CLAUDE, messages=user("a"), outputConfig=config)))

    assert answer(SCHEMA) == {"days": 1, "region": "eu"}
    emulator.behaviour.reply = '{"days": "many"}'
    assert answer(SCHEMA) == {"days": "many"}
    with pytest.raises(ClientError, match="'additionalProperties' of an object must be false"):
        answer({"type": "object", "properties": {}})
    with pytest.raises(ClientError, match="'minimum' is not supported"):
        answer({"type": "integer", "minimum": 3})


def test_prompt_above_the_context_window_is_refused(client: Any) -> None:
    haiku = "anthropic.claude-haiku-4-5-20251001-v1:0"  # takes 200,000 tokens
    with pytest.raises(ClientError, match="Input is too long for requested model") as refused:
        client.converse(modelId=haiku, messages=user("leave " * 250_000))
    assert code_of(refused.value) == "ValidationException"
    assert client.converse(modelId=haiku, messages=user("leave " * 100_000))["usage"]["inputTokens"] > 90_000


@pytest.mark.parametrize("system", ["Begin with `<no_answer/>` if it is nowhere.", "Be brief."])
def test_no_answer_is_marked_if_the_prompt_defines_the_mark(client: Any, system: str) -> None:
    reply = client.converse(modelId=CLAUDE, system=[{"text": system}], messages=user(QUESTION))
    assert text_of(reply).startswith("<no_answer/>") == ("<no_answer/>" in system)


def test_count_tokens_equals_converse_usage(client: Any) -> None:
    messages, system = user(prompt(QUESTION, LEAVE)), [{"text": "Be brief."}]
    billed = client.converse(modelId=CLAUDE, messages=messages, system=system)["usage"]["inputTokens"]
    counted = client.count_tokens(
        modelId=CLAUDE, input={"converse": {"messages": messages, "system": system}}
    )
    assert counted["inputTokens"] == billed
    body = json.dumps({"messages": [{"role": "user", "content": "one two three"}]})
    assert (
        3 <= client.count_tokens(modelId=CLAUDE, input={"invokeModel": {"body": body}})["inputTokens"] <= 30
    )
