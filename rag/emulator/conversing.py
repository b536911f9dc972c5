"""Answer Converse, ConverseStream and CountTokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from rag.emulator.answering import complete
from rag.emulator.behaviour import Behaviour
from rag.emulator.caching import MINIMUM, PromptCache, block_tokens, prompt_blocks
from rag.emulator.completion import Completion, Guard, Part
from rag.emulator.wire import Event, Refusal, Reply, Request
from rag.usage.tokens import estimate_tokens

#: Tokens of a message besides its text (recorded replies of Claude: 2 to 12; see `rag.usage.tokens`).
FRAME = 8
_NO_TOKENS: Mapping[str, Any] = {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
#: A piece of a stream: a word with the space before it.
_PIECE = re.compile(r"\s*\S{1,12}|\s+")


class Chat(Protocol):
    """The state of an emulator that chat operations use."""

    @property
    def behaviour(self) -> Behaviour:
        """Latency and replies."""

    @property
    def prompt_cache(self) -> PromptCache:
        """The prefixes of earlier prompts."""

    def guard(self, config: Mapping[str, Any]) -> Guard:
        """Return the guardrail of a request's ``guardrailConfig``."""


def converse(emulator: Chat, request: Request) -> Reply:
    """Answer Converse."""
    completion, trace, usage = _completed(emulator, request)
    body: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": [_block(part) for part in completion.parts]}},
        "stopReason": completion.stop_reason, "usage": usage, "metrics": {"latencyMs": _latency_ms(emulator)},
        **_echoed(request, trace), **_response_fields(request, completion),
    }  # fmt: skip
    return Reply(body)


def converse_stream(emulator: Chat, request: Request) -> Reply:
    """Answer ConverseStream."""
    completion, trace, usage = _completed(emulator, request)
    return Reply(events=_events(emulator, request, completion, trace, usage))


def tokens_of(request: Request) -> int:
    """Return a call's share of the token quota: its prompt plus its maximum of output tokens."""
    most = request.params.get("inferenceConfig", {}).get("maxTokens", 0)
    return _prompt_tokens(request.params, str(request.params["modelId"])) + int(most)


def count_tokens(emulator: Chat, request: Request) -> Reply:
    """Answer CountTokens."""
    prompt, model = request.params["input"], str(request.params["modelId"])
    if "converse" in prompt:
        count = _prompt_tokens(prompt["converse"], model)
    else:
        try:
            body = json.loads(prompt["invokeModel"]["body"])
        except ValueError as error:
            raise Refusal("ValidationException", f"input.invokeModel.body: not JSON: {error}") from error
        count = block_tokens(body, model) + FRAME
    return Reply({"inputTokens": count})


def _completed(
    emulator: Chat, request: Request
) -> tuple[Completion, Mapping[str, Any] | None, Mapping[str, Any]]:
    """Return the completion after its guardrail, the guardrail's trace, and the usage."""
    model = str(request.params["modelId"])
    if any(name in model for name in ("embed", "rerank")):
        raise Refusal("ValidationException", f"The model {model} doesn't support the Converse API.")
    room = _context_tokens(model)
    if room is not None and _prompt_tokens(request.params, model) > room:
        raise Refusal("ValidationException", "Input is too long for requested model.")
    config = request.params.get("guardrailConfig")
    if config is None:
        completion = complete(request, emulator.behaviour)
        return completion, None, _usage(emulator, request, completion)
    guard = emulator.guard(config)
    prompt = guard.prompt(request)
    if prompt is None:  # the prompt is blocked, so the model does not run
        completion = Completion((Part(guard.blocked_input),), "guardrail_intervened")
        usage = _NO_TOKENS
    else:
        answered = complete(prompt, emulator.behaviour)
        usage = _usage(emulator, prompt, answered)
        in_time = config.get("streamProcessingMode") != "async"
        completion = guard.reply(answered) if in_time else guard.streamed(answered)
    traced = config.get("trace", "disabled") != "disabled"
    return completion, guard.trace() if traced else None, usage


