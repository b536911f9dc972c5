"""Rules of Converse requests that hold for Claude alone.

Sources: Anthropic's "Extended thinking" (budgets; no forced tools; temperature, top_p and top_k), "Messages
API" (stop sequences, prefilled replies), "Tool use" (results first), "Structured outputs" (limits of strict
tools) and "Models overview" (most output tokens); Amazon Bedrock User Guide, "Anthropic Claude Messages API"
(temperature or top_p, from Opus 4.1 and the 4.5 models on; read November 2026).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MIN_THINKING, MIN_THINKING_TOP_P = 1024, 0.95
MAX_STRICT_TOOLS, MAX_OPTIONAL_PARAMETERS = 20, 24
#: Beta with which a budget may exceed the most tokens of a reply.
_INTERLEAVED = "interleaved-thinking"
#: The models that take temperature and top_p together.
_BOTH = re.compile(r"claude-(?:v\d|instant|3|(?:sonnet|opus)-4-2025)")
#: The models before extended thinking ("Extended thinking": from 3.7 on), before search results
#: (SearchResultBlock in botocore's model), and before structured output (User Guide, "Get validated JSON
#: results from models": from 4.5 on).
_NO_THINKING = re.compile(r"claude-(?:v\d|instant|3-(?:haiku|sonnet|opus|5))")
_NO_SEARCH_RESULTS = re.compile(r"claude-(?:v\d|instant|3-(?:haiku|sonnet|opus|5-sonnet))")
_NO_SCHEMAS = re.compile(rf"{_BOTH.pattern}|claude-opus-4-1")
#: Most tokens of a reply. Those of later models are not known here, and not checked.
_MOST_OUTPUT = (
    ("claude-3-haiku", 4_096), ("claude-3-opus", 4_096), ("claude-3-sonnet", 4_096),
    ("claude-3-5-", 8_192), ("claude-sonnet-4-2", 64_000), ("claude-opus-4-2", 32_000),
    ("claude-opus-4-1", 32_000), ("claude-sonnet-4-5", 64_000), ("claude-haiku-4-5", 64_000),
    ("claude-opus-4-5", 64_000),
)  # fmt: skip


def broken(params: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line per rule that a request to Claude breaks; it fits the service model."""
    model, config = str(params["modelId"]), params.get("inferenceConfig", {})
    fields = params.get("additionalModelRequestFields")
    fields = fields if isinstance(fields, Mapping) else {}
    for sequence in config.get("stopSequences", ()):
        if not sequence.strip():
            yield "inferenceConfig.stopSequences: each stop sequence must contain non-whitespace"
    most = next((most for name, most in _MOST_OUTPUT if name in model), None)
    if most is not None and config.get("maxTokens", 0) > most:
        yield (
            f"The maximum tokens you requested exceeds the model limit of {most}. Try again with a maximum "
            f"tokens value that is lower than {most}."
        )
    if "temperature" in config and "topP" in config and not _BOTH.search(model):
        yield "inferenceConfig: `temperature` and `top_p` cannot both be specified for this model"
    if _NO_SCHEMAS.search(model) and "textFormat" in params.get("outputConfig", {}):
        yield "outputConfig.textFormat: this model does not support structured output"
    if _NO_SEARCH_RESULTS.search(model) and any(
        "searchResult" in block for message in params.get("messages", ()) for block in message["content"]
    ):
        yield "messages: this model does not support searchResult blocks"
    yield from _thinking(params, config, fields)
    yield from _strict_tools(params)
    yield from _messages(params.get("messages", ()))


def _thinking(
    params: Mapping[str, Any], config: Mapping[str, Any], fields: Mapping[str, Any]
) -> Iterator[str]:
    thinking = fields.get("thinking", fields.get("reasoning_config"))
    if thinking is None:
        return
    at = "additionalModelRequestFields.thinking"
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    if kind not in ("enabled", "disabled", "adaptive"):
        yield f"{at}.type: {kind!r} is not one of enabled, disabled, adaptive"
        return
    if kind == "disabled":
        return
    if _NO_THINKING.search(str(params["modelId"])):
        yield f"{at}: this model does not support thinking"
        return
    choice = params.get("toolConfig", {}).get("toolChoice", {})
    if "any" in choice or "tool" in choice:
        yield "toolConfig.toolChoice: Thinking may not be enabled when tool_choice forces tool use"
    if config.get("temperature", 1) != 1:
        yield "inferenceConfig.temperature: may only be set to 1 when thinking is enabled"
    if config.get("topP", 1) < MIN_THINKING_TOP_P:
        yield f"inferenceConfig.topP: must be at least {MIN_THINKING_TOP_P} when thinking is enabled"
    if "top_k" in fields:
        yield "additionalModelRequestFields.top_k: must be unset when thinking is enabled"
    messages = params.get("messages") or [{"role": "user"}]
    if messages[-1]["role"] == "assistant":
        yield "messages: a reply cannot be prefilled when thinking is enabled"
    if kind == "adaptive":
        return
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or isinstance(budget, bool):
        yield f"{at}.budget_tokens: a whole number is required when thinking is enabled"
        return
    if budget < MIN_THINKING:
        yield f"{at}.budget_tokens: {budget} must be greater than or equal to {MIN_THINKING}"
    betas = fields.get("anthropic_beta") or ()
    interleaved = any(str(beta).startswith(_INTERLEAVED) for beta in betas)
    if budget >= config.get("maxTokens", budget + 1) and not interleaved:
        yield f"inferenceConfig.maxTokens: must be greater than {at}.budget_tokens ({budget})"


def _strict_tools(params: Mapping[str, Any]) -> Iterator[str]:
    specs = [tool.get("toolSpec", {}) for tool in params.get("toolConfig", {}).get("tools", ())]
    schemas = [spec["inputSchema"].get("json", {}) for spec in specs if spec.get("strict")]
    if len(schemas) > MAX_STRICT_TOOLS:
        yield f"toolConfig.tools: {len(schemas)} strict tools: the maximum is {MAX_STRICT_TOOLS}"
    optional = sum(
        len(set(schema.get("properties", ())) - set(schema.get("required", ()))) for schema in schemas
    )
    if optional > MAX_OPTIONAL_PARAMETERS:
        yield (
            f"toolConfig.tools: {optional} optional parameters in strict tools: the maximum is "
            f"{MAX_OPTIONAL_PARAMETERS}"
        )


def _messages(messages: Any) -> Iterator[str]:
    for number, message in enumerate(messages):
        kinds = ["toolResult" in block for block in message["content"]]
        if sorted(kinds, reverse=True) != kinds:
            yield f"messages[{number}].content: toolResult blocks must come first"
    if messages and messages[-1]["role"] == "assistant" and messages[-1]["content"]:
        text = messages[-1]["content"][-1].get("text")
        if isinstance(text, str) and text != text.rstrip():
            yield "messages: final assistant content cannot end with trailing whitespace"
