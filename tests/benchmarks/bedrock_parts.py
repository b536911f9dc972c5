"""What `tests.benchmarks.bedrock` measures, a function for each part."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session

import rag
from rag.bedrock.runtime.faults import FAULTS
from tests.benchmarks.measured import command
from tests.index.test_equality import assert_equal, found

ROOT = Path(__file__).parents[2]
HANDBOOK = ROOT / "data" / "handbook"
#: What is built by calls and by batch jobs: a part, so that it does not take long.
PART = HANDBOOK / "engineering"
ROLE = "arn:aws:iam::123456789012:role/rag-batch"
#: Seconds of a call; calls a minute of the limited account, and of its burst; share of calls that fail.
CALL_S, LIMIT, BURST_S, FAIL = 0.08, 3000, 1.0, 0.3
#: Seconds to a stream's first token, and between two.
FIRST_S, TOKEN_S = 0.3, 0.02
#: The calls that rag's embedder has under way at the most.
CONCURRENCY = 64
LIMITED = {"requests_per_minute": LIMIT, "burst_s": BURST_S}
KILLS = (0.25, 0.5, 0.75)
#: What else decides where AWS's clients go.
_OTHERS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AWS_ENDPOINT_URL")


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: texts, questions, and seconds of a peer."""

    plain: int = 2000
    limited: int = 6000
    failing: int = 600
    questions: int = 500
    peer_s: float = 30.0


QUICK = Sizes(200, 600, 150, 50, 5.0)


@dataclass(frozen=True, slots=True)
class Embedded:
    """What came of embedding texts in one process, and of the calls in the other.

    Attributes
    ----------
    asked, done, right : int
        Texts; those that have a vector; those whose vector is the right one.
    seconds, cpu_s : float
        Of the client, from the making of the embedder to the last vector.
    error : str
        Why it stopped.
    log : list of (float, int)
        When each call was answered, and with which HTTP status; 0 where the connection was cut.
    server_s : float
        Processor seconds of the emulator.
    """

    asked: int
    done: int
    right: int
    seconds: float
    cpu_s: float
    error: str
    log: list[tuple[float, int]]
    server_s: float

    @property
    def well(self) -> int:
        """Calls that were answered, and so paid."""
        return answered(self.log)

    @property
    def calls_each(self) -> float:
        return len(self.log) / self.asked

    @property
    def per_second(self) -> float:
        return self.done / self.seconds

    @property
    def complete(self) -> bool:
        return self.right == self.done == self.asked and not self.error


def answered(log: list[tuple[float, int]]) -> int:
    return sum(status == 200 for _, status in log)


