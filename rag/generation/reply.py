"""What a generator's replies say of themselves: which model, what it cost, why it failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag.core.answers import Call, Usage
from rag.core.errors import GenerationError
from rag.usage.tokens import estimate_all


def describe(generator: Any) -> str:
    """Return what the user is told about a generator."""
    own = getattr(generator, "description", None)
    if isinstance(own, str):
        return own
    kind = type(getattr(generator, "bound", generator))  # tools, for one, may be bound to it
    return f"{kind.__name__} {model_of(generator) or ''}".strip()


def model_of(generator: Any) -> str | None:
    """Return the model's id, under whichever name a chat model keeps it; None if it keeps none."""
    found = (getattr(generator, name, None) for name in ("model_id", "model", "model_name"))
    return next((value for value in found if isinstance(value, str) and value), None)


def usage(generator: Any, message: Any) -> Usage:
    """Return the tokens of a reply, and their price where the model's is known.

    The price is that of the model that answered, where the reply names it (as
    ``response_metadata["model_id"]``), else of the generator's own.
    """
    said = getattr(message, "usage_metadata", None) or {}
    detail = said.get("input_token_details") or {}
    read = int(detail.get("cache_read") or 0)
    for_an_hour = int(detail.get("ephemeral_1h_input_tokens") or 0)
    # Where LangChain says how long they are kept, its cache_creation is 0.
    kept = int(detail.get("ephemeral_5m_input_tokens") or 0) + for_an_hour
    written = max(int(detail.get("cache_creation") or 0), kept)
    counted = Usage(
        # LangChain's input_tokens include what was read from and written to the cache.
        max(int(said.get("input_tokens", 0)) - read - written, 0),
        int(said.get("output_tokens", 0)), read, written, cache_write_1h_input_tokens=for_an_hour,
    )  # fmt: skip
    answered = (getattr(message, "response_metadata", None) or {}).get("model_id")
    return replace(counted, cost_usd=_price(generator, answered, counted if said else None))


def _price(generator: Any, answered: Any, counted: Usage | None) -> float | None:
    """Return what tokens cost; a reply that does not tell them is not free, but has no known price."""
    if "extractive" in (answered, getattr(generator, "_llm_type", "")):
        return 0.0
    own, base = getattr(generator, "model_id", None), getattr(generator, "base_model_id", None)
    model = answered or own
    if counted is None or not isinstance(model, str):
        return None
    from rag.bedrock.models import cost_usd

    return cost_usd(model, counted, base=base if model == own else None)


def made_by(generator: Any, message: Any) -> str:
    """Return the model that made a reply: the one that the reply names, else the generator's own."""
    said = getattr(message, "response_metadata", None) or {}
    return str(said.get("model_id") or model_of(generator) or describe(generator))


def speaker(generator: Any, message: Any) -> str:
    """Return what the user is told of who answered; where another stood in, that is its name."""
    made = made_by(generator, message)
    return describe(generator) if made in (model_of(generator), describe(generator)) else made


def most(generator: Any, sent: Sequence[str]) -> tuple[str | None, int, int]:
    """Return a generator's model (None for one on this machine), and the most tokens of a call.

    Of several models that stand in for each other it is the first.
    """
    generator = next(iter(getattr(generator, "models", ())), generator)
    if getattr(generator, "_llm_type", "") == "extractive":
        return None, 0, 0
    model = getattr(generator, "base_model_id", None) or model_of(generator)
    longest = getattr(generator, "max_tokens", None)
    return model, sum(estimate_all(list(sent), model)), longest if isinstance(longest, int) else 4096


def spent(stage: Any, purpose: str) -> Iterator[Call]:
    """Yield what a stage's calls have cost since it was last asked, if it says so."""
    ask = getattr(stage, "spent", None)
    used = ask() if callable(ask) else None
    if isinstance(used, Usage) and (used.input_tokens or used.cost_usd):
        yield Call(model_of(stage) or type(stage).__name__, purpose, used)


def told(stage: Any) -> tuple[str, ...]:
    """Return what a stage has to say to the user since it was last asked."""
    ask = getattr(stage, "notes", None)
    return tuple(ask()) if callable(ask) else ()


def explain(error: Exception, generator: Any) -> str:
    """Return one line about a generator's failure, and what to do."""
    model = describe(generator)
    if type(error).__module__.startswith("botocore"):
        from rag.bedrock.runtime.client import explain as explain_aws

        return explain_aws(error, model)
    return f"{model}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


def learn(counter: Any, texts: Sequence[str], usage: Usage) -> None:
    """Tell a token counter what a reply's usage says of the texts that were sent."""
    observe, estimate = getattr(counter, "observe", None), getattr(counter, "estimate", None)
    actual = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_write_input_tokens
    known = getattr(counter, "model", "") is not None  # the local answerer's usage is an estimate itself
    if callable(observe) and callable(estimate) and actual and known:
        observe(estimate("".join(texts)), actual)


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


def sent(messages: Sequence[Any]) -> list[str]:
    """Return the texts of messages, of whatever blocks they are made."""
    return [text for message in messages for text in _texts(message.content)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for block in value:
            yield from _texts(block)
    elif isinstance(value, Mapping):
        for name in ("text", "title", "content", "guardContent"):
            yield from _texts(value.get(name))


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


def _guardrail(said: Mapping[str, Any], reason: str) -> str | None:
    if "trace" not in said and reason != "guardrail_intervened":
        return None
    from rag.bedrock.chat.guardrails import outcome

    return outcome({**said, "stop_reason": reason})
