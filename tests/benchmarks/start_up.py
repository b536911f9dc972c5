"""How long commands take to start, and a service to be back: ``python -m tests.benchmarks.start_up``.

Of each command the CPU time and the time of the clock until its first result: of a service, the first answer to
a search over HTTP. "killed" ends the process with SIGKILL and takes the time until requests are answered
again: by the same command, started at once, or with several workers by the one in the killed one's place.
Each figure is the median of some runs; modules are compiled, and files in the page cache. ``--against PATH`` measures another
checkout in turns with this one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx

from rag.emulator import Emulator

ROOT = Path(__file__).parents[2]
QUESTION = {"question": "How long is parental leave?", "k": 1}
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def command(checkout: Path, words: Sequence[str]) -> tuple[float, float]:
    """Run a program to its end; return seconds, and of CPU."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], env={**os.environ, "PYTHONPATH": str(checkout)}, cwd=checkout,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} failed")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def serving(
    checkout: Path, index: Path, words: Sequence[str], environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``rag serve`` in a process of its own; yields it and its address."""
    variables = {**os.environ, **environment, "PYTHONPATH": str(checkout)}
    process = subprocess.Popen(
        [sys.executable, "-m", "rag", "serve", str(index), "--port", "0", *words], cwd=checkout, text=True,
        stdout=subprocess.PIPE, env=variables,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process, re.findall(r"http://\S+", process.stdout.readline())[0]
    finally:
        process.terminate()
        process.wait(60)


def first_answer(
    checkout: Path, index: Path, words: Sequence[str], environment: Mapping[str, str]
) -> tuple[float, float]:
    """Start a service; return the seconds until its first answer, and of CPU that it took for that."""
    started = time.perf_counter()
    with serving(checkout, index, words, environment) as (process, url):
        httpx.post(f"{url}/v1/search", json=QUESTION, timeout=60).raise_for_status()
        return time.perf_counter() - started, cpu_s(process.pid)


def workers_of(pid: int, port: str) -> list[int]:
    """Return the processes below one that have a socket at a port, but for the one itself."""
    inode = next(
        line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{int(port):04X}") and line.split()[3] == "0A"
    )  # fmt: skip
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        waiting += map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
        with contextlib.suppress(OSError):
            links = {str(each.readlink()) for each in Path(f"/proc/{parent}/fd").iterdir()}
            found += [parent] if parent != pid and f"socket:[{inode}]" in links else []
    return found


def replaced(
    checkout: Path, index: Path, words: Sequence[str], environment: Mapping[str, str]
) -> tuple[float, float]:
    """Kill a worker of two; return the seconds until both answer again, and of CPU that the new one took."""
    with serving(checkout, index, [*words, "--workers", "2"], environment) as (process, url):
        port = url.rpartition(":")[2]
        before = set(workers_of(process.pid, port))
        assert len(before) == 2, before
        os.kill(min(before), signal.SIGKILL)
        started = time.perf_counter()
        while True:
            new = set(workers_of(process.pid, port)) - before
            if new and _accepts(url, new.copy().pop()):
                return time.perf_counter() - started, cpu_s(new.pop())
            time.sleep(0.005)


def _accepts(url: str, pid: int) -> bool:
    """Tell whether a worker has answered a request: some are sent until it has a connection."""
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(httpx.Client(base_url=url, timeout=60))
            with contextlib.suppress(httpx.HTTPError):
                client.post("/v1/search", json=QUESTION)
        links = [str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(link.startswith("socket:") for link in links) > 5


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", type=Path, action="append", default=[], metavar="PATH")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args([] if __name__ != "__main__" else None)
    checkouts = [*options.against, ROOT]
    with tempfile.TemporaryDirectory() as name, Emulator() as emulator:
        folder, environment = Path(name), emulator.environment()
        for each in checkouts:
            command(each, ["-m", "compileall", "-q", "rag"])
        for embedder in ("static", "local"):
            command(ROOT, ["-m", "rag", "build", str(ROOT / "data" / "handbook"), str(folder / embedder),
                           "--embedder", embedder])  # fmt: skip
        search = ["-m", "rag", "search", str(folder / "static"), str(QUESTION["question"])]
        claude = ["--generator", "claude"]
        rows = {
            "python": lambda at: command(at, ["-c", "pass"]),
            "import rag": lambda at: command(at, ["-c", "import rag"]),
            "rag --help": lambda at: command(at, ["-m", "rag", "--help"]),
            "rag search, static": lambda at: command(at, search),
            "rag serve, static": lambda at: first_answer(at, folder / "static", [], {}),
            "rag serve, local": lambda at: first_answer(at, folder / "local", [], {}),
            "rag serve, Claude": lambda at: first_answer(at, folder / "static", claude, environment),
            "worker killed, local": lambda at: replaced(at, folder / "local", [], {}),
            "worker killed, Claude": lambda at: replaced(at, folder / "static", claude, environment),
        }
        print(f"seconds (of CPU), medians of {options.runs}: {', '.join(each.name for each in checkouts)}")
        for row, measure in rows.items():
            runs = [[measure(at) for at in checkouts] for _ in range(options.runs)]
            cells = [
                f"{statistics.median(run[n][0] for run in runs):.2f} "
                f"({statistics.median(run[n][1] for run in runs):.2f})"
                for n in range(len(checkouts))
            ]  # fmt: skip
            print(f"  {row:24} {'   '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
