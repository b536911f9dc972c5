"""A chat model with fallbacks: it calls its models in order until one answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar, cast, runtime_checkable

import pydantic
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ConfigDict, Field, PrivateAttr

from rag.core.errors import GenerationError, RagError
from rag.generation.circuit_breaker import Breaker, Circuit
from rag.generation.models import STANDS_IN, context_form, model_of, priced_as, unbound
from rag.usage.model_calls import METADATA, ModelFacts

T = TypeVar("T")

#: Bugs in code, which another model's answer would only hide.
_BUGS = (
    TypeError, AttributeError, NameError, ImportError, AssertionError, NotImplementedError,
    pydantic.ValidationError,
)  # fmt: skip
# The caller's callbacks see one call, this model's; a fallback's callbacks, cache and rate limiter
# work as usual.
_NO_CALLBACKS: RunnableConfig = {"callbacks": []}


@runtime_checkable
class _TakesTools(Protocol):
    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]: ...


class Fallback(BaseChatModel):
    """Calls its models in order, and returns the first answer.

    The next model is called only if nothing of an answer has been delivered, and only after a failure
    that another model may not have: `GenerationError.elsewhere`, or any exception of another library's
    model except bugs in code (TypeError, ...). Models whose circuit is open (see
    `rag.generation.circuit_breaker`) are skipped; if all are open, the call fails at once, with the time
    at which they close.

    The reply's `response_metadata` names the model that answered (``"model_name"``, and ``"model_id"``
    for its price), and its ``"notes"`` say why others did not.

    Parameters
    ----------
    models : list of BaseChatModel
        At least one, the preferred first; any Runnable over messages is accepted.
    breaker : Breaker
        When a model counts as failing; each model has a circuit.

    Notes
    -----
    Documents are sent in a form that suits all models: as plain text, unless all support the same other
    form.

    Examples
    --------
    >>> Fallback(models=[sonnet, haiku]).invoke("How long do we keep CVs?")   # doctest: +SKIP
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    models: list[Runnable[Any, Any]] = Field(min_length=1)
    breaker: Breaker = Breaker()
    _circuits: list[Circuit] = PrivateAttr(default_factory=list)

    def model_post_init(self, context: Any, /) -> None:
        """Create a circuit for each model; a copy with bound tools shares them."""
        super().model_post_init(context)
        self._circuits = [Circuit(self.breaker) for _ in self.models]

    @property
    def _llm_type(self) -> str:
        return "fallback"

    @property
    def model_id(self) -> str | None:
        """The first model's id."""
        return priced_as(self.models[0])

    @property
    def description(self) -> str:
        """The models' names, for the user."""
        return ", else ".join(map(_name, self.models))

    @property
    def context_form(self) -> str:
        """The form of the documents that suits all models (see `rag.generation.prompt`)."""
        forms = {context_form(model) for model in self.models}
        return forms.pop() if len(forms) == 1 else "text"

    def states(self) -> list[tuple[str, str, int]]:
        """Return each model's name, its circuit's state in words, and its consecutive strikes."""
        return [
            (_name(model), _in_words(circuit), circuit.strikes)
            for model, circuit in zip(self.models, self._circuits, strict=True)
        ]

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Return a copy with tools bound to each model.

        Raises
        ------
        NotImplementedError
            One of the models cannot call tools.
        """
        bound = []
        for model in self.models:
            refused = NotImplementedError(f"{_name(model)} cannot call tools: remove it from the fallback")
            if not isinstance(model, _TakesTools):
                raise refused
            try:
                bound.append(model.bind_tools(tools, **kwargs))
            except NotImplementedError as error:
                raise refused from error
        return self.model_copy(update={"models": bound}).bind()

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params: dict[str, Any] = {**super()._get_ls_params(stop=stop, **kwargs)}
        params["ls_model_name"] = str(kwargs.get("model") or self.model_id or _name(self.models[0]))
        params[METADATA] = ModelFacts(stands_for_others=True)
        return cast(LangSmithParams, params)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        options = {**kwargs, **({} if stop is None else {"stop": stop})}
        message, turn = self._first(lambda model: model.invoke(list(messages), _NO_CALLBACKS, **options))
        turn.leave(well=True)
        if not isinstance(message, BaseMessage):
            message = AIMessage(content=str(message))
        return ChatResult(generations=[ChatGeneration(message=_signed(message, turn.origin([message])))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        options = {**kwargs, **({} if stop is None else {"stop": stop})}
        (pieces, first), turn = self._first(
            lambda model: _until_shown(model.stream(list(messages), _NO_CALLBACKS, **options))
        )
        well: bool | None = None
        try:
            origin = turn.origin(first)
            for number, piece in enumerate(first):
                # On the first piece only: LangChain concatenates equal metadata strings of the pieces.
                yield ChatGenerationChunk(message=_signed(piece, {} if number else origin))
            while True:
                try:  # around `next` alone: an exception of the reader is not the model's
                    piece = _chunk(next(pieces))
                except StopIteration:
                    well = True
                    return
                except Exception as error:
                    well = _well(error)
                    turn.cut(error)
                yield ChatGenerationChunk(message=_signed(piece, {}))
        finally:
            turn.leave(well=well)
            _close(pieces)

    def _first(self, call: Callable[[Any], T]) -> tuple[T, _Turn]:
        """Return the result of `call` for the first model that does not fail."""
        failed: list[tuple[str, str]] = []
        last: Exception | None = None
        for model, circuit in zip(self.models, self._circuits, strict=True):
            ticket = circuit.enter()
            if ticket is None:
                failed.append((_name(model), f"its circuit is {_in_words(circuit)}"))
                continue
            turn = _Turn(model, circuit, ticket, tuple(failed))
            try:
                return call(model), turn
            except BaseException as error:
                turn.leave(well=_well(error))
                if not isinstance(error, Exception) or not _is_failure(error):
                    raise
                if not failed and (len(self.models) == 1 or not _goes_on(error)):
                    raise
                last = error
                failed.append((_name(model), _reason(error, _name(model))))
                if not _goes_on(error):
                    break
        raise _all_failed(failed, last) from last


@dataclass(frozen=True, slots=True)
class _Turn:
    """The model being called, its circuit's ticket, and the models that failed before, with reasons."""

    model: Any
    circuit: Circuit
    ticket: int
    failed: tuple[tuple[str, str], ...]

    def leave(self, *, well: bool | None) -> None:
        """Report how the model's call ended."""
        self.circuit.leave(self.ticket, well=well)

    def origin(self, pieces: Sequence[BaseMessage]) -> dict[str, Any]:
        """Return the metadata that name an answer's model; `pieces` may come from another Fallback."""
        inner = next((p.response_metadata for p in pieces if "model_id" in p.response_metadata), {})
        name = str(inner.get("model_name") or _name(self.model))
        notes = [f"{name}{STANDS_IN}{other} failed: {reason}" for other, reason in self.failed]
        names = {"model_name": name, "model_id": inner.get("model_id") or priced_as(self.model) or name}
        return {**names, "notes": notes} if notes else names

    def cut(self, error: Exception) -> NoReturn:
        """Raise the failure that cut an answer."""
        if isinstance(error, GenerationError):
            error.started = True
            raise error
        if not _is_failure(error):
            raise error
        name = _name(self.model)
        raise GenerationError(
            f"{name}: {_reason(error, name)}; the answer is cut here and not started again automatically: "
            "ask again",
            started=True,
        ) from error


