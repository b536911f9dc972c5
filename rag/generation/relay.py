"""What chat models share that stand for others: they pass on pieces of a reply, its model's name, tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import pydantic
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig

from rag.core.errors import GenerationError, RagError
from rag.generation.models import context_form, is_guarded, model_of, priced_as, unbound
from rag.usage.model_calls import METADATA, ModelFacts

#: Bugs in code, which another model's answer would only hide.
_BUGS = (
    TypeError, AttributeError, NameError, ImportError, AssertionError, NotImplementedError,
    pydantic.ValidationError,
)  # fmt: skip
#: The caller's callbacks see one call, that of the model in front; the callbacks, cache and rate limiter of
#: a model behind it work as usual.
NO_CALLBACKS: RunnableConfig = {"callbacks": []}


@runtime_checkable
class _TakesTools(Protocol):
    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]: ...


@runtime_checkable
class _Closeable(Protocol):
    def close(self) -> None: ...


def name_of(model: Any) -> str:
    """Return a model's id; the name of its kind where it has none."""
    inner = unbound(model)
    return model_of(inner) or (inner._llm_type if isinstance(inner, BaseChatModel) else type(inner).__name__)


class StandIn(BaseChatModel):
    """A chat model that passes on the answers of others."""

    @property
    def reads_tag(self) -> bool:
        """Whether it chooses among them by the question's tag."""
        return False

    @property
    def others(self) -> Sequence[Any]:
        """The models that it stands for, first the one that names it to tracers."""
        raise NotImplementedError

    @property
    def model_id(self) -> str | None:
        """The first model's id."""
        return priced_as(self.others[0])

    @property
    def context_form(self) -> str:
        """The form of the documents that suits all models (see `rag.generation.prompt`)."""
        forms = set(map(context_form, self.others))
        return forms.pop() if len(forms) == 1 else "text"

    @property
    def guarded(self) -> bool:
        """Whether each model has a guardrail, so that every answer is checked."""
        return all(map(is_guarded, self.others))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params: dict[str, Any] = {**super()._get_ls_params(stop=stop, **kwargs)}
        params["ls_model_name"] = str(kwargs.get("model") or self.model_id or name_of(self.others[0]))
        params[METADATA] = ModelFacts(stands_for_others=True)
        return cast(LangSmithParams, params)


def with_tools(model: Any, tools: Sequence[Any], front: str, **kwargs: Any) -> Runnable[Any, Any]:
    """Return a model with tools bound to it.

    Raises
    ------
    NotImplementedError
        It cannot call tools; `front` names what it must be removed from.
    """
    refused = NotImplementedError(f"{name_of(model)} cannot call tools: remove it from {front}")
    if not isinstance(model, _TakesTools):
        raise refused
    try:
        return model.bind_tools(tools, **kwargs)
    except NotImplementedError as error:
        raise refused from error


def is_failure(error: BaseException) -> bool:
    """Return whether an error is a model's failure, not a bug in code or a limit that `rag` enforces."""
    return isinstance(error, GenerationError) or not isinstance(error, (RagError, *_BUGS))


def reason_of(error: Exception, name: str) -> str:
    """Return what a failure says, without the model's name in front."""
    message = " ".join(str(error).split())
    if isinstance(error, GenerationError):
        return message.removeprefix(f"{name}: ")
    return f"{type(error).__name__}: {message[:300]}"


def as_chunk(piece: Any) -> AIMessageChunk:
    """Return a piece of a stream as a chunk; a model without streaming yields a whole message."""
    if isinstance(piece, AIMessageChunk):
        return piece
    if isinstance(piece, AIMessage):
        return AIMessageChunk(**piece.model_dump(exclude={"type"}))
    return AIMessageChunk(content=str(piece))


def signed(message: Any, origin: Mapping[str, Any]) -> Any:
    """Return a message whose metadata name its model as `origin` does, with the notes of both."""
    metadata = {k: v for k, v in message.response_metadata.items() if k not in ("model_name", "model_id")}
    notes = [*origin.get("notes", ()), *metadata.get("notes", ())]
    metadata = {**metadata, **origin, **({"notes": notes} if notes else {})}
    return message.model_copy(update={"response_metadata": metadata})


def until_shown(stream: Iterator[Any]) -> tuple[Iterator[Any], list[AIMessageChunk]]:
    """Return a reply's stream, and its pieces up to the first one that the user can see."""
    first: list[AIMessageChunk] = []
    try:
        for piece in stream:
            first.append(as_chunk(piece))
            if first[-1].text or first[-1].tool_call_chunks:
                break
    except BaseException:
        close(stream)
        raise
    return stream, first


def is_pause(piece: Any) -> bool:
    """Tell whether a piece of a stream says nothing, and only shows that its model is still at work."""
    return (
        isinstance(piece, AIMessageChunk)
        and piece.content == []
        and not (piece.response_metadata or piece.usage_metadata or piece.tool_call_chunks)
        and not piece.additional_kwargs
    )


def close(stream: object) -> None:
    """Close a stream before its end, and with it the connection that it reads."""
    if isinstance(stream, _Closeable):
        stream.close()
