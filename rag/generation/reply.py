"""What a generator's reply says: its text and citations, which model wrote it, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rag.core.errors import GenerationError
from rag.generation.models import describe, model_of
from rag.usage.messages import texts_of


def made_by(generator: Any, message: Any) -> str:
    """Return the model that made a reply: the one that the reply names, else the generator's own."""
    said = getattr(message, "response_metadata", None) or {}
    return str(said.get("model_id") or model_of(generator) or describe(generator))


def speaker(generator: Any, message: Any) -> str:
    """Return what the user is told of who answered; where another stood in, that is its name."""
    made = made_by(generator, message)
    return describe(generator) if made in (model_of(generator), describe(generator)) else made


@dataclass(frozen=True, slots=True)
class Quoted:
    """A citation that comes beside the text: the words it rests on, and of which document (from 1)."""

    quote: str
    document: int | None


def parts(message: Any) -> Iterator[str | Quoted]:
    """Yield the text of a reply, or of a piece of it, and the citations that its model gives itself."""
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
    """Read a citation as Bedrock gives it: the search result's number counts from 0."""
    place = citation.get("location") or {}
    found = place.get("search_result_location") or place.get("searchResultLocation") or {}
    number = found.get("search_result_index", found.get("searchResultIndex"))
    content = citation.get("source_content") or citation.get("sourceContent") or ()
    quote = "".join(str(item.get("text", "")) for item in content)
    if quote:
        yield Quoted(quote, None if number is None else int(number) + 1)


def texts(messages: Sequence[Any]) -> list[str]:
    """Return the texts of messages, of whatever blocks they are made."""
    return [text for message in messages for text in texts_of(message.content)]


def tool_calls(message: Any) -> tuple[Mapping[str, Any], ...]:
    """Return what the model wants called, as LangChain has it."""
    return tuple(getattr(message, "tool_calls", ()))


#: What a stop reason means for the answer; a reason that is not here means that it is whole. Bedrock's
#: names, and those of other makers that LangChain passes on.
_CUT = {
    "max_tokens": "the answer is cut: it reached the most tokens it may have; allow more with max_tokens",
    "length": "the answer is cut: it reached the most tokens it may have; allow more with max_tokens",
    "model_context_window_exceeded": "the answer is cut: the model's context window is full; lower the "
    "trimmer's budget",
}
_WITHHELD = {
    "content_filtered": "the model's content filter held the answer back",
    "content_filter": "the model's content filter held the answer back",
    "refusal": "the model refused to answer",
}
_WHOLE = ("end_turn", "stop_sequence", "stop", "STOP", "eos", "complete", "COMPLETE")
_MALFORMED = ("malformed_model_output", "malformed_tool_use")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply ended: the model's own word, what the user is told, and what a guardrail did."""

    reason: str
    notes: tuple[str, ...]
    withheld: bool
    guardrail: str | None


def ending(message: Any, generator: Any) -> Ending:
    """Return how a reply ended.

    Raises
    ------
    GenerationError
        The model's output was malformed: it is no answer.
    """
    said: Mapping[str, Any] = getattr(message, "response_metadata", None) or {}
    keys = ("stop_reason", "stopReason", "finish_reason")
    reason = next((str(said[key]) for key in keys if said.get(key)), "end_turn")
    if reason in _MALFORMED:
        raise GenerationError(
            f"{describe(generator)}: {reason}: the model's output was malformed and is no answer: ask again",
            code=reason, started=True,
        )  # fmt: skip
    guardrail = _guardrail(said, reason)
    notes = [*map(str, said.get("notes") or ())]
    notes += [text for text in (_CUT.get(reason), _WITHHELD.get(reason)) if text]
    if reason in ("tool_use", "tool_calls"):
        notes.append("the model asks for a tool before it answers: see tool_calls")
    elif reason not in (*_WHOLE, *_CUT, *_WITHHELD, "guardrail_intervened"):
        notes.append(
            f"the model stopped for a reason that is not known here ({reason}): the answer may be cut"
        )
    if guardrail == "blocked":
        notes.append("a guardrail blocked the answer: its own message stands in its place")
    elif guardrail == "masked":
        notes.append("a guardrail masked parts of the answer")
    withheld = guardrail == "blocked" or reason in _WITHHELD
    return Ending(reason, tuple(dict.fromkeys(notes)), withheld, guardrail)


def _guardrail(metadata: Mapping[str, Any], reason: str) -> Literal["blocked", "masked"] | None:
    """Return what a guardrail of Bedrock's did, as the trace in a reply's metadata says.

    A guardrail masks by replacing what it found (action ``ANONYMIZED``) and blocks by replacing the
    whole reply; both end with the stop reason ``guardrail_intervened``. Without a trace, that counts
    as blocked.
    """
    actions = set(_actions(metadata.get("trace") or {}))
    if "BLOCKED" in actions:
        return "blocked"
    if "ANONYMIZED" in actions:
        return "masked"
    return "blocked" if reason == "guardrail_intervened" else None


def _actions(value: Any) -> Iterator[str]:
    """Yield every policy's action in a trace, however deep."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "action" and isinstance(inner, str):
                yield inner
            else:
                yield from _actions(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _actions(inner)


def whole(pieces: Sequence[Any]) -> Any:
    """Return the pieces of a reply as one message; None if there are none.

    At once, as adding LangChain's chunks one by one takes time quadratic in them.
    """
    chunks = [piece for piece in pieces if hasattr(piece, "tool_call_chunks")]
    if chunks:
        return chunks[0] + chunks[1:]
    return pieces[-1] if pieces else None
