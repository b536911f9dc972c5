"""Complete a chat request: a tool call, a JSON instance, or sentences quoted from the prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import quoteattr

from rag.emulator.behaviour import Behaviour
from rag.emulator.caching import prompt_blocks
from rag.emulator.completion import Completion, Part
from rag.emulator.instances import instance
from rag.emulator.rules import output_schema, search_results
from rag.emulator.wire import Request
from rag.usage.tokens import estimate_tokens

_CITE = re.compile(r'<cite doc="(\d+)">(.*?)</cite>', re.DOTALL)
_TAG = re.compile(r"<cite\b[^>]*>.*?</cite>", re.DOTALL)
_CALL = re.compile(r"call the tool ([\w-]+)", re.IGNORECASE)


def complete(request: Request, behaviour: Behaviour) -> Completion:
    """Answer a Converse request."""
    params = request.params
    tool = _tool(params)
    if tool is not None:
        custom = behaviour.tool_input(request) if callable(behaviour.tool_input) else behaviour.tool_input
        arguments = instance(tool["inputSchema"]["json"]) if custom is None else dict(custom)
        use = {"toolUseId": f"tooluse_{request.number:022d}", "name": tool["name"], "input": arguments}
        return Completion((Part(tool=use),), behaviour.stop_reason or "tool_use")
    reply = behaviour.reply(request) if callable(behaviour.reply) else behaviour.reply
    results = list(search_results(params))
    if reply is None:
        schema = output_schema(params)
        structured = None if schema is None else json.dumps(instance(json.loads(schema)))
        reply = _extracted(params, results) if structured is None else structured
    cited = any(result.get("citations", {}).get("enabled") for result in results)
    parts = tuple(_cited(reply, results)) if cited else (Part(reply),)
    completion = _limited(parts, params.get("inferenceConfig", {}), str(params["modelId"]))
    reason = behaviour.stop_reason or completion.stop_reason
    return Completion(completion.parts, reason, completion.stop_sequence)


def _tool(params: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the tool to call: a forced one, or one that the last message names for a call."""
    config = params.get("toolConfig", {})
    specs = [tool["toolSpec"] for tool in config.get("tools", ()) if "toolSpec" in tool]
    tools = {spec["name"]: spec for spec in specs}
    choice = config.get("toolChoice", {})
    if "tool" in choice:
        return tools.get(choice["tool"]["name"])
    if "any" in choice:
        return next(iter(tools.values()), None)
    call = _CALL.search("\n".join(texts(params["messages"][-1]["content"])))
    return tools.get(call[1]) if call else None


