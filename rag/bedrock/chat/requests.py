"""Messages and metadata in the form that Converse takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk

#: Characters that a value of Converse's requestMetadata may not hold, its length, and the number of
#: entries (botocore 1.44.5's service model, whose white space is ASCII).
_NOT_IN_METADATA, _METADATA_CHARS = re.compile(r"[^a-zA-Z0-9\s:_@$#=/+,.-]", re.ASCII), 256
_METADATA_ENTRIES = 16


def in_wire_form(message: BaseMessage) -> BaseMessage:
    """Return a message with its search results as Converse takes them.

    ChatBedrockConverse would convert them, too, but evaluates the type hints of 30 classes for each
    block: a third of a question's CPU time.
    """
    content = message.content
    if isinstance(content, str) or not any(
        isinstance(block, dict) and block.get("type") == "search_result" for block in content
    ):
        return message
    return message.model_copy(update={"content": [_block(block) for block in content]})


def _block(block: Any) -> Any:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "text" and set(block) == {"type", "text"}:
        return {"text": block["text"]}
    if kind != "search_result":
        return block
    fields = {name: block[name] for name in ("source", "title", "citations") if name in block}
    return {"searchResult": {**fields, "content": [{"text": item["text"]} for item in block["content"]]}}


def has_search_results(message: BaseMessage) -> bool:
    """Return whether a message holds search results, which the reply may cite."""
    return not isinstance(message.content, str) and any(
        isinstance(block, Mapping) and (block.get("type") == "search_result" or "searchResult" in block)
        for block in message.content
    )


def metadata(messages: Sequence[BaseMessage], tags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user's tags and, if there is room, the prompt's name and version.

    `rag.generation.prompt` leaves both in the system message.
    """
    entries = [*tags.items(), *_prompt_tags(messages, tags)]
    return dict(entries[: max(_METADATA_ENTRIES, len(tags))])


def _prompt_tags(messages: Sequence[BaseMessage], tags: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    values = messages[0].additional_kwargs if messages else {}
    for name in ("prompt", "version"):
        if values.get(name) and name not in tags:
            yield name, _NOT_IN_METADATA.sub("_", str(values[name]))[:_METADATA_CHARS]


def is_visible(chunk: ChatGenerationChunk) -> bool:
    """Return whether a part of a reply holds text, a tool call or a citation."""
    message = chunk.message
    calls = message.tool_call_chunks if isinstance(message, AIMessageChunk) else []
    return bool(chunk.text or calls) or any(
        isinstance(block, dict) and block.get("citations") for block in message.content
    )
