"""Assumptions on chat replies: their parts, usage, prompt cache, tools, citations, data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rag.emulator.assumptions.assumption import Assumption, Untried, each, of, of_steps
from rag.emulator.assumptions.exchange import Exchange

_MODEL, _GUIDE = "botocore 1.44.5, bedrock-runtime", "Bedrock User Guide"
_COUNTS = ("inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens")


def _content(exchange: Exchange) -> list[Mapping[str, Any]]:
    content: list[Mapping[str, Any]] = exchange.body["output"]["message"]["content"]
    return content


def _role(exchange: Exchange) -> Iterator[str]:
    role = exchange.body["output"]["message"]["role"]
    if role != "assistant":
        yield f"{exchange.step}: the role is {role}"


def _fields(exchange: Exchange) -> Iterator[str]:
    for name in ("output", "stopReason", "usage", "metrics"):
        if name not in exchange.body:
            yield f"{exchange.step}: the reply has no {name}"
    if "metrics" in exchange.body and "latencyMs" not in exchange.body["metrics"]:
        yield f"{exchange.step}: metrics has no latencyMs"


def _usage_fields(exchange: Exchange) -> Iterator[str]:
    missing = [name for name in _COUNTS if name not in exchange.usage]
    if missing:
        yield f"{exchange.operation}: usage lacks {', '.join(missing)}"


def _total(exchange: Exchange) -> Iterator[str]:
    usage = exchange.usage
    parts = [usage.get(name, 0) for name in _COUNTS if name != "totalTokens"]
    if sum(parts) != usage["totalTokens"]:
        yield f"{exchange.step}: totalTokens is {usage['totalTokens']}, the others add up to {sum(parts)}"


def _stops(reason: str) -> Any:
    def differs(exchange: Exchange) -> Iterator[str]:
        if exchange.body["stopReason"] != reason:
            yield f"{exchange.step}: the stop reason is {exchange.body['stopReason']}"

    return each(differs)


# ---------------------------------------------------------------------- the prompt cache


def _writes(exchanges: Sequence[Exchange]) -> Iterator[str]:
    usage = exchanges[0].usage
    if not usage.get("cacheWriteInputTokens"):
        yield f"the first call writes {usage.get('cacheWriteInputTokens')} tokens to the cache"
    if usage.get("cacheReadInputTokens"):
        yield f"the first call reads {usage['cacheReadInputTokens']} tokens from the cache"


def _reads(exchanges: Sequence[Exchange]) -> Iterator[str]:
    calls = {each.step: each.usage for each in exchanges}
    if len(calls) < 2:
        raise Untried("only one of the two calls was answered")
    wrote = calls["cache-write"].get("cacheWriteInputTokens")
    read = calls["cache-read"].get("cacheReadInputTokens")
    if read != wrote:
        yield f"the first call writes {wrote} tokens, the second reads {read}"


def _excluded(exchange: Exchange) -> Iterator[str]:
    usage = exchange.usage
    cached = usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0)
    if cached and usage["inputTokens"] >= cached:  # the rest of the prompt is one short question
        yield f"{exchange.step}: inputTokens is {usage['inputTokens']}, with {cached} tokens of the cache"


def _details(exchange: Exchange) -> Iterator[str]:
    usage = exchange.usage
    if not usage.get("cacheWriteInputTokens"):
        raise Untried("nothing was written to the cache")
    if "cacheDetails" not in usage:
        yield "usage has no cacheDetails"
        return
    total = sum(row["inputTokens"] for row in usage["cacheDetails"])
    if total != usage["cacheWriteInputTokens"]:
        yield f"cacheDetails add up to {total}, cacheWriteInputTokens is {usage['cacheWriteInputTokens']}"
    if {row["ttl"] for row in usage["cacheDetails"]} != {"5m"}:
        yield f"cacheDetails are {json.dumps(usage['cacheDetails'])} for a cache point of 5 minutes"


def _counted(exchanges: Sequence[Exchange]) -> Iterator[str]:
    found = {each.operation: each for each in exchanges}
    if found.keys() != {"CountTokens", "Converse"}:
        raise Untried("one of CountTokens and Converse was not answered")
    counted, asked = found["CountTokens"].body["inputTokens"], found["Converse"].usage["inputTokens"]
    if counted != asked:
        yield f"CountTokens says {counted} tokens, Converse counts {asked}"


# ---------------------------------------------------------------------- citations, tools, data


def _cited(exchange: Exchange) -> list[Mapping[str, Any]]:
    found = [
        citation for block in _content(exchange)
        for citation in block.get("citationsContent", {}).get("citations", ())
    ]  # fmt: skip
    if not found:
        raise Untried("the model cited nothing")
    return found


def _sent_results(exchange: Exchange) -> list[Mapping[str, Any]]:
    return [
        block["searchResult"] for message in exchange.params["messages"] for block in message["content"]
        if "searchResult" in block
    ]  # fmt: skip


def _location(exchange: Exchange) -> Iterator[str]:
    results = _sent_results(exchange)
    for citation in _cited(exchange):
        kinds = list(citation["location"])
        if kinds != ["searchResultLocation"]:
            yield f"a citation's location is {', '.join(kinds)}"
            continue
        where = citation["location"]["searchResultLocation"]
        blocks = len(results[where["searchResultIndex"]]["content"])
        if not 0 <= where["start"] < where["end"] <= blocks:
            yield f"a citation is of blocks {where['start']} to {where['end']} of {blocks}"


def _cited_source(exchange: Exchange) -> Iterator[str]:
    results = _sent_results(exchange)
    for citation in _cited(exchange):
        result = results[citation["location"]["searchResultLocation"]["searchResultIndex"]]
        for name in ("source", "title"):
            if citation.get(name) != result[name]:
                yield f"a citation's {name} is {citation.get(name)!r}, not the search result's"


def _cited_text(exchange: Exchange) -> Iterator[str]:
    results = _sent_results(exchange)
    for citation in _cited(exchange):
        where = citation["location"]["searchResultLocation"]
        sent = [part["text"] for part in results[where["searchResultIndex"]]["content"]]
        quoted = [part["text"] for part in citation["sourceContent"]]
        if quoted != sent[where["start"] : where["end"]]:
            yield "a citation's sourceContent is not the whole of the blocks that it names"


def _tool_use(exchange: Exchange) -> Iterator[str]:
    calls = [block["toolUse"] for block in _content(exchange) if "toolUse" in block]
    spec = exchange.params["toolConfig"]["tools"][0]["toolSpec"]
    if not calls:
        yield "a tool that is forced is not called"
    for call in calls:
        if call["name"] != spec["name"] or not call["toolUseId"]:
            yield f"the call is {call['name']!r} with the id {call['toolUseId']!r}"
        missing = set(spec["inputSchema"]["json"]["required"]) - set(call["input"])
        if missing:
            yield f"the tool's input lacks {', '.join(sorted(missing))}"


def _data(exchange: Exchange) -> Iterator[str]:
    import jsonschema  # type: ignore[import-untyped]

    text = "".join(block.get("text", "") for block in _content(exchange))
    schema = json.loads(
        exchange.params["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
    )  # fmt: skip
    try:
        jsonschema.validate(json.loads(text), schema)
    except ValueError:
        yield "the reply is not JSON alone"
    except jsonschema.ValidationError as error:
        yield f"the reply does not fit its schema: {' '.join(str(error.message).split())[:200]}"


CHAT: tuple[Assumption, ...] = (
    Assumption("converse.role", "A reply's role is assistant.", _MODEL, of("Converse"), each(_role)),
    Assumption("converse.fields", "A reply has output, stopReason, usage and metrics.latencyMs.", _MODEL,
               of("Converse"), each(_fields)),
    Assumption("usage.fields", f"Usage has {', '.join(_COUNTS)}, also where no prompt is cached.", _MODEL,
               of("Converse", "ConverseStream"), each(_usage_fields)),
    Assumption("usage.total", "totalTokens is the sum of input, output, cache reads and cache writes.",
               f"{_GUIDE}, Prompt caching", of("Converse", "ConverseStream"), each(_total)),
    Assumption("stop.end-turn", "A reply that is complete stops with end_turn.", _MODEL,
               of_steps("converse"), _stops("end_turn")),
    Assumption("stop.max-tokens", "A reply that is cut stops with max_tokens.", _MODEL,
               of_steps("max-tokens"), _stops("max_tokens")),
    Assumption("cache.writes", "The first call with a new prefix writes it to the cache, and reads nothing.",
               f"{_GUIDE}, Prompt caching", of_steps("cache-write"), _writes),
    Assumption("cache.reads", "The second call reads as many tokens as the first one wrote.",
               f"{_GUIDE}, Prompt caching", of_steps("cache-write", "cache-read"), _reads),
    Assumption("cache.excluded", "inputTokens excludes tokens that are read from or written to the cache.",
               f"{_GUIDE}, Prompt caching", of_steps("cache-write", "cache-read"), each(_excluded)),
    Assumption("cache.details", "cacheDetails lists what was written by time to live.", _MODEL,
               of_steps("cache-write"), each(_details)),
    Assumption("count.equal", "CountTokens counts what Converse counts as inputTokens.",
               "API reference of CountTokens", of_steps("count-tokens", "converse"), _counted),
    Assumption("citations.location", "Citations of search results have a searchResultLocation within them.",
               _MODEL, of_steps("citations"), each(_location)),
    Assumption("citations.source", "A citation repeats the search result's source and title.", _MODEL,
               of_steps("citations"), each(_cited_source)),
    Assumption("citations.text", "A citation's sourceContent is the whole of the blocks that it names.",
               "Anthropic, Search results", of_steps("citations"), each(_cited_text)),
    Assumption("tools.stop", "A reply with a tool call stops with tool_use.", _MODEL, of_steps("tool"),
               _stops("tool_use")),
    Assumption("tools.call", "A forced tool is called, with an id and the input that it requires.", _MODEL,
               of_steps("tool"), each(_tool_use)),
    Assumption("data.schema", "With outputConfig.textFormat a reply is JSON that fits the schema.",
               f"{_GUIDE}, Get validated JSON results", of_steps("data"), each(_data)),
)  # fmt: skip
