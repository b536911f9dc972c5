"""The web service under load: ``python -m tests.benchmarks.serving [streams|search|memory] [--workers N]``.

Three processes: the emulator (300 ms to the first token, 20 ms a piece), the service as ``rag serve`` runs it,
and the clients (aiohttp: httpx alone would take 9 ms of CPU a stream). Streams: 500 at once, each of which must be whole and its own. Search: 50 questions a second
for a while on 100,000 chunks. Memory: resident size of the service over many requests. Streams and search
run beside a plain FastAPI application around LangChain's parts (`tests.benchmarks.serving_peer`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import numpy as np

import rag
from rag.emulator import Behaviour, Emulator
from rag.emulator.wire import Request

FIRST_TOKEN_S, PIECE_S = 0.3, 0.02


def echo(request: Request) -> str:
    """A reply that only its own question can have."""
    number = re.findall(r"number (\d+)", str(request.params["messages"][-1]))[-1]
    return " ".join(f"reply{number}" for _ in range(30))


def emulate(ready: Any, stop: Any) -> None:
    """Run the emulator until told to stop."""
    behaviour = Behaviour(latency_s=FIRST_TOKEN_S, token_s=PIECE_S, reply=echo)
    with Emulator(behaviour) as emulator:
        ready.put(dict(emulator.environment()))
        stop.wait()


@contextlib.contextmanager
def emulator() -> Iterator[dict[str, str]]:
    """The emulator in a process of its own; yields the variables that point at it."""
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Queue(), context.Event()
    process = context.Process(target=emulate, args=(ready, stop))
    process.start()
    try:
        yield ready.get(timeout=60)
    finally:
        stop.set()
        process.join(20)


@contextlib.contextmanager
def served(index: Path, environment: dict[str, str], *more: str) -> Iterator[tuple[str, int]]:
    """``rag serve`` in a process of its own; yields its address and process id."""
    with started(
        environment, "rag", "serve", str(index), "--port", "0", "--most-requests", "2000", *more
    ) as it:
        yield it


@contextlib.contextmanager
def started(environment: dict[str, str], module: str, *words: str) -> Iterator[tuple[str, int]]:
    """A server in a process of its own, which prints its address; yields that and the process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words],
        stdout=subprocess.PIPE, env={**os.environ, **environment}, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield re.findall(r"http://\S+", process.stdout.readline())[0], process.pid
    finally:
        process.terminate()
        process.wait(60)


def peer(index: Path, environment: dict[str, str]) -> Any:
    """LangChain's parts behind FastAPI, in a process of their own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return started(environment, "tests.benchmarks.serving_peer", str(index), str(port))


def resident_mb(pid: int) -> float:
    """Resident memory of a process in megabytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1000


def small(folder: Path) -> Path:
    """An index of a few documents."""
    (folder / "docs").mkdir()
    for n in range(20):
        (folder / "docs" / f"{n}.md").write_text(f"# Rule {n}\n\nThe rule number {n} holds for all staff.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder / "ix"


def large(folder: Path, chunks: int) -> Path:
    """An index of many chunks of made text."""
    rng = np.random.default_rng(0)
    nouns = [f"noun{n}" for n in range(4000)]
    (folder / "many").mkdir()
    per = 100
    for n in range(chunks // per):
        picks = rng.integers(0, len(nouns), (per, 12))
        parts = [
            f"## Part {at}\n\nThe {' '.join(nouns[i] for i in row)} rule holds.\n"
            for at, row in enumerate(picks)
        ]
        (folder / "many" / f"{n}.md").write_text(f"# Document {n}\n\n" + "\n".join(parts))
    rag.build(folder / "many", folder / "large", embedder="static")
    return folder / "large"


async def stream(
    client: aiohttp.ClientSession, address: str, number: int
) -> tuple[float, float, float, bool]:
    """Ask one question; return seconds to the first byte, the passages and the text, and whether all is its own."""
    started, kind, whole = time.perf_counter(), "", False
    first: dict[str, float] = {}
    texts = []
    body = {"question": f"What is rule number {number}?", "stream": True}
    async with client.post(f"{address}/v1/ask", json=body) as reply:
        async for raw in reply.content:
            first.setdefault("byte", time.perf_counter() - started)
            line = raw.decode().rstrip()
            if line.startswith("event: "):
                kind = line[7:]
                first.setdefault(kind, time.perf_counter() - started)
            elif line.startswith("data: ") and kind == "text":
                texts.append(json.loads(line[6:]))
            elif line.startswith("data: ") and kind == "answer":
                whole = True
    said = "".join(texts).split()
    own = whole and len(said) >= 30 and {*said} == {f"reply{number}"}
    return first["byte"], first.get("context", np.nan), first.get("text", np.nan), own


async def streams(address: str, count: int) -> tuple[np.ndarray, int]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=count, force_close=True),
        timeout=aiohttp.ClientTimeout(180),
        read_bufsize=1 << 20,
    ) as client:
        rows = await asyncio.gather(*(stream(client, address, number) for number in range(count)))
    return np.array([row[:3] for row in rows]), sum(not row[3] for row in rows)


