"""The steps of a trial that make one call each, of chat, embeddings and the lists of models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rag.bedrock.control.probes import GUARDRAIL_UNIT_USD
from rag.core.calls import Call, Usage
from rag.emulator.trial.world import TITAN, World
from rag.usage import model_ids
from rag.usage.tokens import estimate_tokens

Dollars = Callable[[World], float | None]


def _free(world: World) -> float:
    return 0.0


def _never(world: World) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes
    ----------
    name : str
        Assumptions name it.
    what : str
        For people.
    run : callable
        Makes the calls, and returns what came, in short. It raises botocore's errors.
    usd : callable
        Returns the most that it costs; None where no price is known.
    skip : callable
        Returns why it cannot be tried; empty where it can.
    wrong : bool
        Whether its request is wrong on purpose, so that a refusal is what is expected.
    """

    name: str
    what: str
    run: Callable[[World], str]
    usd: Dollars = _free
    skip: Callable[[World], str] = _never
    wrong: bool = False


QUESTION = "How many days of leave do staff in Europe take?"
LEAVE = "Staff in Europe take 28 days of annual leave."
_US = "Staff in the United States take 22 days of annual leave."
SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["days"],
    "properties": {"days": {"type": "integer"}},
}  # fmt: skip


def user(*blocks: Mapping[str, Any] | str) -> list[dict[str, Any]]:
    """Return the messages of one turn."""
    return [{"role": "user", "content": [{"text": b} if isinstance(b, str) else b for b in blocks]}]


def request(*blocks: Mapping[str, Any] | str, tokens: int = 64, **more: Any) -> dict[str, Any]:
    """Return a chat request of one turn."""
    return {"messages": user(*blocks), "inferenceConfig": {"maxTokens": tokens}, **more}


PLAIN = request("Reply with the word yes.", tokens=16)
_ONE_TOKEN = request("Count from one to ten.", tokens=1)
_TOOLS = {
    "tools": [{"toolSpec": {
        "name": "leave", "description": "Look up days of leave.",
        "inputSchema": {"json": {
            "type": "object", "required": ["place"], "properties": {"place": {"type": "string"}},
        }},
    }}],
    "toolChoice": {"tool": {"name": "leave"}},
}  # fmt: skip
_TOOL = request("How many days of leave are there in Europe?", tokens=128, toolConfig=_TOOLS)
_DATA = request(
    f"{LEAVE}\n\n{QUESTION}",
    outputConfig={"textFormat": {
        "type": "json_schema",
        "structure": {"jsonSchema": {"name": "leave", "schema": json.dumps(SCHEMA)}},
    }},
)  # fmt: skip


def _result(name: str, text: str) -> dict[str, Any]:
    return {"searchResult": {
        "source": f"{name}.md", "title": name.capitalize(), "content": [{"text": text}],
        "citations": {"enabled": True},
    }}  # fmt: skip


_CITED = request(_result("europe", LEAVE), _result("states", _US), QUESTION, tokens=128)


def _cached(world: World, question: str) -> dict[str, Any]:
    """Return a request whose system prompt is long enough for the cache by a wide margin."""
    prefix = world.prefix(2 * (world.cache_minimum or 0))
    system = [{"text": prefix}, {"cachePoint": {"type": "default"}}]
    return request(question, tokens=16, system=system)


def _text(reply: Mapping[str, Any]) -> str:
    usage = reply["usage"]
    return f"{reply['stopReason']}, {usage['inputTokens']} tokens in, {usage['outputTokens']} out"


def _chat(name: str, what: str, asked: Mapping[str, Any], skip: Callable[[World], str] = _never) -> Step:
    return Step(name, what, lambda world: _text(world.chat(asked)), lambda world: world.chat_usd(asked), skip)


def _stream(name: str, what: str, asked: Mapping[str, Any], skip: Callable[[World], str] = _never) -> Step:

    def run(world: World) -> str:
        return f"{len(world.stream(asked))} events"

    return Step(name, what, run, lambda world: world.chat_usd(asked), skip)


def _cache(name: str, what: str, question: str) -> Step:
    def run(world: World) -> str:
        usage = world.chat(_cached(world, question), "5m")["usage"]
        return (
            f"{usage.get('cacheWriteInputTokens', 0)} tokens written, "
            f"{usage.get('cacheReadInputTokens', 0)} read, {usage['inputTokens']} others"
        )

    return Step(name, what, run, lambda world: world.chat_usd(_cached(world, question), "5m"), _no_cache)


