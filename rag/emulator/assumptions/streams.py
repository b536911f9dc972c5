"""Assumptions on ConverseStream: the order of events, and what each holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from rag.emulator.assumptions.assumption import Assumption, Untried, each, of, of_steps
from rag.emulator.assumptions.exchange import Event, Exchange

_GUIDE = "Bedrock User Guide, Use the Converse API"
_MODEL = "botocore 1.44.5, bedrock-runtime"
#: A letter per event.
_LETTERS = {
    "messageStart": "M", "contentBlockStart": "s", "contentBlockDelta": "d", "contentBlockStop": "e",
    "messageStop": "E", "metadata": "U",
}  # fmt: skip
_ORDER = re.compile(r"M(?:s?d*e)*EU")


def _order(exchange: Exchange) -> Iterator[str]:
    names = [event.name for event in exchange.events or ()]
    if any(event.kind != "event" for event in exchange.events or ()):
        raise Untried("the stream failed or was cut")
    if not _ORDER.fullmatch("".join(_LETTERS.get(name, "?") for name in names)):
        shown = list(dict.fromkeys(names))
        yield f"{exchange.step}: the order is {', '.join(shown)}"


def _blocks(exchange: Exchange) -> Iterator[str]:
    open_block, ended = 0, False
    for event in exchange.events or ():
        if not event.name.startswith("contentBlock"):
            continue
        number = event.payload["contentBlockIndex"]
        if ended:
            open_block, ended = open_block + 1, False
        if number != open_block:
            yield f"{exchange.step}: block {number} follows where {open_block} is expected"
            return
        ended = event.name == "contentBlockStop"


def _starts(exchange: Exchange) -> Iterator[str]:
    for payload in exchange.payloads("contentBlockStart"):
        kinds = list(payload["start"])
        if kinds != ["toolUse"]:
            yield f"{exchange.step}: contentBlockStart announces {', '.join(kinds) or 'nothing'}"


def _role(exchange: Exchange) -> Iterator[str]:
    for payload in exchange.payloads("messageStart"):
        if payload["role"] != "assistant":
            yield f"the role is {payload['role']}"


def _stop(exchange: Exchange) -> Iterator[str]:
    if not all("stopReason" in payload for payload in exchange.payloads("messageStop")):
        yield f"{exchange.step}: messageStop has no stopReason"


def _metadata(exchange: Exchange) -> Iterator[str]:
    for payload in exchange.payloads("metadata"):
        for name, inner in (("usage", "totalTokens"), ("metrics", "latencyMs")):
            if inner not in payload.get(name, {}):
                yield f"{exchange.step}: metadata has no {name}.{inner}"


def _tool(exchange: Exchange) -> Iterator[str]:
    starts = [payload["start"]["toolUse"] for payload in exchange.payloads("contentBlockStart")]
    if not starts or not all(start["name"] and start["toolUseId"] for start in starts):
        yield "contentBlockStart does not announce the tool's name and id"
    pieces = [
        payload["delta"]["toolUse"]["input"] for payload in exchange.payloads("contentBlockDelta")
        if "toolUse" in payload["delta"]
    ]  # fmt: skip
    try:
        json.loads("".join(pieces))
    except ValueError:
        yield "the pieces of a tool's input do not make JSON"


def _citations(exchange: Exchange) -> Iterator[str]:
    found = [
        payload["delta"]["citation"] for payload in exchange.payloads("contentBlockDelta")
        if "citation" in payload["delta"]
    ]  # fmt: skip
    if not found:
        raise Untried("the model cited nothing")
    for citation in found:
        if "searchResultLocation" not in citation["location"]:
            yield f"a citation's location is {', '.join(citation['location'])}"


def _text(event: Event) -> bool:
    return event.name == "contentBlockDelta" and "text" in event.payload["delta"]


def _several(exchange: Exchange) -> Iterator[str]:
    if not any(map(_text, exchange.events or ())):
        yield f"{exchange.step}: no contentBlockDelta has a text"


STREAMS: tuple[Assumption, ...] = (
    Assumption("stream.order", "Events come as messageStart, the blocks, messageStop, metadata.", _GUIDE,
               of("ConverseStream"), each(_order)),
    Assumption("stream.blocks", "Blocks are numbered from 0 and come one after another.", _GUIDE,
               of("ConverseStream"), each(_blocks)),
    Assumption("stream.starts", "contentBlockStart announces tool calls only; a text has none.", _GUIDE,
               of("ConverseStream"), each(_starts)),
    Assumption("stream.text", "A text comes as contentBlockDelta.delta.text.", _MODEL, of_steps("stream"),
               each(_several)),
    Assumption("stream.role", "messageStart has the role assistant.", _MODEL, of("ConverseStream"),
               each(_role)),
    Assumption("stream.stop", "messageStop has the stop reason.", _MODEL, of("ConverseStream"), each(_stop)),
    Assumption("stream.metadata", "metadata has usage and metrics.", _MODEL, of("ConverseStream"),
               each(_metadata)),
    Assumption("stream.tool", "A tool call is announced, then its input comes as pieces of JSON.", _GUIDE,
               of_steps("tool-stream"), each(_tool)),
    Assumption("stream.citations", "Citations come as contentBlockDelta.delta.citation.", _MODEL,
               of_steps("citations-stream"), each(_citations)),
)  # fmt: skip
