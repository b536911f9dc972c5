"""Questions are traced by OpenTelemetry's conventions, in the application's providers or over OTLP."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import rag
from rag.core.errors import ConfigError, GenerationError
from rag.telemetry.incoming import Continued
from rag.telemetry.settings import settings
from tests.response_cache.models import Echo
from tests.telemetry.collector import Collector

LEAVE = "How many days of annual leave do staff in Europe take?"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What the application's provider is told."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, list[Any]]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)

    def points() -> dict[str, list[Any]]:
        data = reader.get_metrics_data()
        assert data is not None
        found = data.resource_metrics[0].scope_metrics[0].metrics
        return {each.name: list(each.data.data_points) for each in found}

    return points


@pytest.fixture
def pipe(ix: Path, tmp_path: Path, spans: Any, measured: Any) -> rag.Pipeline:
    return traced(ix, tmp_path)


def traced(ix: Path, tmp_path: Path, *, fails: bool = False, **more: Any) -> rag.Pipeline:
    return rag.Pipeline(
        ix, generator=Echo(log=str(tmp_path / "log"), fails=fails),
        telemetry={"otel": True, "path": str(tmp_path / "c.jsonl"), **more},
    )  # fmt: skip


def tree(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_question_is_a_tree_of_spans_by_the_conventions(
    pipe: rag.Pipeline, spans: InMemorySpanExporter, tmp_path: Path
) -> None:
    answer = pipe.ask(LEAVE)
    found = tree(spans)
    root = found["rag.ask"]
    assert set(found) == {"rag.ask", "retrieve", "trim", "assemble", "generate", "chat Echo", "cite"}
    parents = {name: span.parent.span_id if span.parent else None for name, span in found.items()}
    assert parents.pop("rag.ask") is None
    assert parents.pop("chat Echo") == found["generate"].context.span_id
    assert set(parents.values()) == {root.context.span_id}
    call = found["chat Echo"]
    assert call.kind is trace.SpanKind.CLIENT and call.attributes is not None
    assert call.attributes["gen_ai.operation.name"] == "chat"
    # Echo tells LangChain no model's id before it answers, so that its class stands for it.
    assert call.attributes["gen_ai.request.model"] == "Echo"
    assert call.attributes["gen_ai.response.model"] == "echo-1"
    assert call.attributes["gen_ai.usage.input_tokens"] == 1000
    assert call.attributes["gen_ai.usage.output_tokens"] == 100
    assert call.attributes["gen_ai.response.finish_reasons"] == ("end_turn",)
    assert call.attributes["gen_ai.request.temperature"] == 0.0
    assert 0 < call.attributes["gen_ai.response.time_to_first_chunk"] < 60  # type: ignore[operator]
    assert root.attributes is not None and root.attributes["rag.question.id"] == answer.id
    assert root.attributes["rag.outcome"] == "answered" and root.attributes["rag.index"] == "ix"
    assert found["retrieve"].attributes == {
        "gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "ix", "rag.retrieve.documents": 1,
    }  # fmt: skip
    row = json.loads((tmp_path / "c.jsonl").read_text())
    assert row["trace_id"] == format(root.context.trace_id, "032x") and row["temperature"] == 0.0
    whole = json.dumps([span.to_json() for span in found.values()])
    assert "Europe" not in whole and "28 days" not in whole


def test_metrics_have_the_conventions_names_and_buckets(pipe: rag.Pipeline, measured: Any) -> None:
    pipe.ask(LEAVE)
    found = measured()
    assert set(found) >= {
        "gen_ai.client.operation.duration", "gen_ai.client.token.usage",
        "gen_ai.client.operation.time_to_first_chunk", "rag.question.duration",
    }  # fmt: skip
    (duration,) = found["gen_ai.client.operation.duration"]
    assert duration.explicit_bounds[0] == 0.01 and duration.explicit_bounds[-1] == 81.92
    assert {(point.attributes["gen_ai.token.type"], point.sum) for point in found["gen_ai.client.token.usage"]} == {
        ("input", 1000), ("output", 100),
    }  # fmt: skip


def test_texts_are_attributes_only_where_they_are_switched_on(
    ix: Path, tmp_path: Path, spans: InMemorySpanExporter, measured: Any
) -> None:
    traced(ix, tmp_path, texts=True, most_chars=40).ask(f"I am ann@example.com. {LEAVE}")
    attributes = tree(spans)["rag.ask"].attributes or {}
    (asked,) = json.loads(str(attributes["gen_ai.input.messages"]))
    (said,) = json.loads(str(attributes["gen_ai.output.messages"]))
    assert asked["role"] == "user" and asked["parts"][0]["content"].startswith("I am [e-mail]. How many")
    assert len(asked["parts"][0]["content"]) == 40
    assert said["role"] == "assistant" and said["finish_reason"] == "end_turn"


def test_an_error_has_its_class_and_no_text(
    ix: Path, tmp_path: Path, spans: InMemorySpanExporter, measured: Any
) -> None:
    with pytest.raises(GenerationError):
        traced(ix, tmp_path, fails=True).ask(LEAVE)
    found = tree(spans)
    for name, kind in (
        ("chat Echo", "ConnectionError"),
        ("generate", "GenerationError"),
        ("rag.ask", "GenerationError"),
    ):
        assert found[name].status.status_code is trace.StatusCode.ERROR, name
        assert (found[name].attributes or {})["error.type"] == kind and not found[name].events
    assert "the model is down" not in json.dumps([span.to_json() for span in found.values()])


def test_a_question_that_is_left_ends_its_spans_without_an_error(
    pipe: rag.Pipeline, spans: InMemorySpanExporter
) -> None:
    events = pipe.stream(LEAVE)
    for event in events:
        if event.kind == "text":
            break
    events.close()  # type: ignore[attr-defined]
    found = tree(spans)
    assert (found["rag.ask"].attributes or {})["rag.outcome"] == "left"
    assert all(span.status.status_code is trace.StatusCode.UNSET for span in found.values())
    assert not trace.get_current_span().get_span_context().is_valid


def test_threads_and_tasks_have_traces_of_their_own(pipe: rag.Pipeline, spans: InMemorySpanExporter) -> None:
    threads = [threading.Thread(target=pipe.ask, args=(f"{LEAVE} {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def more() -> None:
        await asyncio.gather(*(pipe.aask(f"{LEAVE} {n}") for n in range(6)))

    asyncio.run(more())
    traces: dict[int, list[str]] = {}
    for span in spans.get_finished_spans():
        traces.setdefault(span.context.trace_id, []).append(span.name)
    assert len(traces) == 12
    stages = ["assemble", "chat Echo", "cite", "generate", "rag.ask", "retrieve", "trim"]
    assert all(sorted(names) == stages for names in traces.values())


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [(PARENT, "0af7651916cd43dd8448eb211c80319c"), ("00-nonsense-01", None), (None, None)],
)
async def test_the_callers_trace_is_continued(
    pipe: rag.Pipeline, spans: InMemorySpanExporter, header: str | None, trace_id: str | None
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await pipe.aask(LEAVE)

    headers = [] if header is None else [(b"traceparent", header.encode())]
    await Continued(app)({"type": "http", "headers": headers}, None, None)
    root = tree(spans)["rag.ask"]
    found = format(root.context.trace_id, "032x")
    if trace_id is None:
        assert root.parent is None
    else:
        assert found == trace_id and root.parent is not None and root.parent.span_id == 0xB7AD6B7169203331
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"otel": "yes"}, "true or false"), ({"otel": True, "otel_endpoint": "collector:4318"}, "a URL"),
        ({"otel_endpoint": "http://c:4318", "path": "x"}, "without otel"),
    ],
)  # fmt: skip
def test_settings_of_tracing_are_checked(value: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        settings(value)


# ------------------------------------------------------------------ over the wire


def test_without_a_provider_ours_sends_to_the_collector_and_sets_nothing_global(
    collector: Collector, ix: Path
) -> None:
    """In a process of its own, as providers last as long as one; what is left is sent at its end."""
    code = f"""
import rag
from opentelemetry import metrics, trace
pipe = rag.Pipeline({str(ix)!r}, telemetry={{"otel": True, "otel_endpoint": "{collector.url}"}})
pipe.ask({LEAVE!r})
assert type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"
assert type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    (resource,) = collector.traces[0].resource_spans
    names = {span.name for scope in resource.scope_spans for span in scope.spans}
    assert {"rag.ask", "retrieve", "trim", "assemble", "generate", "cite"} == names
    assert ("service.name", "rag") in {
        (each.key, each.value.string_value) for each in resource.resource.attributes
    }
    (measures,) = collector.metrics[-1].resource_metrics
    assert "rag.question.duration" in {m.name for scope in measures.scope_metrics for m in scope.metrics}