def texts(blocks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the texts of blocks, except search results and documents."""
    for block in blocks:
        if isinstance(block.get("text"), str):
            yield block["text"]
        elif "guardContent" in block:
            yield block["guardContent"].get("text", {}).get("text", "")
        elif "toolResult" in block:
            for part in block["toolResult"]["content"]:
                yield part.get("text") or (json.dumps(part["json"]) if "json" in part else "")


def _extracted(params: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    """Quote the prompt's documents; drop tags that the prompt does not mention."""
    instructions = "\n".join(texts(list(prompt_blocks(params))))
    reply = _quoted(_prompt(params, results))
    native = any(result.get("citations", {}).get("enabled") for result in results)
    if "<cite" not in instructions and not native:
        reply = _TAG.sub("", reply)
    return reply if "<no_answer" in instructions else reply.replace("<no_answer/>", "")


@lru_cache(maxsize=1024)
def _quoted(prompt: str) -> str:
    from langchain_core.messages import HumanMessage

    return str(_answerer().invoke([HumanMessage(prompt)]).text)


@lru_cache(maxsize=1)
def _answerer() -> Any:
    from rag.embedding.static import StaticEmbeddings
    from rag.generation.extractive import ExtractiveAnswerer

    return ExtractiveAnswerer(embedder=StaticEmbeddings())


def _prompt(params: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> str:
    """Return the question and its passages in the form of the extractive answerer's prompt."""
    users = [message["content"] for message in params["messages"] if message["role"] == "user"]
    last = "\n\n".join(texts(users[-1]))
    if not results and "<document " in last:
        return last
    documents = [block["document"] for block in prompt_blocks(params) if "document" in block]
    passages = [_passage(result) for result in results] or [_passage(document) for document in documents]
    blocks = [block["guardContent"].get("text", {}) for block in users[-1] if "guardContent" in block]
    sources = [block["text"] for block in blocks if "grounding_source" in block.get("qualifiers", ())]
    queries = [block["text"] for block in blocks if "query" in block.get("qualifiers", ())]
    passages = passages or [("", "", text) for text in sources]
    question = "\n\n".join(queries) or last
    if not passages:  # plain text: the last paragraph is the question, the others are passages
        *paragraphs, question = [part for part in re.split(r"\n\s*\n", last) if part.strip()] or [""]
        passages = [("", "", part) for part in paragraphs]
    inner = re.search(r"<question>(.*?)</question>", question, re.DOTALL)
    shown = "\n".join(
        f'<document index="{n}" source={quoteattr(source)} title={quoteattr(title)}>\n{text}\n</document>'
        for n, (source, title, text) in enumerate(passages, 1)
    )
    return f"{shown}\n\n<question>{inner[1] if inner else question}</question>"


def _passage(block: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return the source, the title and the text of a search result or document block."""
    source = block.get("source", {})
    if isinstance(source, str):
        return source, block["title"], "\n".join(part["text"] for part in block["content"])
    raw = source.get("bytes", b"").decode("utf-8", "replace")
    parts = "\n".join(part.get("text", "") for part in source.get("content", ()))
    return block["name"], block["name"], source.get("text") or parts or raw


def _cited(reply: str, results: Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    """Split a reply at its citation tags, which become native citations; drop those of unknown results."""
    at = 0
    for tag in _CITE.finditer(reply):
        text, at = reply[at : tag.start()], tag.end()
        number = int(tag[1]) - 1
        if not 0 <= number < len(results):
            yield Part(text)
            continue
        yield Part(text, (_citation(number, results[number], tag[2]),))
    if reply[at:]:
        yield Part(reply[at:])


def _citation(number: int, result: Mapping[str, Any], quote: str) -> Mapping[str, Any]:
    """Return a citation of the content block that holds a quote; Claude cites whole blocks."""
    blocks = [part["text"] for part in result["content"]]
    block = next((at for at, text in enumerate(blocks) if quote in text), 0)
    return {
        "title": result["title"], "source": result["source"],
        "sourceContent": [{"text": blocks[block]}],
        "location": {"searchResultLocation": {"searchResultIndex": number, "start": block, "end": block + 1}},
    }  # fmt: skip


def _limited(parts: Sequence[Part], config: Mapping[str, Any], model: str) -> Completion:
    """End a completion at a stop sequence or at the maximum of tokens."""
    whole = "".join(part.text for part in parts)
    stops = [(at, word) for word in config.get("stopSequences", ()) if (at := whole.find(word)) >= 0]
    end, stop = min(stops, default=(len(whole), None))
    reason = "end_turn" if stop is None else "stop_sequence"
    most = config.get("maxTokens")
    if most is not None and estimate_tokens(whole[:end], model) > most:
        end, stop, reason = _fitting(whole[:end], most, model), None, "max_tokens"
    kept, left = [], end
    for part in parts:
        if left <= 0:
            break
        citations = part.citations if len(part.text) <= left else ()
        kept.append(Part(part.text[:left], citations))
        left -= len(part.text)
    return Completion(tuple(kept), reason, stop)


def _fitting(text: str, tokens: int, model: str) -> int:
    """Return how many characters of a text fit into `tokens`; estimates never fall as texts grow."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if estimate_tokens(text[:middle], model) <= tokens else (low, middle - 1)
    return low
