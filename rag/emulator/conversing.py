"""Converse, ConverseStream, CountTokens and ApplyGuardrail."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rag.emulator import guarding
from rag.emulator.answering import Part, Said, say
from rag.emulator.caching import MINIMUM, block_tokens, prompt_blocks
from rag.emulator.wire import Event, Refusal, Reply, Request
from rag.usage.tokens import estimate_tokens

if TYPE_CHECKING:
    from rag.emulator.server import Emulator

#: What a message costs besides its text (recorded replies of Claude: 2 to 12; see `rag.usage.tokens`).
FRAME = 8
_NO_TOKENS: Mapping[str, Any] = {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
#: What a stream sends at once: a word, with the space before it.
_PIECE = re.compile(r"\s*\S{1,12}|\s+")


def converse(emulator: Emulator, request: Request) -> Reply:
    """Answer Converse."""
    said, trace, usage = _answered(emulator, request)
    body: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": [_block(part) for part in said.parts]}},
        "stopReason": said.stop_reason, "usage": usage, "metrics": {"latencyMs": _latency_ms(emulator)},
        **_told(request, trace), **_response_fields(request, said),
    }  # fmt: skip
    return Reply(body)


def converse_stream(emulator: Emulator, request: Request) -> Reply:
    """Answer ConverseStream."""
    said, trace, usage = _answered(emulator, request)
    return Reply(events=_events(emulator, request, said, trace, usage))


def tokens_of(request: Request) -> int:
    """Return what a call asks of the quota of tokens: its prompt, and the most it may write."""
    most = request.params.get("inferenceConfig", {}).get("maxTokens", 0)
    return _prompt_tokens(request.params, str(request.params["modelId"])) + int(most)


def count_tokens(emulator: Emulator, request: Request) -> Reply:
    """Answer CountTokens."""
    given, model = request.params["input"], str(request.params["modelId"])
    if "converse" in given:
        count = _prompt_tokens(given["converse"], model)
    else:
        try:
            body = json.loads(given["invokeModel"]["body"])
        except ValueError as error:
            raise Refusal("ValidationException", f"input.invokeModel.body: not JSON: {error}") from error
        count = block_tokens(body, model) + FRAME
    return Reply({"inputTokens": count})


def apply_guardrail(emulator: Emulator, request: Request) -> Reply:
    """Answer ApplyGuardrail."""
    found = [block["text"]["text"] for block in request.params["content"] if "text" in block]
    return Reply(guarding.applied(emulator.behaviour.guardrail, found))


def _answered(
    emulator: Emulator, request: Request
) -> tuple[Said, Mapping[str, Any] | None, Mapping[str, Any]]:
    """Return an answer after its guardrail, the guardrail's trace, and the tokens."""
    model = str(request.params["modelId"])
    if any(name in model for name in ("embed", "rerank")):
        raise Refusal("ValidationException", f"The model {model} doesn't support the Converse API.")
    room = _context_tokens(model)
    if room is not None and _prompt_tokens(request.params, model) > room:
        raise Refusal("ValidationException", "Input is too long for requested model.")
    config = request.params.get("guardrailConfig")
    does = None if config is None else emulator.behaviour.guardrail
    if does == "blocked":  # the prompt: the model is not asked
        said = Said((Part(guarding.BLOCKED_MESSAGE),), "guardrail_intervened")
        text, usage = guarding.BLOCKED_MESSAGE, _NO_TOKENS
    else:
        said = say(request, emulator.behaviour)
        text, usage = "".join(part.text for part in said.parts), _usage(emulator, request, said)
    trace = None
    if config is not None and config.get("trace", "disabled") != "disabled":
        trace = guarding.trace(does, config, text)
    if does == "masked" and guarding.masked(text) != text:
        said = _masked(said)
    return said, trace, usage


def _masked(said: Said) -> Said:
    parts = (Part(guarding.masked(part.text), part.citations, part.tool) for part in said.parts)
    return Said(tuple(parts), "guardrail_intervened", said.stop_sequence)


def _usage(emulator: Emulator, request: Request, said: Said) -> Mapping[str, Any]:
    model = str(request.params["modelId"])
    cached = emulator.prompt_cache.use(request.params, model, _cache_minimum(model))
    written = sum(tokens for _, tokens in cached.written)
    read = _prompt_tokens(request.params, model) - cached.read - written
    out = sum(
        estimate_tokens(part.text if part.tool is None else json.dumps(part.tool["input"]), model)
        for part in said.parts
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

    found = find(model)
    return MINIMUM if found is None else found.cache_minimum


@lru_cache(maxsize=256)
def _context_tokens(model: str) -> int | None:
    from rag.bedrock.models import find

    found = find(model)
    return None if found is None else found.context_tokens


def _prompt_tokens(params: Mapping[str, Any], model: str) -> int:
    blocks = (block for block in prompt_blocks(params) if "cachePoint" not in block)
    return FRAME + sum(block_tokens(block, model) for block in blocks)


def _latency_ms(emulator: Emulator) -> int:
    latency = emulator.behaviour.latency_s
    return max(1, round(1000 * (latency[0] if isinstance(latency, tuple) else latency)))


def _told(request: Request, trace: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what goes with the usage where it was asked for."""
    named = ("performanceConfig", "serviceTier")
    asked = {name: request.params[name] for name in named if name in request.params}
    return asked if trace is None else {**asked, "trace": {"guardrail": trace}}


def _response_fields(request: Request, said: Said) -> dict[str, Any]:
    paths: Sequence[str] = request.params.get("additionalModelResponseFieldPaths", ())
    if "/stop_sequence" not in paths:
        return {}
    return {"additionalModelResponseFields": {"stop_sequence": said.stop_sequence}}


def _block(part: Part) -> Mapping[str, Any]:
    if part.tool is not None:
        return {"toolUse": part.tool}
    if part.citations:
        return {"citationsContent": {"content": [{"text": part.text}], "citations": list(part.citations)}}
    return {"text": part.text}


def _events(
    emulator: Emulator,
    request: Request,
    said: Said,
    trace: Mapping[str, Any] | None,
    usage: Mapping[str, Any],
) -> Iterator[Event]:
    yield "messageStart", {"role": "assistant"}
    for number, part in enumerate(said.parts):
        if part.tool is not None:
            start = {"toolUse": {"toolUseId": part.tool["toolUseId"], "name": part.tool["name"]}}
            yield "contentBlockStart", {"start": start, "contentBlockIndex": number}
        for delta in _deltas(part):
            yield "contentBlockDelta", {"delta": delta, "contentBlockIndex": number}
        yield "contentBlockStop", {"contentBlockIndex": number}
    yield "messageStop", {"stopReason": said.stop_reason, **_response_fields(request, said)}
    yield "metadata", {
        "usage": usage, "metrics": {"latencyMs": _latency_ms(emulator)}, **_told(request, trace),
    }  # fmt: skip


def _deltas(part: Part) -> Iterator[Mapping[str, Any]]:
    if part.tool is not None:
        text = json.dumps(part.tool["input"])
        half = len(text) // 2
        yield from ({"toolUse": {"input": piece}} for piece in (text[:half], text[half:]))
        return
    yield from ({"text": piece} for piece in _PIECE.findall(part.text))
    yield from ({"citation": citation} for citation in part.citations)