def _is_failure(error: BaseException) -> bool:
    """Return whether an error is a model's failure, not a bug in code or a limit that `rag` enforces."""
    return isinstance(error, GenerationError) or not isinstance(error, (RagError, *_BUGS))


def _goes_on(error: Exception) -> bool:
    if isinstance(error, GenerationError):
        return error.elsewhere and not error.started
    return True


def _well(error: BaseException) -> bool | None:
    """Return False if an error counts against the model's health, None if it says nothing about it."""
    if isinstance(error, GenerationError):
        return False if error.strike else None
    return False if isinstance(error, Exception) and _is_failure(error) else None


def _all_failed(failed: Sequence[tuple[str, str]], last: Exception | None) -> GenerationError:
    line = "no model answered: " + "; ".join(f"{name}: {reason}" for name, reason in failed)
    if not isinstance(last, GenerationError):
        return GenerationError(line)
    return GenerationError(
        line, code=last.code, elsewhere=last.elsewhere, strike=last.strike, started=last.started
    )


def _reason(error: Exception, name: str) -> str:
    message = " ".join(str(error).split())
    if isinstance(error, GenerationError):
        return message.removeprefix(f"{name}: ")
    return f"{type(error).__name__}: {message[:300]}"


def _in_words(circuit: Circuit) -> str:
    state, wait = circuit.state, circuit.open_s
    if state != "open":
        return state if state == "closed" else "half-open, for one call at a time"
    until = dt.datetime.now().astimezone() + dt.timedelta(seconds=wait)
    return f"open until {until:%H:%M:%S}"


def _name(model: Any) -> str:
    inner = unbound(model)
    return model_of(inner) or (inner._llm_type if isinstance(inner, BaseChatModel) else type(inner).__name__)


def _chunk(piece: Any) -> AIMessageChunk:
    """Return a piece of a stream as a chunk; a model without streaming yields a whole message."""
    if isinstance(piece, AIMessageChunk):
        return piece
    if isinstance(piece, AIMessage):
        return AIMessageChunk(**piece.model_dump(exclude={"type"}))
    return AIMessageChunk(content=str(piece))


def _signed(message: Any, origin: Mapping[str, Any]) -> Any:
    """Return a message whose metadata name its model as `origin` does, with the notes of both."""
    metadata = {k: v for k, v in message.response_metadata.items() if k not in ("model_name", "model_id")}
    notes = [*origin.get("notes", ()), *metadata.get("notes", ())]
    metadata = {**metadata, **origin, **({"notes": notes} if notes else {})}
    return message.model_copy(update={"response_metadata": metadata})


def _until_shown(stream: Iterator[Any]) -> tuple[Iterator[Any], list[AIMessageChunk]]:
    """Return a reply's stream, and its pieces up to the first one that the user can see."""
    first: list[AIMessageChunk] = []
    try:
        for piece in stream:
            first.append(_chunk(piece))
            if first[-1].text or first[-1].tool_call_chunks:
                break
    except BaseException:
        _close(stream)
        raise
    return stream, first


@runtime_checkable
class _Closeable(Protocol):
    def close(self) -> None: ...


def _close(stream: object) -> None:
    """Close a stream before its end, and with it the connection that it reads."""
    if isinstance(stream, _Closeable):
        stream.close()
