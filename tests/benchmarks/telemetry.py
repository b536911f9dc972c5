"""What telemetry costs a question: ``python -m tests.benchmarks.telemetry [--questions N]``.

Asks the same questions of the same index with telemetry off, with a file of records, and traced by
OpenTelemetry, whose spans and metrics go to a collector in a process of its own. The answers are a chat
model's that waits for nothing, so that the time is this library's own. The kinds take turns, question by
question, so that what else the machine does meets all alike; the differences are paired, with their 95 %
bootstrap interval. CPU time is that of the whole process, the thread that exports spans included: it is
measured over a block of questions of each kind, in turns, too.
"""

from __future__ import annotations

import argparse
import atexit
import json
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.language_models import FakeListChatModel

import rag
from tests.benchmarks.measured import bounds
from tests.telemetry.collector import Collector

ROOT = Path(__file__).parents[2]
BLOCKS = 8


def collect(asked: Any, told: Any) -> None:
    """Receive spans and metrics; say how many spans came each time that is asked, but for the last."""
    with Collector() as collector:
        told.put(collector.url)
        while asked.get():
            told.put(len(collector.spans))


def pipelines(folder: Path, url: str) -> dict[str, rag.Pipeline]:
    """Return a pipeline of each kind over one index."""
    rag.build(ROOT / "data" / "handbook", folder / "ix", embedder="static")
    words = (
        rag.Pipeline(folder / "ix").context("How long is parental leave?").hits[0].text.split("\n")[-1][:80]
    )
    reply = f'It depends on the country.<cite doc="1">{words}</cite>'
    kinds: Mapping[str, Any] = {
        "off": None,
        "a file of records": {"path": str(folder / "calls.jsonl")},
        "OpenTelemetry": {"otel": True, "otel_endpoint": url},
    }
    return {
        name: rag.Pipeline(folder / "ix", generator=FakeListChatModel(responses=[reply]), telemetry=value)
        for name, value in kinds.items()
    }


def turns(pipes: Mapping[str, rag.Pipeline], questions: list[str]) -> dict[str, list[float]]:
    """Ask each question of each pipeline in turn; return milliseconds."""
    took: dict[str, list[float]] = {name: [] for name in pipes}
    names = list(pipes)
    for number, question in enumerate(questions):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.perf_counter()
            pipes[name].ask(question)
            took[name].append(1000 * (time.perf_counter() - started))
    return took


def blocks(pipes: Mapping[str, rag.Pipeline], questions: list[str]) -> dict[str, float]:
    """Ask blocks of questions; return milliseconds of CPU a question, of the whole process."""
    used = dict.fromkeys(pipes, 0.0)
    for _ in range(BLOCKS):
        for name, pipe in pipes.items():
            started = time.process_time()
            for question in questions:
                pipe.ask(question)
            used[name] += 1000 * (time.process_time() - started)
    return {name: total / (BLOCKS * len(questions)) for name, total in used.items()}


def main() -> None:
    """Measure, and print a line for each kind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=300)
    options = parser.parse_args([] if __name__ != "__main__" else None)
    lines = (ROOT / "data" / "golden.jsonl").read_text(encoding="utf-8").splitlines()
    known = [json.loads(line)["question"] for line in lines]
    questions = [known[n % len(known)] for n in range(options.questions)]
    context = multiprocessing.get_context("spawn")
    asked, told = context.Queue(), context.Queue()
    context.Process(target=collect, args=(asked, told)).start()
    atexit.register(asked.put, False)  # after OpenTelemetry's own end, which sends what is left
    with tempfile.TemporaryDirectory() as name:
        pipes = pipelines(Path(name), told.get(timeout=60))
        turns(pipes, questions[:20])  # warm
        took = turns(pipes, questions)
        cpu = blocks(pipes, questions[:50])
    recorder = pipes["OpenTelemetry"].around.telemetry
    assert recorder is not None
    recorder.close()
    asked.put(True)
    print(f"telemetry, {len(questions)} questions of each kind in turns; ms a question:")
    for kind, values in took.items():
        line = f"  {kind}: median {np.median(values):.2f}, CPU {cpu[kind]:.2f}"
        if kind != "off":
            more = np.subtract(values, took["off"])
            low, high = bounds(more.tolist())
            line += f"; more than off: median {np.median(more):+.2f}, mean {more.mean():+.2f} ({low:+.2f} to {high:+.2f})"
        print(line, flush=True)
    print(f"  {told.get(timeout=60):,} spans reached the collector")


if __name__ == "__main__":
    main()
