"""Spans and metrics of questions by OpenTelemetry's semantic conventions for generative AI.

Attributes, metrics and their buckets are those of the GenAI conventions, status Development, as the semantic
conventions 1.41 have them and the package opentelemetry-semantic-conventions 0.66b2 lists them (read
November 2026); names that begin with ``rag.`` are ours. The conventions' ``gen_ai.server.…`` metrics are a
server's to emit: a client measures ``gen_ai.client.operation.time_to_first_chunk``.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ and …/gen-ai-metrics/
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from rag.core.errors import GenerationError
from rag.generation.reply import metadata_of, stop_reason
from rag.usage.model_calls import usage_of

#: What LangChain calls providers, by the conventions' names; others keep theirs.
_PROVIDERS = {
    "amazon_bedrock": "aws.bedrock", "bedrock": "aws.bedrock", "azure": "azure.ai.openai",
    "google_genai": "gcp.gemini", "google_vertexai": "gcp.vertex_ai", "mistral": "mistral_ai", "xai": "x_ai",
}  # fmt: skip
#: Of `rag.call` records, what becomes attributes of a question's span.
_ATTRIBUTES = {
    "id": "rag.question.id", "task": "rag.task", "outcome": "rag.outcome", "index": "rag.index",
    "version": "rag.index.version", "prompt": "rag.prompt", "prompt_hash": "rag.prompt.hash",
    "tag": "rag.tag", "tenant": "rag.tenant", "model": "gen_ai.request.model",
    "tier": "rag.tier", "usd": "rag.usd",
    "guardrail": "rag.guardrail", "supported": "rag.supported", "citations": "rag.citations",
    "passages": "rag.passages", "retries": "rag.retries", "fallbacks": "rag.fallbacks",
    "escalations": "rag.escalations", "cache": "rag.cache",
}  # fmt: skip


class Instruments(Protocol):
    """Takes measurements (`rag.telemetry.tracing.Meters`)."""

    def duration(self, seconds: float, attributes: Mapping[str, Any]) -> None:
        """Take the seconds of a model's call."""

    def first_chunk(self, seconds: float, attributes: Mapping[str, Any]) -> None:
        """Take the seconds to the first piece of a reply."""

    def tokens(self, count: int, attributes: Mapping[str, Any]) -> None:
        """Take a number of tokens."""


