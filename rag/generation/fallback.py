"""A chat model that others stand in for: asks one after the other until one answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar, cast

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
from rag.generation.models import context_form, model_of, priced_as, unbound
from rag.usage.model_calls import METADATA, ModelFacts

T = TypeVar("T")

#: Mistakes in somebody's code, which another model's answer would only hide.
_MISTAKES = (
    TypeError, AttributeError, NameError, ImportError, AssertionError, NotImplementedError,
    pydantic.ValidationError,
)  # fmt: skip
# The callers' callbacks hear of the call once, from the run that is this model's own; a model's own
# callbacks, cache and rate limiter are at work as always.
_UNHEARD: RunnableConfig = {"callbacks": []}


class Fallback(BaseChatModel):
    """Asks its models in order, and gives the first answer.

    The next model is asked only while nothing of an answer has been given out, and only after a
    failure that another model may not have: `GenerationError.elsewhere`, or any exception of a foreign
    model but a mistake in code (TypeError, ...). A model whose circuit is open (see
    `rag.generation.circuit_breaker`) is passed over; where all are, the call fails at once and says how long.

    The reply's `response_metadata` names the model that answered (``"model_name"``; ``"model_id"`` is
    the one its price is known by) and says in ``"notes"`` why others did not.

    Parameters
    ----------
    models : list of BaseChatModel
        At least one, the best first; any Runnable over messages will do.
    breaker : Breaker
        When a model counts as failing; each has a circuit of its own.

    Notes
    -----
    Documents are sent in the one form that suits all models: those of a guarded or self-citing model
    come as plain text where another of the models needs that.

    Examples
    --------
    >>> Fallback(models=[sonnet, haiku]).invoke("How long do we keep CVs?")   # doctest: +SKIP
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    models: list[Runnable[Any, Any]] = Field(min_length=1)
    breaker: Breaker = Breaker()
    _circuits: list[Circuit] = PrivateAttr(default_factory=list)

    def model_post_init(self, context: Any, /) -> None:
        """Make a circuit for each model; a copy with tools bound shares them."""
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
        """What the user is told about the answer's making."""
        return ", else ".join(map(_name, self.models))

    @property
    def context_form(self) -> str:
        """The form of the documents that suits all models (see `rag.generation.prompt`)."""
        forms = {context_form(model) for model in self.models}
        return forms.pop() if len(forms) == 1 else "text"

    def states(self) -> list[tuple[str, str, int]]:
        """Return each model with its circuit's state, in words, and its strikes in a row."""
        return [
            (_name(model), _in_words(circuit), circuit.strikes)
            for model, circuit in zip(self.models, self._circuits, strict=True)
        ]

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Return the same with tools bound to each model.

        Raises
        ------
        NotImplementedError
            One of the models cannot call tools.
        """
        bound = []
        for model in self.models:
            try:
                bound.append(getattr(model, "bind_tools")(tools, **kwargs))  # noqa: B009
            except (AttributeError, NotImplementedError) as error:
                raise NotImplementedError(f"{_name(model)} cannot call tools: leave it out here") from error
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
        asked = {**kwargs, **({} if stop is None else {"stop": stop})}
        message, turn = self._first(lambda model: model.invoke(list(messages), _UNHEARD, **asked))
        turn.leave(well=True)
        if not isinstance(message, BaseMessage):
            message = AIMessage(content=str(message))
        return ChatResult(generations=[ChatGeneration(message=_signed(message, turn.said([message])))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        asked = {**kwargs, **({} if stop is None else {"stop": stop})}
        (pieces, first), turn = self._first(
            lambda model: _until_shown(model.stream(list(messages), _UNHEARD, **asked))
        )
        well: bool | None = None
        try:
            said = turn.said(first)
            for number, piece in enumerate(first):
                # Once: the metadata of pieces add up, and the same text twice would be no name.
                yield ChatGenerationChunk(message=_signed(piece, {} if number else said))
            while True:
                try:  # only the model's own steps: what the reader of a piece throws is the reader's
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

    def _first(self, ask: Callable[[Any], T]) -> tuple[T, _Turn]:
        """Return what `ask` returns of the first model that does not fail."""
        failed: list[tuple[str, str]] = []
        last: Exception | None = None
        for model, circuit in zip(self.models, self._circuits, strict=True):
            ticket = circuit.enter()
            if ticket is None:
                failed.append((_name(model), f"it is left alone: {_in_words(circuit)}"))
                continue
            turn = _Turn(model, circuit, ticket, tuple(failed))
            try:
                return ask(model), turn
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
    """The model whose turn it is, its circuit's ticket, and why it is no other's: names and reasons."""

    model: Any
    circuit: Circuit
    ticket: int
    failed: tuple[tuple[str, str], ...]

    def leave(self, *, well: bool | None) -> None:
        """Say how the model's call ended."""
        self.circuit.leave(self.ticket, well=well)

    def said(self, pieces: Sequence[BaseMessage]) -> dict[str, Any]:
        """Return what an answer's metadata say of its origin; `pieces` may be of another Fallback."""
        inner = next((p.response_metadata for p in pieces if "model_id" in p.response_metadata), {})
        name = str(inner.get("model_name") or _name(self.model))
        notes = [f"{name} answered, as {other} failed: {reason}" for other, reason in self.failed]
        said = {"model_name": name, "model_id": inner.get("model_id") or priced_as(self.model) or name}
        return {**said, "notes": notes} if notes else said

    def cut(self, error: Exception) -> NoReturn:
        """Raise what cut an answer that had begun."""
        if isinstance(error, GenerationError):
            error.started = True
            raise error
        if not _is_failure(error):
            raise error
        name = _name(self.model)
        raise GenerationError(
            f"{name}: {_reason(error, name)}; the answer is cut here, and is not begun again by itself: "
            "ask again",
            started=True,
        ) from error