def _usage(emulator: Chat, request: Request, completion: Completion) -> Mapping[str, Any]:
    model = str(request.params["modelId"])
    cached = emulator.prompt_cache.use(request.params, model, _cache_minimum(model))
    written = sum(tokens for _, tokens in cached.written)
    read = _prompt_tokens(request.params, model) - cached.read - written
    out = sum(
        estimate_tokens(part.text if part.tool is None else json.dumps(part.tool["input"]), model)
        for part in completion.parts
    )
    usage: dict[str, Any] = {
        "inputTokens": read, "outputTokens": out, "totalTokens": read + cached.read + written + out,
        "cacheReadInputTokens": cached.read, "cacheWriteInputTokens": written,
    }  # fmt: skip
    if cached.written:
        usage["cacheDetails"] = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in cached.written]
    return usage


@lru_cache(maxsize=256)
def _cache_minimum(model: str) -> int | None:
    from rag.bedrock.models import find

    known = find(model)
    return MINIMUM if known is None else known.cache_minimum


@lru_cache(maxsize=256)
def _context_tokens(model: str) -> int | None:
    from rag.bedrock.models import find

    known = find(model)
    return None if known is None else known.context_tokens


def _prompt_tokens(params: Mapping[str, Any], model: str) -> int:
    blocks = (block for block in prompt_blocks(params) if "cachePoint" not in block)
    return FRAME + sum(block_tokens(block, model) for block in blocks)


def _latency_ms(emulator: Chat) -> int:
    latency = emulator.behaviour.latency_s
    return max(1, round(1000 * (latency[0] if isinstance(latency, tuple) else latency)))


def _echoed(request: Request, trace: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the request's options that a reply repeats, and the guardrail's trace."""
    named = ("performanceConfig", "serviceTier")
    options = {name: request.params[name] for name in named if name in request.params}
    return options if trace is None else {**options, "trace": {"guardrail": trace}}


def _response_fields(request: Request, completion: Completion) -> dict[str, Any]:
    paths: Sequence[str] = request.params.get("additionalModelResponseFieldPaths", ())
    if "/stop_sequence" not in paths:
        return {}
    return {"additionalModelResponseFields": {"stop_sequence": completion.stop_sequence}}


def _block(part: Part) -> Mapping[str, Any]:
    if part.tool is not None:
        return {"toolUse": part.tool}
    if part.citations:
        return {"citationsContent": {"content": [{"text": part.text}], "citations": list(part.citations)}}
    return {"text": part.text}


def _events(
    emulator: Chat,
    request: Request,
    completion: Completion,
    trace: Mapping[str, Any] | None,
    usage: Mapping[str, Any],
) -> Iterator[Event]:
    yield "messageStart", {"role": "assistant"}
    for number, part in enumerate(completion.parts):
        if part.tool is not None:
            start = {"toolUse": {"toolUseId": part.tool["toolUseId"], "name": part.tool["name"]}}
            yield "contentBlockStart", {"start": start, "contentBlockIndex": number}
        for delta in _deltas(part):
            yield "contentBlockDelta", {"delta": delta, "contentBlockIndex": number}
        yield "contentBlockStop", {"contentBlockIndex": number}
    yield "messageStop", {"stopReason": completion.stop_reason, **_response_fields(request, completion)}
    yield "metadata", {
        "usage": usage, "metrics": {"latencyMs": _latency_ms(emulator)}, **_echoed(request, trace),
    }  # fmt: skip


def _deltas(part: Part) -> Iterator[Mapping[str, Any]]:
    if part.tool is not None:
        text = json.dumps(part.tool["input"])
        half = len(text) // 2
        yield from ({"toolUse": {"input": piece}} for piece in (text[:half], text[half:]))
        return
    yield from ({"text": piece} for piece in _PIECE.findall(part.text))
    yield from ({"citation": citation} for citation in part.citations)
