"""Read an agent's final message: its text with the citations that hold, as an `Answer`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from rag.agents.search_tool import passages_of
from rag.core.answers import Answer, ToolUse
from rag.core.calls import Usage
from rag.core.errors import UsageError
from rag.core.passages import Context, Hit
from rag.generation import reply
from rag.generation.citations import OnFail, ReplyReader
from rag.usage.model_calls import usage_of

# A tag of a citation, whose number is replaced; or a bare mark, which stands for the whole passage.
_NUMBER = re.compile(r'(<cite\s+doc=")(\d+)(?=")|\s*\[(\d+)\]([.,;:!?]?)')


def cited_answer(result: Any, *, on_unverified: OnFail = "flag") -> Answer:
    """Return an agent's answer with its citations verified.

    Parameters
    ----------
    result : mapping or sequence of BaseMessage
        What the agent returned, with its ``"messages"``; or these.
    on_unverified : {"flag", "drop"}
        How to treat a citation whose quote is in no passage of the tools.

    Returns
    -------
    Answer
        `text` is the final message with ``[n]`` for each citation, numbered from 1; `context` holds all
        passages that tools made by `Pipeline.as_tool` returned; `usage` is the sum of the model's messages,
        without a price. The calls of the agent's model are not in the ledger.

    Raises
    ------
    UsageError
        There is no final message.

    Notes
    -----
    A bare ``[101]`` that the model writes in place of a quote counts as a citation of that passage,
    narrowed to the sentences that support it.

    Examples
    --------
    >>> result = agent.invoke({"messages": [("human", "Who declares a SEV-1?")]})       # doctest: +SKIP
    >>> cited_answer(result).citations[0].place                                         # doctest: +SKIP
    'incidents.md > Severity'
    """
    messages = _messages(result)
    if not messages or not isinstance(messages[-1], AIMessage):
        raise UsageError(
            "the agent's last message is not an answer: pass its whole result, once it has ended"
        )
    final = messages[-1]
    passages = dict(pair for message in messages for pair in passages_of(message))
    hits = [Hit.from_dict(values) for values in passages.values()]
    places = {number: place for place, number in enumerate(passages, 1)}
    question = next((str(m.text) for m in reversed(messages) if isinstance(m, HumanMessage)), "")
    reader = ReplyReader(hits, on_unverified, question)
    for part in _parts(final, places):
        for _ in reader.feed(part) if isinstance(part, str) else reader.cite("", part):
            pass
    for _ in reader.close():
        pass
    end, calls = reply.ending(final, None), reply.tool_calls(final)
    usages = [usage_of(message) for message in messages if isinstance(message, AIMessage)]
    return Answer(
        question=question, text=reader.text, answered=reader.answered and not (end.withheld or calls),
        citations=tuple(reader.citations), context=_context(hits),
        usage=sum((usage for usage in usages if usage is not None), Usage()), trace=(),
        generator=_model(final), prompt="agent", stop_reason=end.reason, guardrail=end.guardrail,
        support=None if end.withheld or calls else reader.support,
        notes=(*end.notes, *(() if end.withheld or calls else reader.notes)), tool_calls=calls,
        tool_uses=tuple(_uses(messages)),
    )  # fmt: skip


def _messages(result: Any) -> Sequence[BaseMessage]:
    found = result.get("messages") if isinstance(result, Mapping) else result
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise UsageError('pass what the agent returned, a mapping with "messages", or its messages')
    return found


def _parts(message: AIMessage, places: Mapping[int, int]) -> Iterator[str | int]:
    """Yield the text with each passage's number as its place from 1, and bare marks as that place."""
    text, at = "".join(part for part in reply.parts(message) if isinstance(part, str)), 0
    for match in _NUMBER.finditer(text):
        place = places.get(int(match[2] or match[3]))
        if place is None:
            continue
        if match[2]:
            yield f"{text[at : match.start()]}{match[1]}{place}"
        else:
            yield text[at : match.start()] + match[4]  # a mark stands behind the sentence's end
            yield place
        at = match.end()
    yield text[at:]


def _uses(messages: Sequence[BaseMessage]) -> Iterator[ToolUse]:
    calls = {
        str(call["id"]): call
        for message in messages if isinstance(message, AIMessage) for call in message.tool_calls
    }  # fmt: skip
    for message in messages:
        if isinstance(message, ToolMessage):
            call: Mapping[str, Any] = calls.get(message.tool_call_id) or {}
            name = str(message.name or call.get("name") or "")
            yield ToolUse(name, dict(call.get("args") or {}), str(message.text), message.status == "error")


def _model(message: AIMessage) -> str:
    metadata = reply.metadata_of(message)
    names = (metadata.get(name) for name in ("model_id", "model_name", "model"))
    return next((str(name) for name in names if name), "an agent's model")


def _context(hits: Sequence[Hit]) -> Context:
    used = sum(len(hit.text) for hit in hits)
    return Context(tuple(hits), used, used, "chars")