class QuestionSpan:
    """The span of a question, which is the current one while it is answered.

    Parameters
    ----------
    trace : module
        ``opentelemetry.trace``.
    tracer : Any
    instruments : Instruments
    index : str
        Its name: the data source of the conventions' ``retrieval``.
    """

    def __init__(self, trace: Any, tracer: Any, instruments: Instruments, index: str) -> None:
        self._trace, self._tracer, self._instruments, self._index = trace, tracer, instruments, index
        self._span: Any = None

    @contextlib.contextmanager
    def current(self, task: str) -> Iterator[None]:
        """Begin the span, and let it be the current one inside."""
        attributes = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": f"rag.{task}"}
        self._span = self._tracer.start_span(f"rag.{task}", attributes=attributes)
        # Its errors are noted by `end`: their texts, which may quote the question, are left out.
        with self._trace.use_span(
            self._span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            yield

    def end(self, record: Mapping[str, Any]) -> None:
        """Write a question's record to its span; what has texts is in it only if they are switched on."""
        span, counts = self._span, record["tokens"]
        for name, attribute in _ATTRIBUTES.items():
            if record.get(name) not in (None, ""):
                span.set_attribute(attribute, record[name])
        read = counts["input"] + counts["cache_read"] + counts["cache_write"]
        for attribute, count in (("input_tokens", read), ("output_tokens", counts["output"])):
            span.set_attribute(f"gen_ai.usage.{attribute}", count)
        if record.get("stop_reason"):
            span.set_attribute("gen_ai.response.finish_reasons", [record["stop_reason"]])
        for attribute, role, name in (("input", "user", "question"), ("output", "assistant", "answer")):
            if name in record:
                message: dict[str, Any] = {"role": role, "parts": [{"type": "text", "content": record[name]}]}
                if name == "answer":
                    message["finish_reason"] = record.get("stop_reason") or "stop"
                span.set_attribute(f"gen_ai.{attribute}.messages", json.dumps([message], ensure_ascii=False))
        if record["error"]:
            self._failed(span, record["error"])

    def _failed(self, span: Any, kind: str) -> None:
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))

    @contextlib.contextmanager
    def stage(self, name: str, detail: Mapping[str, Any]) -> Iterator[None]:
        """Run a stage in a span; of its details the numbers become attributes, as others may have texts."""
        attributes: dict[str, Any] = {}
        if name == "retrieve":
            attributes = {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": self._index}
        span = self._tracer.start_span(name, attributes=attributes)
        with self._trace.use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield
            except Exception as error:
                self._failed(span, type(error).__name__)
                raise
            finally:
                for key, value in detail.items():
                    if isinstance(value, int | float):
                        span.set_attribute(f"rag.{name}.{key}", value)

    def call(self, model: str, provider: str, purpose: str, asked: Mapping[str, Any]) -> CallSpan:
        """Begin the span of a model's call, below the current stage."""
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": _PROVIDERS.get(provider, provider or "unknown"),
            "gen_ai.request.model": model,
        }  # fmt: skip
        told = {f"gen_ai.request.{name}": value for name, value in asked.items() if value is not None}
        span = self._tracer.start_span(
            f"chat {model}", kind=self._trace.SpanKind.CLIENT,
            attributes={**attributes, **told, "rag.purpose": purpose},
        )  # fmt: skip
        return CallSpan(span, attributes, self._instruments, self._failed)


class CallSpan:
    """The span of a model's call; its duration and tokens are measured at its end."""

    def __init__(self, span: Any, attributes: dict[str, Any], instruments: Instruments, failed: Any) -> None:
        self._span, self._attributes, self._instruments, self._failed = span, attributes, instruments, failed
        self._started = time.perf_counter()
        self._first_s: float | None = None

    def first(self) -> None:
        """Take the time, unless a piece was there before."""
        if self._first_s is None:
            self._first_s = time.perf_counter() - self._started

    def end(self, message: Any, answered: str | None, error: BaseException | None = None) -> None:
        """End the span.

        Parameters
        ----------
        message : BaseMessage or None
            The reply.
        answered : str or None
            The model that it names as its own.
        error : exception, optional
            A `GeneratorExit` or a cancellation is none: nobody waited for the end.
        """
        seconds, attributes = time.perf_counter() - self._started, self._attributes
        if answered:
            attributes["gen_ai.response.model"] = answered
        for name, value in attributes.items():
            self._span.set_attribute(name, value)
        if isinstance(error, Exception):
            # A client's error by its code where it has one, as the conventions ask.
            code = error.code if isinstance(error, GenerationError) else ""
            kind = code or type(error).__name__
            self._failed(self._span, kind)
            attributes = {**attributes, "error.type": kind}
        self._instruments.duration(seconds, attributes)
        if self._first_s is not None:
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", self._first_s)
            self._instruments.first_chunk(self._first_s, attributes)
        if metadata_of(message):
            self._span.set_attribute("gen_ai.response.finish_reasons", [stop_reason(message)])
        usage = usage_of(message)
        if usage is not None:
            fresh, written, read, stored = usage.counts
            # The conventions' input tokens include those of the cache.
            counted = {"input": fresh + read + stored, "output": written}
            for kind, count in counted.items():
                self._span.set_attribute(f"gen_ai.usage.{kind}_tokens", count)
                self._instruments.tokens(count, {**attributes, "gen_ai.token.type": kind})
            for kind, count in (("cache_read", read), ("cache_creation", stored)):
                if count:
                    self._span.set_attribute(f"gen_ai.usage.{kind}.input_tokens", count)
        self._span.end()
