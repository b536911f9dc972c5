"""A trace goes through a running service: from a request's header, over HTTP, to what a collector is sent."""

from __future__ import annotations

import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

import rag
from rag.emulator import Emulator
from tests.telemetry.collector import Collector, attributes

QUESTION = "How many days of annual leave do staff in Europe take?"
STAGES = {"rag.ask", "retrieve", "trim", "assemble", "generate", "cite"}


def parent(number: int, *, sampled: bool = True) -> str:
    """A header ``traceparent`` (https://www.w3.org/TR/trace-context/)."""
    return f"00-{number:032x}-{number + 256:016x}-{'01' if sampled else '00'}"


def asked(url: str, body: dict[str, Any], trace: str | None) -> str:
    headers = {} if trace is None else {"traceparent": trace}
    reply = httpx.post(f"{url}/v1/ask", json={"question": QUESTION, **body}, headers=headers, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply.text


def test_the_callers_traces_reach_the_collector(collector: Collector, ix: Path, tmp_path: Path) -> None:
    """Whole answers and streams at once, each in the trace of its own caller; one is not sampled."""
    config = tmp_path / "rag.toml"
    config.write_text(f'[telemetry]\notel = true\notel_endpoint = "{collector.url}"\n')
    words = [sys.executable, "-m", "rag", "serve", str(ix), "--port", "0", "--generator", "claude"]
    with Emulator() as emulator:
        environment = {**os.environ, **emulator.environment(), "OTEL_BSP_SCHEDULE_DELAY": "100"}
        process = subprocess.Popen(
            [*words, "--config", str(config)], text=True, stdout=subprocess.PIPE, env=environment
        )
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None
            jobs: list[tuple[dict[str, Any], str | None]] = [
                ({"stream": n % 2 == 0}, parent(n)) for n in range(1, 7)
            ]
            jobs += [({}, parent(99, sampled=False)), ({}, "00-nonsense-01"), ({}, None)]
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                replies = list(pool.map(lambda job: asked(found[0], *job), jobs))
        finally:
            process.terminate()
            process.wait(60)
        assert emulator.problems == []
    assert all("event: answer" in text for text in replies[1:6:2])
    traces: dict[int, dict[str, Any]] = {}
    for span in collector.spans:
        traces.setdefault(int.from_bytes(span.trace_id), {})[span.name] = span
    call = f"chat {rag.ClaudeBedrock.model_fields['model_id'].default}"
    assert all(set(names) == {*STAGES, call} for names in traces.values())
    assert {*range(1, 7)} <= traces.keys() and 99 not in traces and len(traces) == 8
    for number in range(1, 7):
        spans = traces[number]
        assert int.from_bytes(spans["rag.ask"].parent_span_id) == number + 256
        assert spans[call].parent_span_id == spans["generate"].span_id
        assert spans[call].kind == spans[call].SPAN_KIND_CLIENT
        said = attributes(spans[call])
        assert said["gen_ai.provider.name"] == "aws.bedrock" and said["gen_ai.operation.name"] == "chat"
        assert said["gen_ai.usage.input_tokens"] > 0 and said["gen_ai.usage.output_tokens"] > 0
    own = [spans["rag.ask"] for number, spans in traces.items() if number > 99]
    assert len(own) == 2 and not any(span.parent_span_id for span in own)
    measured = {
        metric.name: metric for request in collector.metrics for resource in request.resource_metrics
        for scope in resource.scope_metrics for metric in scope.metrics
    }  # fmt: skip
    (point,) = measured["gen_ai.client.operation.duration"].histogram.data_points
    assert point.count == len(jobs)
    assert attributes(point)["gen_ai.provider.name"] == "aws.bedrock"
