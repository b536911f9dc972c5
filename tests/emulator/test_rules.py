"""Rules of Converse that the service model does not state."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from rag.bedrock.runtime.faults import code_of
from rag.emulator import Emulator, rules
from tests.emulator.conftest import CLAUDE, TOOLS, client_of, search_result


def turn(role: str, *blocks: Any) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


CALL = {"toolUse": {"toolUseId": "t1", "name": "leave", "input": {}}}

RESULT = {"toolResult": {"toolUseId": "t1", "content": [{"text": "28"}]}}

HELLO = {"text": "hello"}


def points(*ttls: str | None) -> list[dict[str, Any]]:
    return [{"cachePoint": {"type": "default", **({"ttl": ttl} if ttl else {})}} for ttl in ttls]


@pytest.mark.parametrize(("request_", "expected"), [
    ({"messages": [turn("assistant", HELLO)]}, "must start with a user message"),
    ({"messages": [turn("user", HELLO), turn("user", HELLO)]}, "must alternate between user and assistant"),
    ({"messages": [turn("user", {"text": " \n"})]}, "messages[0].content[0] is blank"),
    ({"messages": []}, "at least one message is required"),
    ({"messages": [turn("user", HELLO, *points(None, None, None, None, None))]}, "5 cachePoint blocks: the maximum is 4"),
    ({"messages": [turn("user", HELLO, *points("1h"))], "system": [HELLO, *points(None)]}, "1h must not come after one of 5m"),
    ({"messages": [turn("user", HELLO), turn("assistant", CALL), turn("user", HELLO)], "toolConfig": TOOLS},
     "Expected toolResult blocks at messages[2].content for the following Ids: t1"),
    ({"messages": [turn("user", RESULT)], "toolConfig": TOOLS}, "toolResult t1 has no toolUse"),
    ({"messages": [turn("user", HELLO), turn("assistant", CALL), turn("user", RESULT)]}, "toolConfig field must be defined"),
    ({"messages": [turn("user", HELLO)], "toolConfig": {**TOOLS, "toolChoice": {"tool": {"name": "x"}}}}, "'x' is not among the tools leave"),
    ({"messages": [turn("user", search_result(), search_result(citations=False))]}, "enabled must be the same"),
    ({"messages": [turn("user", HELLO)], "toolConfig": {**TOOLS, "toolChoice": {"any": {}}},
      "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}, "Thinking may not be enabled"),
])  # fmt: skip
def test_broken_rule_is_refused(client: Any, request_: Any, expected: str) -> None:
    with pytest.raises(ClientError) as refused:
        client.converse(modelId=CLAUDE, **request_)
    assert expected in str(refused.value)
    assert code_of(refused.value) == "ValidationException"


USER = [turn("user", HELLO)]
OLD, CLAUDE_45 = "anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"
PNG = {"image": {"format": "png", "source": {"bytes": b"x"}}}


def document(name: str = "a", data: bytes = b"x") -> dict[str, Any]:
    return {"document": {"format": "txt", "name": name, "source": {"bytes": data}}}


def tool(
    name: str = "leave", *, strict: bool = False, optional: int = 0, type_: Any = "object"
) -> dict[str, Any]:
    schema = {"type": type_, "properties": {f"p{n}": {} for n in range(optional)}}
    return {"toolSpec": {"name": name, "inputSchema": {"json": schema}, "strict": strict}}


def thinking(budget: Any = 2048, kind: str = "enabled", **fields: Any) -> dict[str, Any]:
    return {"additionalModelRequestFields": {"thinking": {"type": kind, "budget_tokens": budget}, **fields}}


def uses(*ids: str) -> dict[str, Any]:
    return turn("assistant", *({"toolUse": {"toolUseId": one, "name": "leave", "input": {}}} for one in ids))


def results(*ids: str) -> dict[str, Any]:
    return turn("user", *({"toolResult": {"toolUseId": one, "content": [{"text": "x"}]}} for one in ids))


#: Requests that break one rule each: what is in them beside a message, and words of the refusal.
BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"modelId": "claude-sonnet-5-5"}, "The provided model identifier is invalid"),
    ({"modelId": "us.claude-sonnet-5-5"}, "The provided model identifier is invalid"),
    ({"modelId": "sonnet"}, "The provided model identifier is invalid"),
    ({"inferenceConfig": {"stopSequences": [" "]}}, "each stop sequence must contain non-whitespace"),
    ({"inferenceConfig": {"stopSequences": ["END", "\n\n"]}}, "each stop sequence must contain non-whitespace"),
    ({"inferenceConfig": {"temperature": 0.5, "topP": 0.9}}, "cannot both be specified"),
    ({"inferenceConfig": {"maxTokens": 4097}, "modelId": OLD}, "exceeds the model limit of 4096"),
    ({"inferenceConfig": {"maxTokens": 64_001}, "modelId": CLAUDE_45}, "exceeds the model limit of 64000"),
    (thinking(1023), "1023 must be greater than or equal to 1024"),
    (thinking(0), "0 must be greater than or equal to 1024"),
    (thinking("many"), "a whole number is required"),
    (thinking(kind="always"), "'always' is not one of enabled, disabled, adaptive"),
    ({**thinking(2048), "inferenceConfig": {"maxTokens": 2048}}, "maxTokens: must be greater than"),
    ({**thinking(4096), "inferenceConfig": {"maxTokens": 2048}}, "maxTokens: must be greater than"),
    ({**thinking(), "inferenceConfig": {"maxTokens": 4096, "temperature": 0.2}}, "may only be set to 1"),
    ({**thinking(kind="adaptive"), "inferenceConfig": {"temperature": 0}}, "may only be set to 1"),
    ({**thinking(), "inferenceConfig": {"maxTokens": 4096, "topP": 0.9}}, "must be at least 0.95"),
    (thinking(top_k=5), "top_k: must be unset"),
    ({**thinking(), "messages": [*USER, turn("assistant", HELLO)]}, "cannot be prefilled"),
    ({"messages": [*USER, turn("assistant", {"text": "It is "})]}, "cannot end with trailing whitespace"),
    ({"messages": [*USER, turn("user", HELLO)]}, "must alternate"),
    ({"messages": [*USER, turn("assistant", HELLO), turn("assistant", HELLO)]}, "must alternate"),
    ({"messages": [turn("user")]}, "is blank"),
    ({"messages": [turn("user", {"text": ""})]}, "is blank"),
    ({"messages": [turn("user", HELLO, {"text": "\t"})]}, "messages[0].content[1] is blank"),
    ({"messages": [turn("user", {"guardContent": {"text": {"text": " "}}})]}, "GuardrailConverseTextBlock"),
    ({"messages": [turn("user", HELLO, search_result(text=" "))]}, "SearchResultContentBlock"),
    ({"system": [{"text": " "}]}, "system[0] is blank"),
    ({"messages": [turn("user", HELLO, *[PNG] * 21)]}, "21 images: the maximum is 20"),
    ({"messages": [turn("user", HELLO, *(document(f"d{n}") for n in range(6)))]}, "6 documents: the maximum is 5"),
    ({"messages": [turn("user", HELLO, document(data=b"x" * 4_718_593))]}, "document of 4718593 bytes"),
    ({"messages": [turn("user", {**PNG, "image": {**PNG["image"], "source": {"bytes": b"x" * 3_932_161}}})]},
     "image of 3932161 bytes"),
    ({"messages": [*USER, turn("assistant", HELLO, PNG), *USER]}, "images are allowed in user messages only"),
    ({"messages": [*USER, turn("assistant", HELLO, document()), *USER]}, "documents are allowed in user messages"),
    ({"messages": [turn("user", document())]}, "a text block is required beside a document"),
    ({"messages": [turn("user", HELLO, document("a.md"))]}, "the document name 'a.md' may only hold"),
    ({"messages": [turn("user", HELLO, document("a  b"))]}, "the document name 'a  b' may only hold"),
    ({"messages": [turn("user", HELLO, document(), document())]}, "two documents are named 'a'"),
    ({"toolConfig": {"tools": [tool(), tool()]}}, "two tools have the same name"),
    ({"toolConfig": {"tools": [tool(), tool("other"), tool()]}}, "two tools have the same name"),
    ({"toolConfig": {"tools": points(None)}}, "at least one tool is required"),
    ({"toolConfig": {"tools": [tool(type_="array")]}}, "tools.0.toolSpec.inputSchema.json.type must be one of"),
    ({"toolConfig": {"tools": [{"toolSpec": {"name": "a", "inputSchema": {"json": {}}}}]}}, "json.type must be one of"),
    ({"toolConfig": {"tools": [tool(f"t{n}", strict=True) for n in range(21)]}}, "21 strict tools: the maximum is 20"),
    ({"toolConfig": {"tools": [tool(f"t{n}", strict=True, optional=5) for n in range(5)]}}, "25 optional parameters"),
    ({"toolConfig": {"tools": [tool()]}, "messages": [*USER, uses("a", "a"), results("a")]}, "ids must be unique"),
    ({"toolConfig": {"tools": [tool()]}, "messages": [*USER, uses("a"), results("a"), uses("a"), results("a")]},
     "ids must be unique"),
    ({"toolConfig": {"tools": [tool()]}, "messages": [*USER, uses("a"), turn("user", HELLO, *results("a")["content"])]},
     "toolResult blocks must come first"),
    ({"additionalModelResponseFieldPaths": ["stop_sequence"]}, "'stop_sequence' is not a JSON Pointer"),
    ({"additionalModelResponseFieldPaths": ["/a~2"]}, "'/a~2' is not a JSON Pointer"),
    ({"guardrailConfig": {"guardrailIdentifier": "abc"}}, "guardrailConfig.guardrailVersion: both"),
    ({"guardrailConfig": {"guardrailVersion": "1"}}, "guardrailConfig.guardrailIdentifier: both"),
    ({**thinking(), "modelId": OLD}, "does not support thinking"),
    ({"modelId": OLD, "messages": [turn("user", HELLO, search_result())]}, "does not support searchResult blocks"),
    ({"modelId": "us.anthropic.claude-opus-4-1-20250805-v1:0", "outputConfig": {"textFormat": {
        "type": "json_schema", "structure": {"jsonSchema": {"schema": '{"type": "string"}'}}}}},
     "does not support structured output"),
    ({"outputConfig": {"effort": "extreme"}}, "'extreme' is not one of low, medium, high, xhigh, max"),
    ({"modelId": "arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ", "system": [HELLO]},
     "system: must not be set with a prompt"),
]  # fmt: skip
#: Requests at the limits of these rules.
SOUND: list[dict[str, Any]] = [
    {"modelId": "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"},
    {"modelId": "amazon.nova-lite-v1:0", "inferenceConfig": {"stopSequences": ["\n"], "temperature": 1, "topP": 1}},
    {"modelId": OLD, "inferenceConfig": {"temperature": 0.5, "topP": 0.9, "maxTokens": 4096}},
    {**thinking(1024), "inferenceConfig": {"maxTokens": 1025, "temperature": 1}},
    {**thinking(1024), "inferenceConfig": {"maxTokens": 1025, "topP": 0.95}},
    {**thinking(8192, anthropic_beta=["interleaved-thinking-2025-05-14"]), "inferenceConfig": {"maxTokens": 2048}},
    {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}, "inferenceConfig": {"temperature": 0.1}},
    {"additionalModelRequestFields": {"thinking": {"type": "adaptive"}}, "outputConfig": {"effort": "max"}},
    {"messages": [turn("user", HELLO, *[PNG] * 20)]},
    {"messages": [turn("user", HELLO, *(document(f"d {n} (a)[b]-c") for n in range(5)))]},
    {"messages": [*USER, turn("assistant", {"text": "It is"})]},
    {"messages": [*USER, uses("a", "b"), turn("user", *results("a", "b")["content"], HELLO)],
     "toolConfig": {"tools": [tool()]}},
    {"toolConfig": {"tools": [tool(f"t{n}", strict=True, optional=1) for n in range(20)]}},
    {"toolConfig": {"tools": [tool(f"t{n}") for n in range(200)]}},
    {"additionalModelResponseFieldPaths": ["/stop_sequence", "/a~1b/0"]},
]  # fmt: skip


@pytest.mark.parametrize(("options", "expected"), BROKEN, ids=range(len(BROKEN)))
def test_each_rule_is_enforced_alone(options: dict[str, Any], expected: str) -> None:
    (line,) = list(rules.broken({"modelId": CLAUDE, "messages": USER, **options}))
    assert expected in line


@pytest.mark.parametrize("options", SOUND, ids=range(len(SOUND)))
def test_what_is_just_within_the_rules_is_answered(
    client: Any, emulator: Emulator, options: dict[str, Any]
) -> None:
    client.converse(**{"modelId": CLAUDE, "messages": USER, **options})
    assert emulator.problems == []


@pytest.mark.parametrize("model", ["titan-embed-text-v2:0", "embed-v4", "us.titan-embed"])
def test_an_id_without_a_provider_is_invalid_for_every_operation(client: Any, model: str) -> None:
    with pytest.raises(ClientError, match="The provided model identifier is invalid"):
        client.invoke_model(modelId=model, body=b'{"inputText": "x"}')
    with pytest.raises(ClientError, match="The provided model identifier is invalid"):
        client.converse(modelId=model, messages=USER)


@pytest.mark.parametrize("kind", ["JSON", "TEXT"])
def test_a_source_to_rerank_is_of_the_type_that_it_names(emulator: Emulator, kind: str) -> None:
    other = {"jsonDocument": {"a": 1}} if kind == "TEXT" else {"textDocument": {"text": "x"}}
    model = {"modelArn": "arn:aws:bedrock:us-west-2::foundation-model/amazon.rerank-v1:0"}
    with pytest.raises(ClientError, match=rf"sources\[0\].*type {kind} needs"):
        client_of(emulator, "bedrock-agent-runtime").rerank(
            queries=[{"type": "TEXT", "textQuery": {"text": "x"}}],
            sources=[{"type": "INLINE", "inlineDocumentSource": {"type": kind, **other}}],
            rerankingConfiguration={
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {"modelConfiguration": model},
            },
        )


@pytest.mark.parametrize("operation", ["converse", "converse_stream", "count_tokens"])
def test_every_operation_with_a_prompt_has_the_rules(client: Any, operation: str) -> None:
    prompt = {"messages": [turn("user", {"text": " "})]}
    given = {"input": {"converse": prompt}} if operation == "count_tokens" else prompt
    with pytest.raises(ClientError, match="is blank"):
        getattr(client, operation)(modelId=CLAUDE, **given)


def test_valid_conversation_with_tools_and_cache_points(client: Any) -> None:
    messages = [
        turn("user", HELLO, *points("1h")),
        turn("assistant", CALL),
        turn("user", RESULT, HELLO, *points("5m")),
    ]
    client.converse(
        modelId=CLAUDE, messages=messages, toolConfig=TOOLS, system=[{"text": "a"}, *points("1h")],
        requestMetadata={"tag": "x"}, performanceConfig={"latency": "standard"}, serviceTier={"type": "default"},
    )  # fmt: skip