def _no_cache(world: World) -> str:
    return "" if world.cache_minimum is not None else f"{world.model} has no prompt cache"


def _no_citations(world: World) -> str:
    known = world.abilities
    return "" if known is None or known.citations else f"{world.model} cites no search results"


def _no_schema(world: World) -> str:
    known = world.abilities
    return "" if known is None or known.structured else f"{world.model} takes no schema in outputConfig"


# ---------------------------------------------------------------------- lists, embeddings, reranking


def _catalog(world: World) -> str:
    control = world.control
    models = control.list_foundation_models()["modelSummaries"]
    profiles = control.list_inference_profiles(maxResults=1000)["inferenceProfileSummaries"]
    prefix, id = model_ids.split(world.base or world.model)
    if not id.startswith("arn:"):
        control.get_foundation_model(modelIdentifier=id)
        control.get_foundation_model_availability(modelId=id)
    if prefix:
        control.get_inference_profile(inferenceProfileIdentifier=f"{prefix}.{id}")
    return f"{len(models)} models, {len(profiles)} inference profiles"


def _embed(world: World) -> str:
    reply = world.embed({"inputText": LEAVE, "dimensions": 256, "normalize": True})
    return f"{len(reply['embedding'])} dimensions, {reply.get('inputTextTokenCount')} tokens"


def _titan_usd(text: str) -> Dollars:
    return lambda world: world.prices.estimate_usd(TITAN, estimate_tokens(text))


def _rerank(world: World) -> str:
    sources = [
        {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}}
        for text in (_US, LEAVE, "Backups run every night at two.")
    ]
    model = {"modelConfiguration": {"modelArn": world.reranker}, "numberOfResults": len(sources)}
    with world.meter.reserve(world.reranker, documents=len(sources), purpose="rerank") as held:
        reply = world.agents.rerank(
            queries=[{"type": "TEXT", "textQuery": {"text": QUESTION}}], sources=sources,
            rerankingConfiguration={
                "type": "BEDROCK_RERANKING_MODEL", "bedrockRerankingConfiguration": model
            },
        )  # fmt: skip
        held.settle(Call(world.reranker, "doctor", Usage(cost_usd=_rerank_usd(world))))
    best = reply["results"][0]
    return f"source {best['index']} first, with {best['relevanceScore']:.3f}"


def _rerank_usd(world: World) -> float | None:
    return world.prices.rerank_usd(world.reranker, 3)


def _guard(world: World) -> str:
    identifier, _, version = world.guardrail.rpartition(":")
    with world.meter.reserve(None, usd=GUARDRAIL_UNIT_USD) as held:
        reply = world.runtime.apply_guardrail(
            guardrailIdentifier=identifier, guardrailVersion=version, source="OUTPUT",
            content=[{"text": {"text": LEAVE}}],
        )  # fmt: skip
        held.settle(Call("guardrail", "doctor", Usage(cost_usd=GUARDRAIL_UNIT_USD)))
    return str(reply["action"])


def _count(world: World) -> str:
    counted = {"converse": {"messages": PLAIN["messages"]}}
    reply = world.runtime.count_tokens(modelId=world.model, input=counted)
    return f"{reply['inputTokens']} tokens"


CALLS: tuple[Step, ...] = (
    Step("catalog", "list models and profiles", _catalog),
    Step("embed", "embed a sentence with Titan", _embed, _titan_usd(LEAVE)),
    _chat("converse", "ask the chat model", PLAIN),
    Step("count-tokens", "count the same prompt's tokens", _count),
    _chat("max-tokens", "cut a reply after one token", _ONE_TOKEN),
    _stream("stream", "stream a reply", PLAIN),
    _chat("citations", "cite search results", _CITED, _no_citations),
    _stream("citations-stream", "cite them in a stream", _CITED, _no_citations),
    _chat("data", "reply with JSON that fits a schema", _DATA, _no_schema),
    _chat("tool", "call a tool", _TOOL),
    _stream("tool-stream", "call it in a stream", _TOOL),
    _cache("cache-write", "write a prompt to the cache", "Reply with the word yes."),
    _cache("cache-read", "read it from the cache", "Reply with the word no."),
    Step("rerank", "rerank three sentences", _rerank, _rerank_usd),
    Step("guardrail", "apply the guardrail", _guard, lambda world: GUARDRAIL_UNIT_USD,
         lambda world: "" if world.guardrail else "rag.toml names no guardrail"),
)  # fmt: skip
