"""Structured output: request it by the model's most reliable mechanism, validate it, and repair it.

A model with structured output (``outputConfig``) is sent the schema; any other model is made to call a
tool whose input has the schema. Each reply is validated here against the whole schema. An invalid reply
goes back to the model with its problems, a limited number of times.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, runtime_checkable

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage, convert_to_messages
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.utils.function_calling import convert_to_json_schema

from rag.bedrock.chat.schemas import Target, sendable, target
from rag.core.errors import ConfigError, GenerationError
from rag.generation.models import model_of
from rag.usage.collector import calls_for, purpose

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", re.DOTALL)
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
class _TakesOutputConfig(Protocol):
    """ChatBedrockConverse, in a version that knows structured output."""

    output_config: dict[str, Any] | None


@runtime_checkable
class _NamesToolChoices(Protocol):
    """ChatBedrockConverse: with thinking enabled, some models cannot be made to call a tool."""

    supports_tool_choice_values: Sequence[str] | None


class Raw(TypedDict):
    """The result with ``include_raw=True``.

    Attributes
    ----------
    raw : AIMessage
        The last reply.
    parsed : Any
        The validated object, or None.
    parsing_error : GenerationError or None
        Why there is no object.
    attempts : tuple of AIMessage
        All replies, in order.
    usage : UsageMetadata or None
        The tokens of all replies; None if the model does not report them.
    """

    raw: AIMessage
    parsed: Any
    parsing_error: GenerationError | None
    attempts: tuple[AIMessage, ...]
    usage: UsageMetadata | None


@dataclass(frozen=True, slots=True)
class _Form:
    """A model bound to a schema, and whether it replies by a tool call."""

    model: Runnable[LanguageModelInput, Any]
    target: Target
    by_tool: bool
    model_name: str


class _Structured(RunnableLambda[LanguageModelInput, Any]):
    """Calls a chat model, which reports its calls, so budgets count them."""

    reports_calls = True


def structured(
    llm: Any, schema: Any, *, repairs: int = 2, include_raw: bool = False
) -> Runnable[LanguageModelInput, Any]:
    """Return a runnable that returns a validated object.

    Parameters
    ----------
    llm : BaseChatModel
        Any LangChain chat model with Bedrock's structured output, or with tools.
    schema : pydantic model class or JSON Schema
        Schema of an object. A model class yields its instances, a JSON schema dicts. Replies are
        validated against the whole schema, including keywords that a request cannot express.
    repairs : int
        Most further calls after an invalid reply, at least 0. All calls are paid for.
    include_raw : bool
        Return a `Raw` dict instead of the object, and do not raise for an invalid reply.

    Raises
    ------
    ConfigError
        The schema or `repairs` is invalid, or the model does not support tools.
    GenerationError
        When run: the reply is cut or refused, or still invalid after all repairs.

    Notes
    -----
    Native citations and structured output exclude each other, so send documents as text. A thinking
    model that cannot be forced to call a tool is asked to; a reply without a call is repaired like any
    other invalid reply.

    Examples
    --------
    >>> class Leave(BaseModel):                                            # doctest: +SKIP
    ...     days: int = Field(ge=0, le=366)
    >>> structured(rag.ClaudeBedrock(), Leave).invoke("28 days of leave")   # doctest: +SKIP
    Leave(days=28)
    """
    if repairs < 0:
        raise ConfigError(f"repairs is {repairs}: set it to 0 or more")
    form = _bound(llm, target(schema), schema)

    def run(messages: LanguageModelInput, config: RunnableConfig) -> Any:
        result = _call(form, _messages(messages), repairs, config)
        if include_raw:
            return result
        if result["parsing_error"] is not None:
            raise result["parsing_error"]
        return result["parsed"]

    return _Structured(run, name=f"structured {form.target.name}")


def _bound(llm: Any, target: Target, schema: Any) -> _Form:
    """Bind the schema to a model as structured output if possible, else as a tool."""
    name = model_of(llm) or type(llm).__name__
    if isinstance(llm, BaseChatModel) and isinstance(llm, _TakesOutputConfig):
        supported = (llm.profile or {}).get("structured_output")
        request_schema = sendable(target.schema) if supported else None
        if request_schema is not None:
            json_schema = {
                "schema": json.dumps(request_schema, ensure_ascii=False), "name": target.name,
                "description": target.description,
            }  # fmt: skip
            format_ = {"type": "json_schema", "structure": {"jsonSchema": json_schema}}
            bound = llm.bind(output_config={**(llm.output_config or {}), "textFormat": format_})
            return _Form(bound.bind(**_traced(schema, target, "json_schema")), target, False, name)
    description = f"Give your answer by calling this tool. {target.description}"
    function = {"name": target.name, "description": description, "parameters": dict(target.schema)}
    choices = llm.supports_tool_choice_values or () if isinstance(llm, _NamesToolChoices) else ("tool",)
    choice = target.name if "tool" in choices else "any" if "any" in choices else None
    try:
        bound = llm.bind_tools([{"type": "function", "function": function}], tool_choice=choice)
    except (NotImplementedError, AttributeError) as error:
        raise ConfigError(
            f"{name} supports neither tools nor structured output: choose another model"
        ) from error
    return _Form(bound.bind(**_traced(schema, target, "function_calling")), target, True, name)


def _traced(schema: Any, target: Target, method: str) -> dict[str, Any]:
    """Return the schema for LangChain's tracers; chat models do not send it."""
    try:
        traced = convert_to_json_schema(schema)
    except (TypeError, ValueError):  # for instance a schema without a title
        traced = dict(target.schema)
    return {"ls_structured_output_format": {"kwargs": {"method": method}, "schema": traced}}


