"""OpenTelemetry's providers: those that the application has configured, else ours, which send to a collector.

Nothing global is set. Ours send spans and metrics over HTTP (OTLP) in the background, and are shared by the
pipelines of a process; OpenTelemetry's variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``,
``OTEL_TRACES_SAMPLER``, …) hold for them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag.core.extras import require
from rag.telemetry.spans import QuestionSpan

#: Bounds of the histograms' buckets that the conventions ask for, in seconds and in tokens.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_TOKENS = tuple(4**power for power in range(14))


@dataclass(frozen=True, slots=True)
class _Ours:
    tracers: Any
    meters: Any


@functools.cache
def _ours(endpoint: str) -> _Ours:
    """Return our providers, made once in a process for each collector."""
    sdk = require("opentelemetry.sdk.trace", extra="otel")
    export = require("opentelemetry.sdk.trace.export", extra="otel")
    measure = require("opentelemetry.sdk.metrics", extra="otel")
    reading = require("opentelemetry.sdk.metrics.export", extra="otel")
    resources = require("opentelemetry.sdk.resources", extra="otel")
    spans = require("opentelemetry.exporter.otlp.proto.http.trace_exporter", extra="otel")
    metrics = require("opentelemetry.exporter.otlp.proto.http.metric_exporter", extra="otel")
    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "rag"}
    resource = resources.Resource.create(named)
    base = endpoint.rstrip("/")
    tracers = sdk.TracerProvider(resource=resource)
    spans_to = spans.OTLPSpanExporter(endpoint=f"{base}/v1/traces" if base else None)
    metrics_to = metrics.OTLPMetricExporter(endpoint=f"{base}/v1/metrics" if base else None)
    tracers.add_span_processor(export.BatchSpanProcessor(spans_to))
    meters = measure.MeterProvider([reading.PeriodicExportingMetricReader(metrics_to)], resource=resource)
    return _Ours(tracers, meters)


class Meters:
    """The instruments of one provider of meters."""

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        meter = provider.get_meter("rag")

        def histogram(name: str, unit: str, about: str, bounds: tuple[float, ...]) -> Any:
            return meter.create_histogram(
                name, unit=unit, description=about, explicit_bucket_boundaries_advisory=bounds
            )

        self._duration = histogram(
            "gen_ai.client.operation.duration", "s", "GenAI operation duration.", _SECONDS
        )
        self._first = histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", "Time to the first piece of a reply.", _FIRST
        )
        self._tokens = histogram(
            "gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.", _TOKENS
        )
        self._questions = histogram(
            "rag.question.duration", "s", "Seconds of a question, by outcome.", _SECONDS
        )
        self._usd = meter.create_counter("rag.cost", unit="USD", description="US dollars, by model.")

    def duration(self, seconds: float, attributes: Mapping[str, Any]) -> None:
        """Take the seconds of a model's call."""
        self._duration.record(seconds, dict(attributes))

    def first_chunk(self, seconds: float, attributes: Mapping[str, Any]) -> None:
        """Take the seconds to the first piece of a reply."""
        self._first.record(seconds, dict(attributes))

    def tokens(self, count: int, attributes: Mapping[str, Any]) -> None:
        """Take a number of tokens."""
        self._tokens.record(count, dict(attributes))

    def question(self, record: Mapping[str, Any]) -> None:
        """Take a question's record."""
        about = {"rag.index": record["index"], "rag.task": record["task"], "rag.outcome": record["outcome"]}
        self._questions.record(record["seconds"]["whole"], about)
        for call in record["calls"]:
            if call["usd"]:
                self._usd.add(
                    call["usd"], {"rag.index": record["index"], "gen_ai.request.model": call["model"]}
                )


class Tracing:
    """Traces questions.

    Parameters
    ----------
    endpoint : str
        The collector's URL, without ``/v1/traces``; by default OpenTelemetry's, http://localhost:4318.

    Raises
    ------
    MissingExtraError
        OpenTelemetry is not installed, or of an application without providers of its own, its SDK is not.
    """

    def __init__(self, endpoint: str = "") -> None:
        self._endpoint = endpoint
        self._trace = require("opentelemetry.trace", extra="otel")
        self._metrics = require("opentelemetry.metrics", extra="otel")
        self.meters = Meters(self._meter_provider())
        self._tracer_provider()

    def _tracer_provider(self) -> Any:
        provider = self._trace.get_tracer_provider()
        # The API's proxy stands where the application has set none.
        return provider if not _is_proxy(provider) else _ours(self._endpoint).tracers

    def _meter_provider(self) -> Any:
        provider = self._metrics.get_meter_provider()
        return provider if not _is_proxy(provider) else _ours(self._endpoint).meters

    def flush(self, timeout_s: float) -> None:
        """Send what our providers hold, each within a time; an application's own are its to flush."""
        if _ours.cache_info().currsize:
            ours = _ours(self._endpoint)
            ours.tracers.force_flush(int(1000 * timeout_s))
            ours.meters.force_flush(int(1000 * timeout_s))

    def question(self, index: str) -> QuestionSpan:
        """Return the span of a question, not begun yet.

        Providers are looked up anew: an application may set its own after it has made a pipeline.
        """
        provider = self._meter_provider()
        if provider is not self.meters.provider:
            self.meters = Meters(provider)
        return QuestionSpan(self._trace, self._tracer_provider().get_tracer("rag"), self.meters, index)


def _is_proxy(provider: object) -> bool:
    return type(provider).__name__ in ("ProxyTracerProvider", "_ProxyMeterProvider")