def _is_failure(error: BaseException) -> bool:
    """Tell whether an error is a model's failure, not a mistake in code or a limit of ours."""
    return isinstance(error, GenerationError) or not isinstance(error, (RagError, *_MISTAKES))


def _goes_on(error: Exception) -> bool:
    if isinstance(error, GenerationError):
        return error.elsewhere and not error.started
    return True


def _well(error: BaseException) -> bool | None:
    """Return False where an error says that the model is not well; None where it does not tell."""
    if isinstance(error, GenerationError):
        return False if error.strike else None
    return False if isinstance(error, Exception) and _is_failure(error) else None


def _all_failed(failed: Sequence[tuple[str, str]], last: Exception | None) -> GenerationError:
    line = "; ".join(f"{name}: {reason}" for name, reason in failed)
    return GenerationError(
        f"no model answered: {line}",
        code=getattr(last, "code", ""), elsewhere=getattr(last, "elsewhere", True),
        strike=getattr(last, "strike", True), started=getattr(last, "started", False),
    )  # fmt: skip


def _reason(error: Exception, name: str) -> str:
    said = " ".join(str(error).split())
    if isinstance(error, GenerationError):
        return said.removeprefix(f"{name}: ")
    return f"{type(error).__name__}: {said[:300]}"


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
    """Return a piece of a stream as one that adds up; a model without streaming gives its message."""
    if isinstance(piece, AIMessageChunk):
        return piece
    if isinstance(piece, AIMessage):
        return AIMessageChunk(**piece.model_dump(exclude={"type"}))
    return AIMessageChunk(content=str(piece))


def _signed(message: Any, said: Mapping[str, Any]) -> Any:
    """Return a message with what is said of its origin, in place of what its model said itself."""
    own = {k: v for k, v in message.response_metadata.items() if k not in ("model_name", "model_id")}
    notes = [*said.get("notes", ()), *own.get("notes", ())]
    metadata = {**own, **said, **({"notes": notes} if notes else {})}
    return message.model_copy(update={"response_metadata": metadata})


def _until_shown(stream: Iterator[Any]) -> tuple[Iterator[Any], list[AIMessageChunk]]:
    """Return a reply's stream, and its pieces up to the first that the user may see."""
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


def _close(stream: Any) -> None:
    """End a stream that is not read to its end, and so the connection behind it."""
    close = getattr(stream, "close", None)
    if callable(close):
        close()