def _call(form: _Form, messages: list[BaseMessage], repairs: int, config: RunnableConfig) -> Raw:
    """Call the model until a reply is valid or the repairs are used up."""
    attempts: list[AIMessage] = []
    parsed, error = None, None
    for _ in range(repairs + 1):
        with calls_for("repair" if attempts else purpose()):
            reply = form.model.invoke(messages, config)
        attempts.append(reply)
        unusable = _NO_REPLY.get(_stop_reason(reply))
        if unusable:
            line = f"{form.model_name}: {unusable}"
            parsed, error = None, GenerationError(line, elsewhere=False, strike=False)
            break
        parsed, problems = _read(reply, form)
        if not problems:
            error = None
            break
        error = _invalid(form, len(attempts), problems)
        messages = [*messages, *_repair_request(reply, problems)]
    usages = [reply.usage_metadata for reply in attempts]
    usage = functools.reduce(add_usage, usages) if any(usages) else None
    return Raw(raw=attempts[-1], parsed=parsed, parsing_error=error, attempts=tuple(attempts), usage=usage)


def _read(reply: AIMessage, form: _Form) -> tuple[Any, list[str]]:
    """Return a reply's validated object, and the reply's problems."""
    if form.by_tool:
        calls = [call for call in reply.tool_calls if call["name"] == form.target.name]
        if len(calls) > 1:
            return None, [f"$: {len(calls)} calls of {form.target.name}: make one call with everything"]
        if calls:
            return form.target.check(calls[0]["args"])
        if reply.invalid_tool_calls:
            return None, [f"$: the input of {form.target.name} is not valid JSON"]
    text = str(reply.text)
    fenced = _FENCE.fullmatch(text)
    try:
        value = json.loads(fenced[1] if fenced else text, parse_constant=_refuse)
    except ValueError as error:
        how = f"call the tool {form.target.name}" if form.by_tool else "reply with JSON alone"
        return None, [f"$: {how} ({error})"]
    return form.target.check(value)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _repair_request(reply: AIMessage, problems: Sequence[str]) -> list[BaseMessage]:
    """Return an invalid reply and its problems as messages that continue the conversation."""
    request = (
        "This does not fit the schema:\n" + "\n".join(problems) + "\nGive the whole answer again, corrected."
    )
    calls = [*reply.tool_calls, *reply.invalid_tool_calls]
    if calls:  # every tool call needs a result
        results = [ToolMessage(request, tool_call_id=str(call["id"]), status="error") for call in calls]
        return [reply, *results]
    if not str(reply.text).strip():  # Bedrock refuses empty messages: repeat the original request
        return []
    return [reply, HumanMessage(request)]


def _invalid(form: _Form, calls: int, problems: Sequence[str]) -> GenerationError:
    after = f"after {calls} calls " if calls > 1 else ""
    return GenerationError(
        f"{form.model_name}: {after}the reply does not fit the schema {form.target.name}: "
        f"{'; '.join(problems[:3])}: simplify the schema, add descriptions to it, or raise repairs",
        strike=False,
    )


def _stop_reason(reply: AIMessage) -> str:
    metadata = reply.response_metadata
    names = ("stopReason", "stop_reason", "finish_reason")
    return next((str(metadata[name]) for name in names if metadata.get(name)), "")


def _messages(value: LanguageModelInput) -> list[BaseMessage]:
    if isinstance(value, PromptValue):
        return value.to_messages()
    return [HumanMessage(value)] if isinstance(value, str) else convert_to_messages(value)
