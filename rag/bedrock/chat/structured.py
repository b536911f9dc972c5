"""Answers in a given form: asked for in the way the model keeps to best, checked whole, and repaired.

Where the model has structured output (``outputConfig``), its reply is that; else it is made to call a
tool whose input has the form. Either way the reply is validated here against the whole schema, and one
that does not fit goes back to the model with what is wrong, a bounded number of times.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from langchain_core.language_models import LanguageModelInput
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
# Why a reply is none: as Bedrock and other makers name it, and what to do. Asking again would not help.
_NO_REPLY = {
    "max_tokens": "the reply is cut, so it is not read: raise max_tokens",
    "length": "the reply is cut, so it is not read: raise max_tokens",
    "model_context_window_exceeded": "the reply is cut, as the context window is full: send less",
    "refusal": "the model refused to reply: ask for something else",
    "content_filtered": "a content filter held the reply back: ask for something else",
    "content_filter": "a content filter held the reply back: ask for something else",
    "guardrail_intervened": "a guardrail blocked the reply: see its trace",
}


class Raw(TypedDict):
    """What comes with ``include_raw=True``.

    Attributes
    ----------
    raw : AIMessage
        The last reply.
    parsed : Any
        The validated object; None where there is none.
    parsing_error : GenerationError or None
        Why there is none.
    attempts : tuple of AIMessage
        All replies, in order.
    usage : UsageMetadata or None
        The tokens of all of them; None where the model does not tell.
    """

    raw: AIMessage
    parsed: Any
    parsing_error: GenerationError | None
    attempts: tuple[AIMessage, ...]
    usage: UsageMetadata | None


@dataclass(frozen=True, slots=True)
class _Form:
    """A model that has been told the form, and whether it replies by a tool call."""

    model: Runnable[LanguageModelInput, Any]
    wanted: Target
    by_tool: bool
    who: str


class _Structured(RunnableLambda[LanguageModelInput, Any]):
    """Asks a chat model inside; its calls are reported, so a budget need not know this by name."""

    reports_calls = True


def structured(
    llm: Any, schema: Any, *, repairs: int = 2, include_raw: bool = False
) -> Runnable[LanguageModelInput, Any]:
    """Return a runnable that gives a validated object.

    Parameters
    ----------
    llm : BaseChatModel
        Any chat model of LangChain's with structured output of Bedrock's, or with tools.
    schema : pydantic model class or JSON Schema
        Of an object. A model class gives its instances; a JSON schema gives dicts. All of it is
        checked, also what a request cannot say.
    repairs : int
        Most further calls for a reply that does not fit, at least 0. All calls are paid for.
    include_raw : bool
        Give a `Raw` dict instead of the object, and do not raise for a reply that does not fit.

    Raises
    ------
    ConfigError
        The schema or `repairs` is wrong, or the model takes no tools.
    GenerationError
        When it runs: the reply is cut or refused, or did not fit to the last.

    Notes
    -----
    The model cites nothing in such a reply: native citations and structured output exclude each other,
    so send documents as text. Where a model that thinks cannot be made to call a tool, it is asked to,
    and a reply without a call is repaired like any other.

    Examples
    --------
    >>> class Leave(BaseModel):                                            # doctest: +SKIP
    ...     days: int = Field(ge=0, le=366)
    >>> structured(rag.ClaudeBedrock(), Leave).invoke("28 days of leave")   # doctest: +SKIP
    Leave(days=28)
    """
    if repairs < 0:
        raise ConfigError(f"repairs is {repairs}: set it to 0 or more")
    form = _told(llm, target(schema), schema)

    def run(messages: LanguageModelInput, config: RunnableConfig) -> Any:
        result = _ask(form, _messages(messages), repairs, config)
        if include_raw:
            return result
        if result["parsing_error"] is not None:
            raise result["parsing_error"]
        return result["parsed"]

    return _Structured(run, name=f"structured {form.wanted.name}")


def _told(llm: Any, wanted: Target, schema: Any) -> _Form:
    """Tell a model the form, by the first way that it has."""
    who = model_of(llm) or type(llm).__name__
    able = (getattr(llm, "profile", None) or {}).get("structured_output") and hasattr(llm, "output_config")
    sent = sendable(wanted.schema) if able else None
    if sent is not None:
        described = {
            "schema": json.dumps(sent, ensure_ascii=False), "name": wanted.name,
            "description": wanted.description,
        }  # fmt: skip
        form = {"type": "json_schema", "structure": {"jsonSchema": described}}
        bound = llm.bind(output_config={**(llm.output_config or {}), "textFormat": form})
        return _Form(bound.bind(**_traced(schema, wanted, "json_schema")), wanted, False, who)
    told = f"Give your answer by calling this tool. {wanted.description}"
    function = {"name": wanted.name, "description": told, "parameters": dict(wanted.schema)}
    # Those of ChatBedrockConverse; with thinking enabled, some models must not be made to call a tool.
    choices = getattr(llm, "supports_tool_choice_values", ("tool",)) or ()
    choice = wanted.name if "tool" in choices else "any" if "any" in choices else None
    try:
        bound = llm.bind_tools([{"type": "function", "function": function}], tool_choice=choice)
    except (NotImplementedError, AttributeError) as error:
        raise ConfigError(
            f"{who} takes no tools and has no structured output: choose another model"
        ) from error
    return _Form(bound.bind(**_traced(schema, wanted, "function_calling")), wanted, True, who)


def _traced(schema: Any, wanted: Target, method: str) -> dict[str, Any]:
    """Return what LangChain's tracers are told of the form; chat models do not send it."""
    try:
        told = convert_to_json_schema(schema)
    except (TypeError, ValueError):  # one without a title, for instance
        told = dict(wanted.schema)
    return {"ls_structured_output_format": {"kwargs": {"method": method}, "schema": told}}


