"""Many questions to one response cache: ``python -m tests.benchmarks.responses [--questions N]``.

Processes with many threads each ask a shuffled list of questions of which a share are repeats, by default
10,000 questions, 30 % repeats, 3 processes with 50 threads, over one server of Redis (or one SQLite file).
The model answers with the question that it was asked, so that a wrong hit shows. Counted are the calls of
the model, which must be one for each distinct question, and wrong answers, of which there must be none.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import random
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rag
from tests.response_cache.models import PRICES, USD, Echo

TOPICS = (
    "annual leave in Europe",
    "annual leave in America",
    "a SEV-1 incident",
    "the notice period",
    "a laptop",
)


@dataclass(frozen=True)
class Figures:
    """What was counted: questions, distinct ones, calls, hits, wrong answers; seconds, and milliseconds of hits."""

    questions: int
    distinct: int
    calls: int
    hits: int
    wrong: int
    notes: int
    saved_usd: float
    seconds: float
    hit_ms: float

    def __str__(self) -> str:
        return (
            f"{self.questions:,} questions, {self.distinct:,} distinct: {self.calls:,} calls, {self.hits:,} hits, "
            f"{self.wrong} wrong, {self.notes} notes, ${self.saved_usd:.2f} saved; {self.seconds:.1f} s, "
            f"median hit {self.hit_ms:.1f} ms"
        )


def asked(count: int, repeats: float, seed: int = 1) -> list[tuple[str, dict[str, Any]]]:
    """Return questions with options, of which a share are repeats; some differ in an option alone."""
    choose = random.Random(seed)
    distinct = []
    for number in range(round(count * (1 - repeats))):
        text = f"What does policy {number // 4} say about {TOPICS[number // 4 % len(TOPICS)]}?"
        options = ({}, {"tenant": "b"}, {"where": "region == 'eu'"}, {"k": 2})[number % 4]
        distinct.append((text, options))
    rows = distinct + choose.choices(distinct, k=count - len(distinct))
    choose.shuffle(rows)
    return rows


def work(
    path: str, settings: dict[str, Any], log: str, rows: list[tuple[str, dict[str, Any]]], threads: int
) -> list[tuple[bool, bool, int, float, float]]:
    """Ask in one process; return for each question: hit, wrong, notes, dollars saved, seconds."""
    pipe = rag.Pipeline(
        path, generator=Echo(log=log, delay_s=0.005), responses=settings, ledger=f"{log}.sqlite", prices=PRICES,
        trimmer={"budget": 300}, retriever={"k": 8},
    )  # fmt: skip

    def ask(row: tuple[str, dict[str, Any]]) -> tuple[bool, bool, int, float, float]:
        question, options = row
        began = time.perf_counter()
        answer = pipe.ask(question, **options)
        seconds = time.perf_counter() - began
        filtered = "where" not in options or all(
            hit.metadata["region"] == "eu" for hit in answer.context.hits
        )
        right = answer.question == question and f"You asked: {question}" in answer.text and filtered
        saved = 0.0 if answer.cached is None else answer.cached.saved_usd or 0.0
        return (
            answer.cached is not None,
            not right,
            len(answer.notes) - len(answer.support_lines[1:2]),
            saved,
            seconds,
        )

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(ask, rows))


def measure(
    path: str,
    settings: dict[str, Any],
    folder: Path,
    *,
    count: int,
    repeats: float,
    processes: int,
    threads: int,
) -> Figures:
    """Ask, and count."""
    rows = asked(count, repeats)
    log = folder / "calls"
    shares = [rows[start::processes] for start in range(processes)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rag.pipeline", "tests.response_cache.models"])
    began = time.perf_counter()
    with context.Pool(processes) as pool:
        results = pool.starmap(
            work, [(path, settings, str(log), share, threads) for share in shares], chunksize=1
        )
    seconds = time.perf_counter() - began
    flat = list(itertools.chain.from_iterable(results))
    calls = len(log.read_text().splitlines())
    distinct = len({(question, repr(options)) for question, options in rows})
    hits = [row for row in flat if row[0]]
    return Figures(
        count, distinct, calls, len(hits), sum(row[1] for row in flat), sum(row[2] for row in flat),
        sum(row[3] for row in flat), seconds, 1000 * statistics.median(row[4] for row in hits),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--repeats", type=float, default=0.3)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--store", choices=["redis", "sqlite"], default="redis")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        from tests.response_cache.conftest import Redis, write

        folder = Path(name)
        rag.build(write(folder / "docs"), folder / "ix", embedder="static")
        settings: dict[str, Any] = {"path": str(folder / "responses.sqlite"), "timeout_s": 10.0}
        server = None
        if arguments.store == "redis":
            server = Redis(folder)
            settings = {"use": "redis", "url": server.url, "timeout_s": 10.0}
        figures = measure(
            str(folder / "ix"), settings, folder, count=arguments.questions, repeats=arguments.repeats,
            processes=arguments.processes, threads=arguments.threads,
        )  # fmt: skip
        if server is not None:
            server.stop()
        print(
            f"{arguments.store}, {arguments.processes} processes with {arguments.threads} threads: {figures}"
        )
        assert (figures.calls, figures.wrong) == (figures.distinct, 0)
        assert figures.hits == figures.questions - figures.distinct
        assert abs(figures.saved_usd - figures.hits * USD) < 1e-6


if __name__ == "__main__":
    main()
