"""Rules of Converse requests that Bedrock enforces and its service model does not state.

Sources: Amazon Bedrock User Guide, "Prompt caching" (cache points), "Use the Converse API" (roles, tools)
and "Get validated JSON results" (schemas); Anthropic's "Search results" (citations for all or none). Rules
from the texts of botocore 1.44.5's service model say of which shape. The messages follow Bedrock's wording
where it is known. Rules of blocks are in `rag.emulator.block_rules`, those of Claude alone in
`rag.emulator.claude_rules`, those of guardrails in `rag.emulator.guardrails.guardrail_rules`. No limit of
the number of tools is documented, but of strict ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rag.emulator import block_rules, claude_rules, control_rules
from rag.emulator.caching import prompt_blocks
from rag.emulator.guardrails import guardrail_rules
from rag.usage import model_ids

MAX_CACHE_POINTS = 4
#: OutputConfig of botocore's model, in its text.
EFFORTS = ("low", "medium", "high", "xhigh", "max")
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
#: Keywords of JSON Schema that structured output does not support.
UNSUPPORTED_KEYWORDS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip


def of_operation(operation: str, params: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line per rule that a request of an operation breaks."""
    for prompt in _prompts(operation, params):
        yield from broken(prompt)
    if operation.startswith("InvokeModel"):
        yield from _model_id(str(params["modelId"]))
    if operation in ("CreateGuardrail", "UpdateGuardrail"):
        yield from guardrail_rules.broken(params)
    yield from control_rules.broken(operation, params)


