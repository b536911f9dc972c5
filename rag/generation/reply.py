"""Read a generator's reply: its text and citations, its model, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rag.core.calls import Call, Usage
from rag.core.errors import GenerationError
from rag.generation.models import describe, model_of
from rag.usage.messages import texts_of


def metadata_of(message: Any) -> Mapping[str, Any]:
    """Return a message's metadata; empty if a Runnable returned something else."""
    return getattr(message, "response_metadata", None) or {}


def made_by(generator: Any, message: Any) -> str:
    """Return the model that wrote a reply: the one that the reply names, else the generator's."""
    return str(metadata_of(message).get("model_id") or model_of(generator) or describe(generator))


def speaker(generator: Any, message: Any) -> str:
    """Return the answering model's description for the user; a fallback's or router's is its name."""
    model = made_by(generator, message)
    if "tier" in metadata_of(message):  # of a router, whose description lists all its models
        return model
    return describe(generator) if model in (model_of(generator), describe(generator)) else model


@dataclass(frozen=True, slots=True)
class Quoted:
    """A native citation: the words it quotes, and the number of their document, from 1."""

    quote: str
    document: int | None


def parts(message: Any) -> Iterator[str | Quoted]:
    """Yield the text and the native citations of a reply, or of a piece of it."""
    content = message.content
    if isinstance(content, str):
        yield content
        return
    for block in content:
        if isinstance(block, str):
            yield block
        elif block.get("type") == "text":
            yield str(block.get("text") or "")
            for citation in block.get("citations") or ():
                yield from _quoted(citation)


def _quoted(citation: Mapping[str, Any]) -> Iterator[Quoted]:
    """Read a citation of Bedrock, which numbers search results from 0."""
    location = citation.get("location") or {}
    result = location.get("search_result_location") or location.get("searchResultLocation") or {}
    number = result.get("search_result_index", result.get("searchResultIndex"))
    content = citation.get("source_content") or citation.get("sourceContent") or ()
    quote = "".join(str(item.get("text", "")) for item in content)
    if quote:
        yield Quoted(quote, None if number is None else int(number) + 1)


def texts(messages: Sequence[Any]) -> list[str]:
    """Return the texts of messages, from all of their content blocks."""
    return [text for message in messages for text in texts_of(message.content)]


def tool_calls(message: Any) -> tuple[Mapping[str, Any], ...]:
    """Return what the model wants called, as LangChain has it."""
    return tuple(getattr(message, "tool_calls", ()))


#: Notes for stop reasons, by the names of Bedrock and of other providers that LangChain passes on.
_CUT = {
    "max_tokens": "the answer is cut: it reached the limit of tokens; raise max_tokens",
    "length": "the answer is cut: it reached the limit of tokens; raise max_tokens",
    "model_context_window_exceeded": "the answer is cut: the model's context window is full; lower the "
    "trimmer's budget",
}
_WITHHELD = {
    "content_filtered": "the model's content filter withheld the answer",
    "content_filter": "the model's content filter withheld the answer",
    "refusal": "the model refused to answer",
}
#: Stop reasons of a reply that is whole, by the same names.
COMPLETE = ("end_turn", "stop_sequence", "stop", "STOP", "eos", "complete", "COMPLETE")
#: Those of a reply that calls a tool; data may come as such a call.
BY_TOOL = ("tool_use", "tool_calls")
_MALFORMED = ("malformed_model_output", "malformed_tool_use")


def stop_reason(message: Any) -> str:
    """Return why a reply ended, as its model named it."""
    metadata = metadata_of(message)
    keys = ("stop_reason", "stopReason", "finish_reason")
    return next((str(metadata[key]) for key in keys if metadata.get(key)), "end_turn")


def is_cut(message: Any) -> bool:
    """Tell whether a reply reached a limit of tokens."""
    return stop_reason(message) in _CUT


def is_malformed(message: Any) -> bool:
    """Tell whether a reply is not in the form that its model should write."""
    return stop_reason(message) in _MALFORMED


def is_withheld(message: Any) -> bool:
    """Tell whether a guardrail, a filter or the model itself withheld the reply's text."""
    reason = stop_reason(message)
    return reason in _WITHHELD or _guardrail(metadata_of(message), reason) is not None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply ended: the stop reason, notes for the user, and the guardrail's action."""

    reason: str
    notes: tuple[str, ...]
    withheld: bool
    guardrail: str | None


def ending(message: Any, generator: Any, *, by_tool: bool = False) -> Ending:
    """Return how a reply ended.

    Parameters
    ----------
    message : BaseMessage
    generator : BaseChatModel or Runnable
    by_tool : bool
        Whether a tool call is the reply itself.

    Raises
    ------
    GenerationError
        The model's output is malformed.
    """
    metadata, reason = metadata_of(message), stop_reason(message)
    if reason in _MALFORMED:
        raise GenerationError(
            f"{describe(generator)}: {reason}: the model's output is malformed: ask again",
            code=reason, started=True,
        )  # fmt: skip
    guardrail = _guardrail(metadata, reason)
    notes = [*map(str, metadata.get("notes") or ())]
    notes += [text for text in (_CUT.get(reason), _WITHHELD.get(reason)) if text]
    if reason in BY_TOOL and by_tool:
        pass
    elif reason in BY_TOOL:
        notes.append("the model requests a tool before it answers: see tool_calls")
    elif reason not in (*COMPLETE, *_CUT, *_WITHHELD, "guardrail_intervened"):
        notes.append(f"the model stopped for an unknown reason ({reason}): the answer may be cut")
    if guardrail == "blocked":
        notes.append("a guardrail blocked the answer: its message replaces the answer")
    elif guardrail == "masked":
        notes.append("a guardrail masked parts of the answer")
    withheld = guardrail == "blocked" or reason in _WITHHELD
    return Ending(reason, tuple(dict.fromkeys(notes)), withheld, guardrail)


def _guardrail(metadata: Mapping[str, Any], reason: str) -> Literal["blocked", "masked"] | None:
    """Return the action of a Bedrock guardrail, from the trace in a reply's metadata.

    A guardrail masks by replacing parts of the reply (action ``ANONYMIZED``) and blocks by replacing the
    whole reply; both end with the stop reason ``guardrail_intervened``. Without a trace, that reason
    counts as blocked.
    """
    actions = set(_actions(metadata.get("trace") or {}))
    if "BLOCKED" in actions:
        return "blocked"
    if "ANONYMIZED" in actions:
        return "masked"
    return "blocked" if reason == "guardrail_intervened" else None


def _actions(value: Any) -> Iterator[str]:
    """Yield every policy's action in a trace, at any depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "action" and isinstance(inner, str):
                yield inner
            else:
                yield from _actions(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _actions(inner)


def usage_of(message: Any, calls: Sequence[Call]) -> Usage:
    """Return the usage of the call that wrote a reply: of several, the last with as many tokens."""
    made = [call.usage for call in calls if call.purpose == "generate"]
    tokens = (getattr(message, "usage_metadata", None) or {}).get("total_tokens")
    same = (usage for usage in reversed(made) if sum(usage.counts) == tokens)
    return next(same, made[-1] if made else Usage())


def whole(pieces: Sequence[Any]) -> Any:
    """Return the pieces of a reply as one message; None if there are none.

    At once, as adding LangChain's chunks one by one takes time quadratic in them.
    """
    chunks = [piece for piece in pieces if hasattr(piece, "tool_call_chunks")]
    if chunks:
        return chunks[0] + chunks[1:]
    return pieces[-1] if pieces else None
