"""The form in which a chat model replies with JSON: its most reliable mechanism, and how a reply is read.

=================================  ======================================================================
a model                            replies
=================================  ======================================================================
with `BindsSchemas`                by its API's structured output, where the schema can be sent
with tools                         by calling a tool whose input has the schema
with ``with_structured_output``    by whatever that does
without any of them                in words: JSON between ``<json>`` and ``</json>``, where it is stopped
=================================  ======================================================================
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableLambda

from rag.core.errors import ConfigError, GenerationError
from rag.generation.models import NamesToolChoices, describe, model_of
from rag.generation.quoting import Quoting
from rag.generation.reply import stop_reason
from rag.generation.structured.json_text import json_in
from rag.generation.structured.schemas import Target

#: Ends a reply in words: nothing is written, or paid for, behind its JSON.
END = "</json>"
# Stop reasons, by Bedrock and other providers, after which a reply is unusable and a repair pointless.
_NO_REPLY = {
    "max_tokens": "the reply is cut, so it is not read: raise max_tokens",
    "length": "the reply is cut, so it is not read: raise max_tokens",
    "model_context_window_exceeded": "the reply is cut because the context window is full: send less",
    "refusal": "the model refused to reply: rephrase the request",
    "content_filtered": "a content filter withheld the reply: rephrase the request",
    "content_filter": "a content filter withheld the reply: rephrase the request",
    "guardrail_intervened": "a guardrail blocked the reply: see its trace",
}


@runtime_checkable
class BindsSchemas(Protocol):
    """A chat model whose API holds a reply to a schema."""

    def bind_schema(self, target: Target) -> Runnable[Any, Any] | None:
        """Return the model bound to a schema; None if its API cannot hold it to that one."""


@dataclass(frozen=True, slots=True)
class Form:
    """A model bound to a schema, and how it replies."""

    model: Runnable[Any, Any]
    target: Target
    kind: Literal["json", "tool", "words"]
    model_name: str

    def asked(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """Return the messages to send."""
        if self.kind != "words":
            return list(messages)
        schema = json.dumps(self.target.schema, ensure_ascii=False)
        return with_text(messages, f"Reply with JSON alone, between <json> and {END}, that fits:\n{schema}")

    def piece(self, message: Any) -> str:
        """Return what a piece of a reply adds to its JSON."""
        if self.kind != "tool":
            return str(message.text)
        chunks = getattr(message, "tool_call_chunks", None) or ()
        return "".join(str(chunk.get("args") or "") for chunk in chunks)

    def read(self, reply: Any) -> tuple[Any, list[str]]:
        """Return a reply's validated object, and the reply's problems."""
        if self.kind == "tool":
            calls = [call for call in reply.tool_calls if call["name"] == self.target.name]
            if len(calls) > 1:
                return None, [f"$: {len(calls)} calls of {self.target.name}: make one call with everything"]
            if calls:
                return self.target.check(calls[0]["args"])
            if reply.invalid_tool_calls:
                return None, [f"$: the input of {self.target.name} is not valid JSON"]
        try:
            value = json_in(str(reply.text).replace("<json>", "").partition(END)[0])
        except ValueError as error:
            how = f"call the tool {self.target.name}" if self.kind == "tool" else "reply with JSON alone"
            return None, [f"$: {how} ({error})"]
        return self.target.check(value)

    def repair_request(self, reply: Any, problems: Sequence[str]) -> list[BaseMessage]:
        """Return an invalid reply and its problems as messages that continue the conversation."""
        request = (
            "This does not fit the schema:\n"
            + "\n".join(problems)
            + "\nGive the whole answer again, corrected."
        )
        calls = [*getattr(reply, "tool_calls", ()), *getattr(reply, "invalid_tool_calls", ())]
        if calls:  # every tool call needs a result
            return [reply, *(ToolMessage(request, tool_call_id=str(c["id"]), status="error") for c in calls)]
        if not str(reply.text).strip():  # Bedrock refuses empty messages: repeat the original request
            return []
        return [reply, HumanMessage(request)]

    def unusable(self, reply: Any) -> GenerationError | None:
        """Return why a reply is not read at all; None if it may be."""
        reason = _NO_REPLY.get(stop_reason(reply))
        if reason is None:
            return None
        return GenerationError(f"{self.model_name}: {reason}", elsewhere=False, strike=False)

    def invalid(self, calls: int, problems: Sequence[str]) -> GenerationError:
        """Return the error of a reply that is still invalid after some calls."""
        after = f"after {calls} calls " if calls > 1 else ""
        return GenerationError(
            f"{self.model_name}: {after}the reply does not fit the schema {self.target.name}: "
            f"{'; '.join(problems[:3])}: simplify the schema, add descriptions to it, or raise repairs",
            strike=False,
        )


def form_of(model: Any, target: Target) -> Form:
    """Return a model bound to a schema by its most reliable mechanism.

    Raises
    ------
    ConfigError
        It only quotes, or one of its fallbacks calls no tools.
    """
    name = model_of(model) or describe(model)
    if isinstance(model, Quoting):
        raise ConfigError(
            "the local answerer only quotes, and fills no schema: set a model that writes, e.g. "
            "generator='claude', or leave the schema out"
        )
    if isinstance(model, RunnableBinding):  # options that the user has bound stay
        inner = form_of(model.bound, target)
        return replace(inner, model=model.model_copy(update={"bound": inner.model}))
    if isinstance(model, BindsSchemas):
        bound = model.bind_schema(target)
        if bound is not None:
            return Form(bound, target, "json", name)
    if _overrides(model, "bind_tools"):
        return by_tool(model, target)
    if _overrides(model, "with_structured_output"):
        return Form(_adapted(model, target), target, "json", name)
    return Form(model.bind(stop=[END]) if isinstance(model, BaseChatModel) else model, target, "words", name)


def by_tool(model: Any, target: Target) -> Form:
    """Return a model that is made to call a tool whose input has the schema.

    Raises
    ------
    ConfigError
        It calls no tools.
    """
    name = model_of(model) or type(model).__name__
    description = f"Give your answer by calling this tool. {target.description}"
    function = {"name": target.name, "description": description, "parameters": dict(target.schema)}
    choices = model.supports_tool_choice_values or () if isinstance(model, NamesToolChoices) else ("tool",)
    choice = target.name if "tool" in choices else "any" if "any" in choices else None
    try:
        bound = model.bind_tools([{"type": "function", "function": function}], tool_choice=choice)
    except (NotImplementedError, AttributeError) as error:
        why = f" ({error})" if str(error) else ""
        raise ConfigError(
            f"{name} supports neither tools nor structured output{why}: choose another model"
        ) from error
    return Form(bound.bind(**traced(target, "function_calling")), target, "tool", name)


def traced(target: Target, method: str) -> dict[str, Any]:
    """Return the schema for LangChain's tracers; chat models do not send it."""
    schema = dict(target.traced or target.schema)
    return {"ls_structured_output_format": {"kwargs": {"method": method}, "schema": schema}}


def with_text(messages: Sequence[Any], text: str) -> list[Any]:
    """Return messages with a text at the end of the last one."""
    *before, last = messages
    content = last.content
    more = f"{content}\n\n{text}" if isinstance(content, str) else [*content, {"type": "text", "text": text}]
    return [*before, last.model_copy(update={"content": more})]


def _overrides(model: Any, name: str) -> bool:
    method = getattr(type(model), name, None)
    return method is not None and method is not getattr(BaseChatModel, name)


def _adapted(model: Any, target: Target) -> Runnable[Any, Any]:
    """Return a model of which only ``with_structured_output`` is known, as one that writes JSON."""

    def written(result: Any) -> AIMessage:
        raw, parsed = result["raw"], result["parsed"]
        if parsed is None:
            return raw if isinstance(raw, AIMessage) else AIMessage(str(raw))
        text = json.dumps(parsed)
        return raw.model_copy(update={"content": text, "tool_calls": []}) if raw else AIMessage(text)

    schema = {"title": target.name, "description": target.description, **target.schema}
    return model.with_structured_output(schema, include_raw=True) | RunnableLambda(written)  # type: ignore[no-any-return]