def _prompts(operation: str, params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the request that the rules are about: that of Converse, or the one whose tokens are counted."""
    if operation in ("Converse", "ConverseStream"):
        yield params
    elif operation == "CountTokens" and "converse" in params["input"]:
        yield {**params["input"]["converse"], "modelId": params["modelId"]}


def broken(params: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line per rule that a request breaks; the request fits the service model."""
    messages = params.get("messages", [])
    yield from _model_id(str(params.get("modelId", "")))
    if not messages and ":prompt/" not in str(params.get("modelId", "")):
        yield "messages: at least one message is required"
    yield from _roles(messages)
    yield from block_rules.broken(messages, params.get("system", ()))
    yield from _tools(params, messages)
    yield from _cache_points(params)
    yield from _citations(params)
    yield from _schema(params)
    yield from _options(params)
    if "anthropic." in str(params.get("modelId", "")):
        yield from claude_rules.broken(params)


def _model_id(model: str) -> Iterator[str]:
    # "Supported foundation models": an ARN, or provider.name with or without a profile's prefix.
    if not model.startswith("arn:") and "." not in model_ids.split(model)[1]:
        yield "modelId: The provided model identifier is invalid."


def _options(params: Mapping[str, Any]) -> Iterator[str]:
    model = str(params.get("modelId", ""))
    if ":prompt/" in model:  # API reference of Converse, modelId
        for name in ("additionalModelRequestFields", "inferenceConfig", "system", "toolConfig"):
            if name in params:
                yield f"{name}: must not be set with a prompt of Prompt management"
    for path in params.get("additionalModelResponseFieldPaths", ()):  # ConverseRequest: RFC 6901
        if not _POINTER.fullmatch(path):
            yield f"additionalModelResponseFieldPaths: {path!r} is not a JSON Pointer"
    guardrail = params.get("guardrailConfig")
    if guardrail is not None:  # User Guide, "Include a guardrail with the Converse API"
        for name in ("guardrailIdentifier", "guardrailVersion"):
            if not guardrail.get(name):
                yield f"guardrailConfig.{name}: both guardrailIdentifier and guardrailVersion are required"
    effort = params.get("outputConfig", {}).get("effort")
    if effort is not None and effort not in EFFORTS:  # OutputConfig
        yield f"outputConfig.effort: {effort!r} is not one of {', '.join(EFFORTS)}"


def _roles(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    # A system message changes the tools in mid-conversation (ToolAdditionBlock); it is no turn.
    messages = [message for message in messages if message["role"] != "system"]
    if messages and messages[0]["role"] != "user":
        yield "messages[0].role: a conversation must start with a user message"
    for number, (before, message) in enumerate(pairwise(messages), 1):
        if before["role"] == message["role"]:
            yield f"messages[{number}].role: a conversation must alternate between user and assistant roles"


def _tools(params: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    config = params.get("toolConfig", {})
    names = [tool["toolSpec"]["name"] for tool in config.get("tools", ()) if "toolSpec" in tool]
    choice = config.get("toolChoice", {})
    chosen = choice.get("tool", {}).get("name")
    if chosen is not None and chosen not in names:
        yield f"toolConfig.toolChoice.tool.name: {chosen!r} is not among the tools {', '.join(names)}"
    if len(set(names)) < len(names):
        yield "toolConfig.tools: two tools have the same name"
    if "tools" in config and all("cachePoint" in tool for tool in config["tools"]):
        yield "toolConfig.tools: at least one tool is required beside a cachePoint"
    for number, tool in enumerate(config.get("tools", ())):
        schema = tool.get("toolSpec", {}).get("inputSchema", {}).get("json", {"type": "object"})
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            yield (
                f"The value at toolConfig.tools.{number}.toolSpec.inputSchema.json.type must be one of the "
                "following: object."
            )
    used, seen = False, set[str]()
    open_calls: set[str] = set()
    for number, message in enumerate(messages):
        asked = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        calls = set(asked)
        results = {block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block}
        used = used or bool(calls or results)
        if len(calls) < len(asked) or seen & calls:
            yield f"messages[{number}].content: toolUse ids must be unique"
        seen |= calls
        for missing in sorted(open_calls - results):
            yield f"Expected toolResult blocks at messages[{number}].content for the following Ids: {missing}"
        for unknown in sorted(results - open_calls):
            yield f"messages[{number}].content: toolResult {unknown} has no toolUse in the previous turn"
        open_calls = calls
    if used and "toolConfig" not in params:
        yield "The toolConfig field must be defined when using toolUse and toolResult content blocks"


def _cache_points(params: Mapping[str, Any]) -> Iterator[str]:
    ttls = [block["cachePoint"].get("ttl", "5m") for block in prompt_blocks(params) if "cachePoint" in block]
    if len(ttls) > MAX_CACHE_POINTS:
        yield f"{len(ttls)} cachePoint blocks: the maximum is {MAX_CACHE_POINTS}"
    if "5m" in ttls and "1h" in ttls[ttls.index("5m") :]:
        yield "cachePoint: a ttl of 1h must not come after one of 5m (tools, system, messages)"


def _citations(params: Mapping[str, Any]) -> Iterator[str]:
    if len({result.get("citations", {}).get("enabled", False) for result in search_results(params)}) > 1:
        yield "searchResult.citations: enabled must be the same in all search results of a request"


def search_results(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the search results of a prompt in index order, including those in tool results."""
    for block in prompt_blocks(params):
        inner = block["toolResult"]["content"] if "toolResult" in block else [block]
        yield from (part["searchResult"] for part in inner if "searchResult" in part)


def _schema(params: Mapping[str, Any]) -> Iterator[str]:
    text = output_schema(params)
    if text is None:
        return
    try:
        schema = json.loads(text)
    except ValueError as error:
        yield f"outputConfig.textFormat.structure.jsonSchema.schema: not JSON: {error}"
        return
    yield from _strict(schema, "#")


def output_schema(params: Mapping[str, Any]) -> str | None:
    """Return the JSON schema of a structured reply, as the request has it."""
    structure = params.get("outputConfig", {}).get("textFormat", {}).get("structure", {})
    schema: str | None = structure.get("jsonSchema", {}).get("schema")
    return schema


def _strict(schema: Any, path: str) -> Iterator[str]:
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from _strict(part, f"{path}/{number}")
    if not isinstance(schema, Mapping):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield f"output schema {path}: 'additionalProperties' of an object must be false"
    for name, part in schema.items():
        if name in UNSUPPORTED_KEYWORDS and not path.endswith("/properties"):
            yield f"output schema {path}: property '{name}' is not supported"
        elif name not in ("enum", "const", "default", "examples"):
            yield from _strict(part, f"{path}/{name}")
