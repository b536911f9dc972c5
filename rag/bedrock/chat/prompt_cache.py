"""Cache points: where a prompt's unchanging parts end, so that Bedrock caches them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from rag.usage.tokens import estimate_tokens

#: Fewest tokens of a cached prefix, for models that `rag.bedrock.models` does not know.
MINIMUM = 1024


@dataclass(frozen=True, slots=True)
class Prompt:
    """The parts of a request that may hold cache points.

    Attributes
    ----------
    messages : list of BaseMessage
    tools : list
        As bound to the model.
    system : list
        Content blocks of the model's `system` field, which precede the messages.
    """

    messages: list[BaseMessage]
    tools: list[Any]
    system: list[Any]

    @property
    def has_points(self) -> bool:
        """Whether the user placed cache points: at most four are allowed, and 1 h must precede 5 min."""
        contents = [message.content for message in self.messages if not isinstance(message.content, str)]
        blocks = [*self.system, *self.tools, *itertools.chain(*contents)]
        return any(isinstance(block, Mapping) and "cachePoint" in block for block in blocks)

    def with_points(self, minimum: int, ttl: str, model: str) -> tuple[Prompt | None, int]:
        """Return the prompt with cache points after tools, system prompt and earlier messages.

        The model reads the parts in this order, and a point caches everything before it. A point before
        which there are fewer than `minimum` tokens would have no effect, so it is omitted.

        Returns
        -------
        (Prompt or None, int)
            None if no point would have an effect; and the tokens of all unchanging parts.
        """
        point = {"cachePoint": {"type": "default", **({"ttl": "1h"} if ttl == "1h" else {})}}
        tools, messages, has_point = list(self.tools), list(self.messages), False
        size = sum(_tokens(tool, model) for tool in tools)
        if tools and size >= minimum:
            tools.append(point)
            has_point = True
        size += sum(_tokens(block, model) for block in self.system)
        before = 0
        for last in self._part_ends():
            size += sum(_tokens(message.content, model) for message in messages[before : last + 1])
            before = last + 1
            if size >= minimum:
                content = messages[last].content
                blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
                messages[last] = messages[last].model_copy(update={"content": [*blocks, point]})
                has_point = True
        return (Prompt(messages, tools, self.system) if has_point else None), size

    def _part_ends(self) -> list[int]:
        """Return the positions of the system message, and of the last earlier message and its like before.

        A conversation's previous request ended its earlier messages one reply before: a point there, too,
        finds what that request wrote, whether or not a service looks behind a point for older ones.
        """
        system = [n for n, message in enumerate(self.messages) if isinstance(message, SystemMessage)][-1:]
        first = system[0] + 1 if system else 0
        earlier = [n for n in range(first, len(self.messages) - 1) if _ends_in_content(self.messages[n])]
        replies = [n for n in earlier[:-1] if isinstance(self.messages[n], AIMessage)]
        return [*system, *replies[-1:], *earlier[-1:]]


def _ends_in_content(message: BaseMessage) -> bool:
    """Return whether a point after a message's content would be at the end of the message."""
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return not calls or any(isinstance(block, Mapping) for block in message.content)


def _tokens(value: Any, model: str) -> int:
    """Estimate the tokens of a tool, a content block or a message's content."""
    if not isinstance(value, str):
        try:
            value = json.dumps(value, ensure_ascii=False)
        except TypeError:
            value = str(value)
    return estimate_tokens(value, model)
