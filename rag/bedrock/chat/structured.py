"""Structured output: request it by the model's most reliable mechanism, validate it, and repair it.

A model with structured output (``outputConfig``) is sent the schema; any other model is made to call a
tool whose input has the schema. Each reply is validated here against the whole schema. An invalid reply
goes back to the model with its problems, a limited number of times.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, Protocol, TypedDict, runtime_checkable

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, convert_to_messages
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from rag.bedrock.chat.schemas import sendable
from rag.core.errors import ConfigError, GenerationError
from rag.generation.models import model_of
from rag.generation.structured.forms import Form, by_tool, traced
from rag.generation.structured.schemas import Target, target
from rag.usage.collector import calls_for, purpose


@runtime_checkable
class _TakesOutputConfig(Protocol):
    """ChatBedrockConverse, in a version that knows structured output."""

    output_config: dict[str, Any] | None


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
    schema : type or Mapping
        Schema of an object, as `rag.generation.structured.schemas.target` reads it. A model class yields
        its instances, a JSON schema dicts. Replies are validated against the whole schema, including
        keywords that a request cannot express.
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
    wanted = target(schema)
    if not wanted.is_object:
        raise ConfigError(
            'the schema does not describe an object: wrap it in {"type": "object", "properties": …}'
        )
    bound = with_schema(llm, wanted)
    name = model_of(llm) or type(llm).__name__
    form = by_tool(llm, wanted) if bound is None else Form(bound, wanted, "json", name)

    def run(messages: LanguageModelInput, config: RunnableConfig) -> Any:
        result = _call(form, _messages(messages), repairs, config)
        if include_raw:
            return result
        if result["parsing_error"] is not None:
            raise result["parsing_error"]
        return result["parsed"]

    return _Structured(run, name=f"structured {wanted.name}")


def with_schema(llm: Any, target: Target) -> Runnable[LanguageModelInput, Any] | None:
    """Return a model bound to a schema by ``outputConfig``; None if one of them does not allow it."""
    if not (isinstance(llm, BaseChatModel) and isinstance(llm, _TakesOutputConfig)):
        return None
    schema = sendable(target.schema) if (llm.profile or {}).get("structured_output") else None
    if schema is None:
        return None
    json_schema = {
        "schema": json.dumps(schema, ensure_ascii=False), "name": target.name,
        "description": target.description,
    }  # fmt: skip
    format_ = {"type": "json_schema", "structure": {"jsonSchema": json_schema}}
    bound = llm.bind(output_config={**(llm.output_config or {}), "textFormat": format_})
    return bound.bind(**traced(target, "json_schema"))


def _call(form: Form, messages: list[BaseMessage], repairs: int, config: RunnableConfig) -> Raw:
    """Call the model until a reply is valid or the repairs are used up."""
    attempts: list[AIMessage] = []
    parsed, error = None, None
    for _ in range(repairs + 1):
        with calls_for("repair" if attempts else purpose()):
            reply = form.model.invoke(messages, config)
        attempts.append(reply)
        error = form.unusable(reply)
        if error is not None:
            parsed = None
            break
        parsed, problems = form.read(reply)
        if not problems:
            error = None
            break
        error = form.invalid(len(attempts), problems)
        messages = [*messages, *form.repair_request(reply, problems)]
    usage = _sum([reply.usage_metadata for reply in attempts])
    return Raw(raw=attempts[-1], parsed=parsed, parsing_error=error, attempts=tuple(attempts), usage=usage)


def _sum(usages: Sequence[UsageMetadata | None]) -> UsageMetadata | None:
    return functools.reduce(add_usage, usages) if any(usages) else None


def _messages(value: LanguageModelInput) -> list[BaseMessage]:
    if isinstance(value, PromptValue):
        return value.to_messages()
    return [HumanMessage(value)] if isinstance(value, str) else convert_to_messages(value)