class Server:
    """An emulator in a process of its own."""

    def __init__(self, *more: str, **behaviour: Any) -> None:
        asked = [sys.executable, "-m", "tests.benchmarks.bedrock_server", json.dumps(behaviour), *more]
        self._process = subprocess.Popen(
            asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        kept = {name: value for name, value in os.environ.items() if name not in _OTHERS}
        nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        self.env: dict[str, str] = {**kept, **nothing, **json.loads(self._line())}
        self.url = self.env["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]

    def told(self, **behaviour: Any) -> dict[str, Any]:
        """Return what it has answered so far; with a new behaviour, which begins now, that is nothing."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(behaviour) if behaviour else ''}\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        if answer["problems"]:
            raise SystemExit(f"the emulator refused requests: {answer['problems']}")
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextlib.contextmanager
def server(*more: str, **behaviour: Any) -> Iterator[Server]:
    made = Server(*more, **behaviour)
    try:
        yield made
    finally:
        made.close()


def run(module: str, emulator: Server, *arguments: object) -> dict[str, Any]:
    """Run a module that prints its figures as its last line."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)],
        stdout=subprocess.PIPE, text=True, check=True, timeout=900, env=emulator.env, cwd=ROOT,
    )  # fmt: skip
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def embedded(emulator: Server, kind: str, count: int, *more: object, **behaviour: Any) -> Embedded:
    """Embed texts in a process of its own while the emulator behaves so."""
    emulator.told(latency_s=CALL_S, **behaviour)
    figures = run("bedrock_client", emulator, kind, count, *more)
    told = emulator.told()
    return Embedded(**figures, log=told["log"], server_s=told["cpu_s"])


def retried() -> tuple[str, ...]:
    """Return how InvokeModel may fail so that trying again helps: by its service model, and a cut connection."""
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    codes = [shape.name for shape in model.operation_model("InvokeModel").error_shapes]
    return (*(code for code in codes if FAULTS[code].again != "no"), "ConnectionClosedError")


def failures() -> dict[str, tuple[str, ...]]:
    return {**{code: (code,) for code in retried()}, "all of these, mixed": retried()}


# ------------------------------------------------------------------------------------ the parts


def ours(emulator: Server, sizes: Sizes) -> Iterator[tuple[str, Embedded]]:
    """Embed with no limit, under a limit, and while calls fail.

    With no limit the two processes' work on the processors is what limits it, after a start at 20
    calls a second; under one, the account.
    """
    yield "plain", embedded(emulator, "rag", sizes.plain)
    yield "limited", embedded(emulator, "rag", sizes.limited, **LIMITED)
    for seed, (name, codes) in enumerate(failures().items(), 1):
        yield name, embedded(emulator, "rag", sizes.failing, fail=FAIL, fail_with=codes, seed=seed)


def theirs(emulator: Server, sizes: Sizes) -> Iterator[tuple[str, Embedded]]:
    """LangChain's embedder: botocore's retries, one text after the other; what limits it is the wait.

    The long run is made beside the others, against an emulator of its own.
    """
    kind = "langchain"
    with server() as other, ThreadPoolExecutor(1) as pool:
        plain = pool.submit(embedded, other, kind, sizes.plain)
        yield "limited", embedded(emulator, kind, sizes.limited, sizes.peer_s, **LIMITED)
        for seed, (name, codes) in enumerate(failures().items(), 1):
            few = (sizes.failing, sizes.peer_s / 2)
            yield name, embedded(emulator, kind, *few, fail=FAIL, fail_with=codes, seed=seed)
        yield "plain", plain.result()
    yield "async", embedded(emulator, f"{kind}-async", sizes.plain // 4)


def told(who: str, runs: Iterator[tuple[str, Embedded]]) -> dict[str, Embedded]:
    """Take the runs, and say what is done."""
    out = {}
    for name, each in runs:
        out[name] = each
        print(f"{who}, {name}: {each.seconds:.1f} s", flush=True)
    return out


def killed(work: Path) -> dict[str, int]:
    """Kill a build three times, and let it end; count what was paid for twice.

    What can be lost is what was under way, or had arrived and was not on the disk yet.
    """
    index, out = work / "killed", Counter[str]()
    asked = [sys.executable, "-m", "rag", "build", str(PART), str(index), "--embedder", "titan"]
    with server(latency_s=CALL_S) as emulator, pointed_at(emulator):
        command("build", PART, work / "whole", "--embedder", "titan")
        out["texts"] = answered(emulator.told()["log"])
    with server(latency_s=CALL_S) as emulator:
        for share in KILLS:
            build = subprocess.Popen(asked, env=emulator.env, cwd=ROOT, stdout=subprocess.DEVNULL)
            while answered(emulator.told()["log"]) < share * out["texts"] and build.poll() is None:
                time.sleep(0.01)
            out["kills"] += build.poll() is None
            build.send_signal(signal.SIGKILL)
            build.wait()
            time.sleep(5 * CALL_S)  # what was under way is answered, and so paid
            lost = answered(emulator.told()["log"]) - stored(index / "cache.sqlite") - out["twice"]
            out["most"] = max(out["most"], lost)
            out["twice"] += lost
        with pointed_at(emulator):
            command("build", PART, index, "--embedder", "titan")
        out["twice"] = emulator.told()["twice"]  # text by text, after all
    out["same"] = same(work / "whole", index)
    return out


def stored(cache: Path) -> int:
    with contextlib.closing(sqlite3.connect(cache)) as file:
        return int(file.execute("SELECT COUNT(*) FROM embeddings").fetchone()[0])


def batched(work: Path) -> dict[str, Any]:
    """Build by a batch job of which some records fail; compare with the build on demand."""
    with server("batch") as emulator:
        with pointed_at(emulator):
            command(
                "build", PART, work / "batch", "--embedder", "titan", "--batch", "s3://work/jobs",
                "--role-arn", ROLE,
            )  # fmt: skip
        counts = emulator.told()["counts"]
    equal = same(work / "whole", work / "batch")
    return {"same": equal, "counts": counts, "texts": stored(work / "batch" / "cache.sqlite")}


def same(one: Path, other: Path) -> bool:
    """Tell whether two indexes find the same, with the same scores."""
    with server() as emulator, pointed_at(emulator):
        indexes = [rag.Index.open(path, embedder="titan") for path in (one, other)]
        try:
            assert_equal(*map(found, indexes))
        except AssertionError:
            return False
    return len(indexes[0]) == len(indexes[1])


@contextlib.contextmanager
def pointed_at(emulator: Server) -> Iterator[None]:
    """Let this process, and those that it starts, speak with an emulator."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(emulator.env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def questions(work: Path, sizes: Sizes) -> dict[str, Any]:
    """Stream answers to many questions asked at the same moment; the processor is what limits it."""
    command("build", HANDBOOK, work / "local")
    with (
        server("echo", latency_s=FIRST_S, token_s=TOKEN_S) as emulator,
        server("echo") as quick,
    ):
        figures = run("bedrock_questions", emulator, work / "local", sizes.questions, quick.url)
        told = emulator.told()
    return {**figures, "asked": sizes.questions, "server_ms": 1000 * told["cpu_s"] / len(told["log"])}
