"""The calls of chat models of a question, as LangChain's callbacks report them: spans, and what was asked.

Calls of models on this machine, and of those that stand for others, are left out: the first are no calls,
the second report theirs.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult
from langchain_core.tracers.context import register_configure_hook

from rag.telemetry.observation import Observation
from rag.telemetry.spans import CallSpan
from rag.usage.collector import Collector, purpose, under_way
from rag.usage.model_calls import METADATA, ModelFacts, answered_by, message_of, model_of

_WATCH: contextvars.ContextVar[ModelWatch | None] = contextvars.ContextVar("model_watch", default=None)


class ModelWatch(BaseCallbackHandler):
    """Watches the calls of models for one question."""

    run_inline = True  # in the caller's context, where the span of the stage is the current one

    def __init__(self, observation: Observation, collector: Collector) -> None:
        self._seen, self._collector = observation, collector
        self._spans: dict[UUID, CallSpan] = {}
        self._lock = threading.Lock()

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: Any,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a span."""
        self._begin(serialized, run_id, metadata or {}, kwargs.get("invocation_params") or {})

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Begin a span."""
        self._begin(serialized, run_id, metadata or {}, kwargs.get("invocation_params") or {})

    def _begin(self, serialized: Any, run_id: UUID, metadata: dict[str, Any], params: dict[str, Any]) -> None:
        if under_way() is not self._collector:  # inherited: another question's call, which watches it itself
            return
        facts: ModelFacts = metadata.get(METADATA) or ModelFacts()
        if facts.stands_for_others or "extractive" in (params.get("_type"), metadata.get("ls_model_type")):
            return
        temperature = metadata.get("ls_temperature", params.get("temperature"))
        if isinstance(temperature, int | float):
            self._seen.temperature = float(temperature)
        if self._seen.span is None:
            return
        span = self._seen.span.call(
            model_of(metadata, params, serialized), str(metadata.get("ls_provider") or ""), purpose(),
            {
                "temperature": temperature,
                "max_tokens": params.get("max_tokens") or metadata.get("ls_max_tokens"),
            },
        )  # fmt: skip
        with self._lock:
            self._spans[run_id] = span

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Take the time of the first piece."""
        if (span := self._spans.get(run_id)) is not None:
            span.first()

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """End the span."""
        if (span := self._ended(run_id)) is not None:
            message = message_of(response)
            span.end(message, answered_by(message))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """End the span with the error's class, or as left, which is no error."""
        if (span := self._ended(run_id)) is not None:
            span.end(None, None, error)

    def _ended(self, run_id: UUID) -> CallSpan | None:
        with self._lock:
            return self._spans.pop(run_id, None)

    def close(self) -> None:
        """End the spans of calls that nobody waited for."""
        with self._lock:
            left, self._spans = list(self._spans.values()), {}
        for span in left:
            span.end(None, None)


@contextlib.contextmanager
def watching(observation: Observation, collector: Collector) -> Iterator[None]:
    """Watch the calls of models that a question makes inside."""
    watch = ModelWatch(observation, collector)
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        watch.close()
        with contextlib.suppress(ValueError):  # closed by the garbage collector, in another context
            _WATCH.reset(token)


register_configure_hook(_WATCH, inheritable=True)