def _ask(form: _Form, messages: list[BaseMessage], repairs: int, config: RunnableConfig) -> Raw:
    """Ask until a reply fits, or there are no more repairs."""
    attempts: list[AIMessage] = []
    parsed, error = None, None
    for _ in range(repairs + 1):
        with calls_for("repair" if attempts else purpose()):
            reply = form.model.invoke(messages, config)
        attempts.append(reply)
        ended = _NO_REPLY.get(_stop_reason(reply))
        if ended:
            parsed, error = None, GenerationError(f"{form.who}: {ended}", elsewhere=False, strike=False)
            break
        parsed, problems = _read(reply, form)
        if not problems:
            error = None
            break
        error = _misfit(form, len(attempts), problems)
        messages = [*messages, *_returned(reply, form, problems)]
    usages = [reply.usage_metadata for reply in attempts]
    usage = functools.reduce(add_usage, usages) if any(usages) else None
    return Raw(raw=attempts[-1], parsed=parsed, parsing_error=error, attempts=tuple(attempts), usage=usage)


def _read(reply: AIMessage, form: _Form) -> tuple[Any, list[str]]:
    """Return what a reply says in the form, and what is wrong with it."""
    if form.by_tool:
        calls = [call for call in reply.tool_calls if call["name"] == form.wanted.name]
        if len(calls) > 1:
            return None, [f"$: {len(calls)} calls of {form.wanted.name}: make one that holds all"]
        if calls:
            return form.wanted.check(calls[0]["args"])
        if reply.invalid_tool_calls:
            return None, [f"$: the input of {form.wanted.name} is no valid JSON"]
    text = str(reply.text)
    fenced = _FENCE.fullmatch(text)
    try:
        value = json.loads(fenced[1] if fenced else text, parse_constant=_refuse)
    except ValueError as error:
        how = f"call the tool {form.wanted.name}" if form.by_tool else "reply with JSON alone"
        return None, [f"$: {how} ({error})"]
    return form.wanted.check(value)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _returned(reply: AIMessage, form: _Form, problems: Sequence[str]) -> list[BaseMessage]:
    """Return a reply that did not fit, and what is wrong with it, as messages to go on from."""
    said = (
        "This does not fit the schema:\n" + "\n".join(problems) + "\nGive the whole answer again, corrected."
    )
    calls = [*reply.tool_calls, *reply.invalid_tool_calls]
    if calls:  # each must have its result
        results = [ToolMessage(said, tool_call_id=str(call["id"]), status="error") for call in calls]
        return [reply, *results]
    if not str(reply.text).strip():  # an empty message would be refused: the same is asked again
        return []
    return [reply, HumanMessage(said)]


def _misfit(form: _Form, calls: int, problems: Sequence[str]) -> GenerationError:
    after = f"after {calls} calls " if calls > 1 else ""
    return GenerationError(
        f"{form.who}: {after}the reply does not fit the schema {form.wanted.name}: "
        f"{'; '.join(problems[:3])}: simplify the schema, say more in its descriptions, or raise repairs",
        strike=False,
    )


def _stop_reason(reply: AIMessage) -> str:
    said = reply.response_metadata
    names = ("stopReason", "stop_reason", "finish_reason")
    return next((str(said[name]) for name in names if said.get(name)), "")


def _messages(given: LanguageModelInput) -> list[BaseMessage]:
    if isinstance(given, PromptValue):
        return given.to_messages()
    return [HumanMessage(given)] if isinstance(given, str) else convert_to_messages(given)
