"""A chat model with fallbacks: it calls its models in order until one answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar, runtime_checkable

import pydantic
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from pydantic import ConfigDict, Field, PrivateAttr

from rag.core.errors import ConfigError, GenerationError
from rag.generation.circuit_breaker import Breaker, Circuit
from rag.generation.models import priced_as
from rag.generation.relay import (
    NO_CALLBACKS,
    StandIn,
    as_chunk,
    close,
    is_failure,
    name_of,
    reason_of,
    signed,
    until_shown,
    with_tools,
)
from rag.usage.collector import note

T = TypeVar("T")


@runtime_checkable
class _TakesSchemas(Protocol):
    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]: ...


class _Structured(RunnableLambda[Any, Any]):
    """Calls chat models, which report their calls, so budgets count them."""

    reports_calls = True


class Fallback(StandIn):
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
    def others(self) -> Sequence[Any]:
        """The models, the preferred first."""
        return self.models

    @property
    def description(self) -> str:
        """The models' names, for the user."""
        return ", else ".join(map(name_of, self.models))

    def states(self) -> list[tuple[str, str, int]]:
        """Return each model's name, its circuit's state in words, and its consecutive strikes."""
        return [
            (name_of(model), _in_words(circuit), circuit.strikes)
            for model, circuit in zip(self.models, self._circuits, strict=True)
        ]

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Return a copy with tools bound to each model.

        Raises
        ------
        NotImplementedError
            One of the models cannot call tools.
        """
        bound = [with_tools(model, tools, "the fallback", **kwargs) for model in self.models]
        return self.model_copy(update={"models": bound}).bind()

    def with_structured_output(self, schema: Any, **options: Any) -> Runnable[Any, Any]:
        """Return a runnable that returns a validated object, of the first model that gives one.

        Each model is asked in its own way, with these options (`rag.ClaudeBedrock.with_structured_output`,
        or that of another library's model). A reply that stays invalid counts as a failure that the next
        model may not have, and not against the model's health.

        Raises
        ------
        ConfigError
            One of the models supports no structured output.
        """
        asked = []
        for model in self.models:
            if not isinstance(model, _TakesSchemas):
                raise ConfigError(_no_schemas(model))
            try:
                asked.append(model.with_structured_output(schema, **options))
            except NotImplementedError as error:
                raise ConfigError(_no_schemas(model)) from error
        forms = dict(zip(map(id, self.models), asked, strict=True))

        def run(messages: Any, config: RunnableConfig) -> Any:
            result, turn = self._first(lambda model: _validated(forms[id(model)], messages, config))
            turn.leave(well=True)
            for line in turn.notes(name_of(turn.model)):
                note(line)
            return result

        return _Structured(run, name="structured fallback")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        options = {**kwargs, **({} if stop is None else {"stop": stop})}
        message, turn = self._first(lambda model: model.invoke(list(messages), NO_CALLBACKS, **options))
        turn.leave(well=True)
        if not isinstance(message, BaseMessage):
            message = AIMessage(content=str(message))
        return ChatResult(generations=[ChatGeneration(message=signed(message, turn.origin([message])))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        options = {**kwargs, **({} if stop is None else {"stop": stop})}
        (pieces, first), turn = self._first(
            lambda model: until_shown(model.stream(list(messages), NO_CALLBACKS, **options))
        )
        well: bool | None = None
        try:
            origin = turn.origin(first)
            for number, piece in enumerate(first):
                # On the first piece only: LangChain concatenates equal metadata strings of the pieces.
                yield ChatGenerationChunk(message=signed(piece, {} if number else origin))
            while True:
                try:  # around `next` alone: an exception of the reader is not the model's
                    piece = as_chunk(next(pieces))
                except StopIteration:
                    well = True
                    return
                except Exception as error:
                    well = _well(error)
                    turn.cut(error)
                yield ChatGenerationChunk(message=signed(piece, {}))
        finally:
            turn.leave(well=well)
            close(pieces)

    def _first(self, call: Callable[[Any], T]) -> tuple[T, _Turn]:
        """Return the result of `call` for the first model that does not fail."""
        failed: list[tuple[str, str]] = []
        last: Exception | None = None
        for model, circuit in zip(self.models, self._circuits, strict=True):
            ticket = circuit.enter()
            if ticket is None:
                failed.append((name_of(model), f"its circuit is {_in_words(circuit)}"))
                continue
            turn = _Turn(model, circuit, ticket, tuple(failed))
            try:
                return call(model), turn
            except BaseException as error:
                turn.leave(well=_well(error))
                if not isinstance(error, Exception) or not is_failure(error):
                    raise
                if not failed and (len(self.models) == 1 or not _goes_on(error)):
                    raise
                last = error
                failed.append((name_of(model), reason_of(error, name_of(model))))
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
        name = str(inner.get("model_name") or name_of(self.model))
        notes = self.notes(name)
        names = {"model_name": name, "model_id": inner.get("model_id") or priced_as(self.model) or name}
        return {**names, "notes": notes} if notes else names

    def notes(self, name: str) -> list[str]:
        """Return why the models before failed, where the one of this name answered."""
        return [f"{name} answered, as {other} failed: {reason}" for other, reason in self.failed]

    def cut(self, error: Exception) -> NoReturn:
        """Raise the failure that cut an answer."""
        if isinstance(error, GenerationError):
            error.started = True
            raise error
        if not is_failure(error):
            raise error
        name = name_of(self.model)
        raise GenerationError(
            f"{name}: {reason_of(error, name)}; the answer is cut here and not started again automatically: "
            "ask again",
            started=True,
        ) from error


def _validated(structured: Runnable[Any, Any], messages: Any, config: RunnableConfig) -> Any:
    try:
        return structured.invoke(messages, config)
    except pydantic.ValidationError as error:  # of another library's parser: the reply's fault
        line = f"the reply does not fit the schema: {' '.join(str(error).split())[:300]}"
        raise GenerationError(line, strike=False) from error


def _no_schemas(model: Any) -> str:
    return f"{name_of(model)} supports neither tools nor structured output: remove it from the fallback"


def _goes_on(error: Exception) -> bool:
    if isinstance(error, GenerationError):
        return error.elsewhere and not error.started
    return True


def _well(error: BaseException) -> bool | None:
    """Return False if an error counts against the model's health, None if it says nothing about it."""
    if isinstance(error, GenerationError):
        return False if error.strike else None
    return False if isinstance(error, Exception) and is_failure(error) else None


def _all_failed(failed: Sequence[tuple[str, str]], last: Exception | None) -> GenerationError:
    line = "no model answered: " + "; ".join(f"{name}: {reason}" for name, reason in failed)
    if not isinstance(last, GenerationError):
        return GenerationError(line)
    return GenerationError(
        line, code=last.code, elsewhere=last.elsewhere, strike=last.strike, started=last.started
    )


def _in_words(circuit: Circuit) -> str:
    state, wait = circuit.state, circuit.open_s
    if state != "open":
        return state if state == "closed" else "half-open, for one call at a time"
    until = dt.datetime.now().astimezone() + dt.timedelta(seconds=wait)
    return f"open until {until:%H:%M:%S}"
