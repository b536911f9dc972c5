"""Any chat model or Runnable behind one interface: a stream of messages, and what it says of itself.

LangChain's chat models name their model in different fields. This is the one place that reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.messages import AIMessageChunk, BaseMessage

from rag.core.answers import Usage
from rag.core.errors import ConfigError, GenerationError, RagError
from rag.usage import model_calls
from rag.usage.collector import calls_so_far, paid_call

Explain = Callable[[Exception, str], str | None]
_ID_FIELDS = ("model_id", "model", "model_name")


@runtime_checkable
class Described(Protocol):
    """A generator that says who it is."""

    @property
    def description(self) -> str:
        """A line for the user, e.g. a model's id."""
        ...


def unbound(model: Any) -> Any:
    """Return the chat model behind tools or options that were bound to it."""
    while not isinstance(model, BaseLanguageModel) and hasattr(model, "bound"):
        model = model.bound
    return model


def model_of(generator: Any) -> str | None:
    """Return a chat model's id, in whichever field it keeps it; None if it keeps none."""
    model = unbound(generator)
    values = (getattr(model, name, None) for name in _ID_FIELDS)
    return next((value for value in values if isinstance(value, str) and value), None)


def priced_as(generator: Any) -> str | None:
    """Return the id by which a model's price is known: an ARN's may stand in a field of its own."""
    base = getattr(unbound(generator), "base_model_id", None)
    return base if isinstance(base, str) and base else model_of(generator)


def describe(generator: Any) -> str:
    """Return what the user is told about a generator."""
    if isinstance(generator, Described) and isinstance(generator.description, str):
        return generator.description
    return f"{type(unbound(generator)).__name__} {model_of(generator) or ''}".strip()


def context_form(generator: Any) -> str:
    """Return the form in which a generator wants the documents (`rag.generation.prompt`)."""
    return str(getattr(unbound(generator), "context_form", "text"))


def is_guarded(generator: Any) -> bool:
    """Tell whether a guardrail of Bedrock's checks a generator's answers."""
    return bool(getattr(unbound(generator), "guardrail_config", None))


@runtime_checkable
class ReportsCalls(Protocol):
    """What says that the calls inside it are reported, as those of chat models are."""

    reports_calls: bool


def _reports_calls(runnable: Any) -> bool:
    """Tell whether a chat model is somewhere inside, so that its calls are reported (`model_calls`)."""
    if isinstance(runnable, ReportsCalls):
        return runnable.reports_calls
    if isinstance(runnable, BaseChatModel):
        return type(runnable).stream is BaseChatModel.stream  # another one may go past the callbacks
    parts = [getattr(runnable, name, None) for name in ("bound", "last", "first", "runnable")]
    return any(_reports_calls(part) for part in [*parts, *(getattr(runnable, "middle", None) or ())] if part)


class Generator:
    """A chat model, or any Runnable over messages, as the pipeline calls it.

    Parameters
    ----------
    model : BaseChatModel or Runnable
    explain : callable, optional
        Takes an error and the model's description; returns a line that says what to do, or None for an
        error that it does not know.

    Raises
    ------
    ConfigError
        It has no ``stream``.
    """

    def __init__(self, model: Any, explain: Explain | None = None) -> None:
        if not callable(getattr(model, "stream", None)):
            raise ConfigError(
                f"the generator is a {type(model).__name__}: give a LangChain chat model, or a Runnable over "
                "messages"
            )
        self.model = model
        self._explain = explain
        self._reports_calls = _reports_calls(model)

    @property
    def description(self) -> str:
        """What the user is told about it."""
        return describe(self.model)

    @property
    def model_id(self) -> str | None:
        """The model's id, if it has one."""
        return model_of(self.model)

    def stream(self, messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
        """Yield the reply in pieces.

        Raises
        ------
        GenerationError
            The model failed.
        BudgetError
            The call must not be made.
        """
        if self._reports_calls:
            yield from self._pieces(messages)
            return
        reported = calls_so_far()
        with paid_call(
            self.model_id or type(self.model).__name__, "generate", base=priced_as(self.model)
        ) as call:
            pieces: list[BaseMessage] = []
            try:
                for piece in self._pieces(messages):
                    pieces.append(piece)
                    yield piece
            finally:
                if pieces and calls_so_far() == reported:
                    call.usage = model_calls.usage_of(whole(pieces)) or Usage()

    def _pieces(self, messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
        try:
            for piece in self.model.stream(list(messages)):
                yield piece if isinstance(piece, BaseMessage) else AIMessageChunk(content=str(piece))
        except RagError:
            raise
        except Exception as error:
            line = self._explain(error, self.description) if self._explain is not None else None
            reason = " ".join(str(error).split())[:300]
            raise GenerationError(line or f"{self.description}: {type(error).__name__}: {reason}") from error


def whole(pieces: Sequence[BaseMessage]) -> BaseMessage | None:
    """Return the pieces of a reply as one; at once, as one by one takes time quadratic in them."""
    chunks: list[Any] = [piece for piece in pieces if isinstance(piece, AIMessageChunk)]
    if chunks:
        total: BaseMessage = chunks[0] + chunks[1:]
        return total
    return pieces[-1] if pieces else None
