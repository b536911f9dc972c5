"""Any chat model or Runnable behind one interface: a stream of messages, and what it says of itself.

LangChain's chat models name their model in different fields. This is the one place that reads them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from collections.abc import Generator as Steps
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessageChunk, BaseMessage

from rag.core.calls import Usage
from rag.core.errors import ConfigError, GenerationError, RagError
from rag.core.threads import in_thread
from rag.generation.models import describe, model_of, priced_as, unbound
from rag.generation.parameters import refuse_untaken
from rag.generation.relay import is_pause
from rag.generation.reply import whole
from rag.usage import model_calls
from rag.usage.collector import ReportsCalls, calls_so_far, paid_call

Explain = Callable[[Exception, str], str | None]


def _streams_asynchronously(model: Any) -> bool:
    """Tell whether a chat model waits for its reply without a thread."""
    inner = unbound(model)
    return isinstance(inner, BaseChatModel) and type(inner)._astream is not BaseChatModel._astream


def _reports_calls(runnable: Any) -> bool:
    """Tell whether a model is somewhere inside, so that its calls are reported (`model_calls`)."""
    if isinstance(runnable, ReportsCalls):
        return runnable.reports_calls
    for kind in (BaseChatModel, BaseLLM):
        if isinstance(runnable, kind):
            return type(runnable).stream is kind.stream  # another one may go past the callbacks
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
        self._asynchronous = self._reports_calls and _streams_asynchronously(model)

    def of(self, model: Any) -> Generator:
        """Return another model, such as this one with tools bound to it, whose errors are explained alike."""
        return Generator(model, self._explain)

    @property
    def description(self) -> str:
        """What the user is told about it."""
        return describe(self.model)

    @property
    def model_id(self) -> str | None:
        """The model's id, if it has one."""
        return model_of(self.model)

    def bound(self, parameters: Mapping[str, Any]) -> Generator:
        """Return it with a prompt's parameters, such as ``temperature``, bound to the model.

        Raises
        ------
        ConfigError
            The model does not take one of them.
        """
        refuse_untaken(self.model, parameters)
        return Generator(self.model.bind(**parameters), self._explain)

    def stream(self, messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
        """Yield the reply in pieces.

        Raises
        ------
        GenerationError
            The model failed.
        BudgetError
            The call must not be made.
        """
        with contextlib.closing(self._paid(messages)) as pieces:
            for piece in pieces:
                if not is_pause(piece):
                    yield piece

    def _paid(self, messages: Sequence[BaseMessage]) -> Steps[BaseMessage, None, None]:
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
        with self._explaining():
            for piece in self.model.stream(list(messages)):
                yield _message(piece)

    async def astream(self, messages: Sequence[BaseMessage]) -> AsyncGenerator[BaseMessage, None]:
        """Yield the reply in pieces, without blocking the event loop.

        A model without an asynchronous client of its own, such as boto3's, is read in a thread of its own.

        Raises
        ------
        GenerationError, BudgetError
            As for `stream`.
        """
        if not self._asynchronous:
            # Pauses come through the thread: at each a question that was left ends the reply.
            async with contextlib.aclosing(in_thread(lambda: self._paid(messages))) as pieces:
                async for piece in pieces:
                    if not is_pause(piece):
                        yield piece
            return
        with self._explaining():
            async with contextlib.aclosing(self.model.astream(list(messages))) as pieces:
                async for piece in pieces:
                    yield _message(piece)

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        """Raise what the model raises as an error of ours, with what to do."""
        try:
            yield
        except RagError:
            raise
        except Exception as error:
            line = self._explain(error, self.description) if self._explain is not None else None
            reason = " ".join(str(error).split())[:300]
            raise GenerationError(line or f"{self.description}: {type(error).__name__}: {reason}") from error


def _message(piece: Any) -> BaseMessage:
    return piece if isinstance(piece, BaseMessage) else AIMessageChunk(content=str(piece))