async def searches(address: str, rate: float, seconds: float) -> np.ndarray:
    """Ask at a steady rate, whatever the answers take; return the seconds of each."""
    rng = np.random.default_rng(1)

    async def one(at: float) -> float:
        await asyncio.sleep(max(at - time.perf_counter(), 0))
        words = " ".join(f"noun{n}" for n in rng.integers(0, 4000, 5))
        started = time.perf_counter()
        reply = await client.post(
            f"{address}/v1/search", json={"question": f"Which rule has {words}?", "k": 10}
        )
        assert reply.status_code == 200 and len(reply.json()["hits"]) == 10
        return time.perf_counter() - started

    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=200)) as client:
        begin = time.perf_counter() + 0.1
        times = await asyncio.gather(*(one(begin + n / rate) for n in range(int(rate * seconds))))
    return np.array(times)


def quantiles(values: np.ndarray, unit: float = 1.0) -> str:
    """Return the median, the 95th and the 99th percentile."""
    return ", ".join(
        f"{name} {unit * value:.3g}"
        for name, value in zip(("p50", "p95", "p99"), np.nanquantile(values, (0.5, 0.95, 0.99)), strict=True)
    )


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*", default=["streams", "search", "memory"])
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args([] if __name__ != "__main__" else None)
    workers = ("--workers", str(options.workers))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = small(folder)
        if "streams" in options.what:
            with emulator() as environment:
                with served(index, environment, "--generator", "claude", *workers) as (address, _):
                    show_streams("rag serve", address, options.streams)
                with peer(index, environment) as (address, _):
                    show_streams("LangChain behind FastAPI", address, options.streams)
        if "search" in options.what:
            many = large(folder, options.chunks)
            print(f"{options.rate:g} searches a second on {len(rag.Index.open(many)):,} chunks, in ms:")
            with served(many, {}, *workers) as (address, _):
                show_searches("rag serve, hybrid", address, options.rate, options.seconds)
            with peer(many, {}) as (address, _):
                show_searches("LangChain behind FastAPI, dense", address, options.rate, options.seconds)
        if "memory" in options.what:
            with served(index, {}) as (address, pid), httpx.Client(base_url=address) as client:
                sizes = []
                for n in range(options.requests):
                    client.post("/v1/search", json={"question": f"rule number {n}"})
                    if n % (options.requests // 10) == options.requests // 10 - 1:
                        sizes.append(resident_mb(pid))
            print(
                f"resident over {options.requests:,} searches, MB: {', '.join(f'{each:.0f}' for each in sizes)}"
            )


def show_streams(name: str, address: str, count: int) -> None:
    """Ask so many questions at once; print how long each part took."""
    asyncio.run(streams(address, 20))  # warm
    times, wrong = asyncio.run(streams(address, count))
    print(f"{name}, {count} streams at once: {wrong} lost or mixed; in s:", flush=True)
    for column, part in enumerate(("first byte", "passages", "first text")):
        print(f"  {part}: {quantiles(times[:, column])}", flush=True)


def show_searches(name: str, address: str, rate: float, seconds: float) -> None:
    """Search at a steady rate; print how long it took."""
    asyncio.run(searches(address, 20, 2))
    print(f"  {name}: {quantiles(asyncio.run(searches(address, rate, seconds)), 1000)}", flush=True)


if __name__ == "__main__":
    main()
