"""Rules of Converse requests that Bedrock enforces and its service model does not state.

Sources: Amazon Bedrock User Guide, "Prompt caching" (cache points), "Use the Converse API" (roles, tools)
and "Get validated JSON results" (schemas); Anthropic's "Search results" (citations for all or none). The
messages follow Bedrock's wording where it is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rag.emulator.caching import prompt_blocks

MAX_CACHE_POINTS = 4
#: Keywords of JSON Schema that structured output does not support.
UNSUPPORTED_KEYWORDS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip


def broken(params: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line per rule that a request breaks; the request fits the service model."""
    messages = params.get("messages", [])
    if not messages and ":prompt/" not in str(params.get("modelId", "")):
        yield "messages: at least one message is required"
    yield from _roles(messages)
    yield from _blank_texts(params)
    yield from _tools(params, messages)
    yield from _cache_points(params)
    yield from _citations(params)
    yield from _schema(params)


def _roles(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if messages and messages[0]["role"] != "user":
        yield "messages[0].role: a conversation must start with a user message"
    for number, (before, message) in enumerate(pairwise(messages), 1):
        if before["role"] == message["role"]:
            yield f"messages[{number}].role: a conversation must alternate between user and assistant roles"


def _blank_texts(params: Mapping[str, Any]) -> Iterator[str]:
    for place, blocks in _places(params):
        for number, block in enumerate(blocks):
            if isinstance(block.get("text"), str) and not block["text"].strip():
                yield f"The text field in the ContentBlock object at {place}[{number}] is blank"


def _places(params: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
    yield "system", params.get("system", ())
    for number, message in enumerate(params.get("messages", ())):
        yield f"messages[{number}].content", message["content"]
        if not message["content"]:
            yield f"messages[{number}].content", [{"text": ""}]


def _tools(params: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    config = params.get("toolConfig", {})
    names = [tool["toolSpec"]["name"] for tool in config.get("tools", ()) if "toolSpec" in tool]
    choice = config.get("toolChoice", {})
    chosen = choice.get("tool", {}).get("name")
    if chosen is not None and chosen not in names:
        yield f"toolConfig.toolChoice.tool.name: {chosen!r} is not among the tools {', '.join(names)}"
    if len(set(names)) < len(names):
        yield "toolConfig.tools: two tools have the same name"
    thinking = params.get("additionalModelRequestFields") or {}
    thinks = isinstance(thinking, Mapping) and (thinking.get("thinking") or {}).get("type") == "enabled"
    if thinks and ("any" in choice or "tool" in choice):
        yield "toolConfig.toolChoice: Thinking may not be enabled when tool_choice forces tool use"
    used = False
    open_calls: set[str] = set()
    for number, message in enumerate(messages):
        calls = {block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block}
        results = {block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block}
        used = used or bool(calls or results)
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
