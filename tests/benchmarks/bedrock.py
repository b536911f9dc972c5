"""Bedrock, as the emulator has it: embedding beside LangChain's embedder, failures, a kill, a batch job, 500 questions.

Run by ``make bench``; writes ``BEDROCK.md`` and ``bedrock.png``. The emulator and each client run in
processes of their own, on the same processors; the peers go through their texts one by one, which is
mostly waiting, and so run beside each other while nothing of ours does.

    python -m tests.benchmarks.bedrock            # about seven minutes
    python -m tests.benchmarks.bedrock --quick    # a tenth of the texts and questions
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import botocore.session

import rag
from rag.bedrock.faults import FAULTS
from tests.benchmarks.measured import command
from tests.test_equality import assert_equal, found

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HANDBOOK = ROOT / "data" / "handbook"
ROLE = "arn:aws:iam::123456789012:role/rag-batch"
#: Seconds of a call; calls a minute of the limited account, and of its burst; share of calls that fail.
CALL_S, LIMIT, BURST_S, FAIL = 0.08, 3000, 1.0, 0.3
#: Seconds to a stream's first token, and between two.
FIRST_S, TOKEN_S = 0.3, 0.02
#: The calls that rag's embedder has under way at the most.
CONCURRENCY = 64
KILLS = (0.25, 0.5, 0.75)

Row = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: texts, questions, and seconds of a peer."""

    plain: int = 2000
    limited: int = 6000
    failing: int = 1000
    questions: int = 500
    peer_s: float = 30.0


QUICK = Sizes(200, 600, 150, 50, 5.0)


class Server:
    """An emulator in a process of its own."""

    def __init__(self, *more: str, **behaviour: Any) -> None:
        asked = [sys.executable, "-m", "tests.benchmarks.bedrock_server", json.dumps(behaviour), *more]
        self._process = subprocess.Popen(
            asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.env: dict[str, str] = {**os.environ, **json.loads(self._line())}
        self.url = self.env["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]

    def told(self) -> dict[str, Any]:
        """Return what it has answered so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
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


def embedded(kind: str, count: int, *more: object, **behaviour: Any) -> dict[str, Any]:
    """Embed texts; return the client's figures and, as ``server``, the emulator's."""
    with server(**{"latency_s": CALL_S, **behaviour}) as emulator:
        figures = run("bedrock_client", emulator, kind, count, *more)
        return {**figures, "server": emulator.told()}


def calls(figures: Mapping[str, Any]) -> int:
    return len(figures["server"]["log"])


def well(figures: Mapping[str, Any]) -> int:
    """Return how many calls were answered, and so paid."""
    return sum(status == 200 for _, status in figures["server"]["log"])


def per_second(figures: Mapping[str, Any]) -> float:
    return float(figures["done"]) / float(figures["seconds"])


def all_right(figures: Mapping[str, Any]) -> str:
    if figures["error"]:
        return f"**failed**: {figures['error'][:120]}"
    everything = figures["right"] == figures["done"] == figures["asked"]
    return "all right, in order" if everything else f"**{figures['right']} of {figures['asked']} right**"


def retried() -> tuple[str, ...]:
    """Return how InvokeModel may fail so that trying again helps: by its service model, and a cut connection."""
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    codes = [shape.name for shape in model.operation_model("InvokeModel").error_shapes]
    return (*(code for code in codes if FAULTS[code].again != "no"), "ConnectionClosedError")


def failures() -> dict[str, tuple[str, ...]]:
    return {**{code: (code,) for code in retried()}, "all of these, mixed": retried()}


# ------------------------------------------------------------------------------------ the parts


def ours(sizes: Sizes) -> dict[str, Any]:
    """Embed with no limit, under a limit, and while calls fail.

    With no limit the two processes' work on the processors is what limits it, after a start at 20
    calls a second; under one, the account.
    """
    tell("rag, no limit")
    out: dict[str, Any] = {"plain": embedded("rag", sizes.plain)}
    tell("rag, limited")
    out["limited"] = embedded("rag", sizes.limited, requests_per_minute=LIMIT, burst_s=BURST_S)
    for name, codes in failures().items():
        tell(f"rag, {name}")
        out[name] = embedded("rag", sizes.failing, fail=FAIL, fail_with=codes)
    return out


def theirs(sizes: Sizes) -> dict[str, Any]:
    """LangChain's embedder: its own clients' retries, one text after the other; what limits it is the wait.

    The long run has a thread of its own, the others are made one by one beside it.
    """
    tell("LangChain, all")
    with ThreadPoolExecutor(1) as pool:
        plain = pool.submit(embedded, "langchain", sizes.plain)
        out = {
            "limited": embedded(
                "langchain", sizes.limited, sizes.peer_s, requests_per_minute=LIMIT, burst_s=BURST_S
            )
        }
        for name, codes in failures().items():
            out[name] = embedded("langchain", sizes.failing, sizes.peer_s / 2, fail=FAIL, fail_with=codes)
        out["plain"] = plain.result()
    tell("LangChain, asynchronous")
    out["async"] = embedded("langchain-async", sizes.plain)
    return out


def killed(work: Path) -> dict[str, int]:
    """Kill a build three times, and let it end; count what was paid for twice.

    What can be lost is what was under way, or had arrived and was not on the disk yet.
    """
    tell("killed builds")
    index, out = work / "killed", Counter[str]()
    asked = [sys.executable, "-m", "rag", "build", str(HANDBOOK), str(index), "--embedder", "titan"]
    with server(latency_s=CALL_S) as whole:
        subprocess.run([*asked[:-3], str(work / "whole"), *asked[-2:]], env=whole.env, check=True,
                       cwd=ROOT, stdout=subprocess.DEVNULL)  # fmt: skip
        out["texts"] = well({"server": whole.told()})
    with server(latency_s=CALL_S) as emulator:
        for share in KILLS:
            build = subprocess.Popen(asked, env=emulator.env, cwd=ROOT, stdout=subprocess.DEVNULL)
            while well({"server": emulator.told()}) < share * out["texts"] and build.poll() is None:
                time.sleep(0.01)
            out["kills"] += build.poll() is None
            build.send_signal(signal.SIGKILL)
            build.wait()
            time.sleep(5 * CALL_S)  # what was under way is answered, and so paid
            lost = well({"server": emulator.told()}) - stored(index / "cache.sqlite") - out["twice"]
            out["most"] = max(out["most"], lost)
            out["twice"] += lost
        subprocess.run(asked, env=emulator.env, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        last = emulator.told()
        out["paid"], out["twice"] = well({"server": last}), last["twice"]
    out["same"] = same(work / "whole", index)
    return out


def stored(cache: Path) -> int:
    with contextlib.closing(sqlite3.connect(cache)) as file:
        return int(file.execute("SELECT COUNT(*) FROM embeddings").fetchone()[0])


def batched(work: Path) -> dict[str, Any]:
    """Build by a batch job of which some records fail; compare with the build on demand."""
    tell("batch job")
    with server("batch") as emulator:
        with pointed_at(emulator):
            seconds, _ = command(
                "build", HANDBOOK, work / "batch", "--embedder", "titan", "--batch", "s3://work/jobs",
                "--role-arn", ROLE,
            )  # fmt: skip
        counts = emulator.told()["counts"]
    equal = same(work / "whole", work / "batch")
    return {"seconds": seconds, "same": equal, "counts": counts, "texts": stored(work / "batch/cache.sqlite")}


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
    os.environ.update(emulator.env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def questions(work: Path, sizes: Sizes) -> dict[str, Any]:
    """Stream answers to many questions asked at the same moment; the processor is what limits it."""
    tell("questions")
    command("build", HANDBOOK, work / "local")
    with (
        server("echo", latency_s=FIRST_S, token_s=TOKEN_S) as emulator,
        server("echo") as quick,
    ):
        figures = run("bedrock_questions", emulator, work / "local", sizes.questions, quick.url)
        return {**figures, "server": emulator.told()}


# ------------------------------------------------------------------------------------ the report


def embedding_rows(rag_: Mapping[str, Any], peer: Mapping[str, Any]) -> list[Row]:
    plain, theirs_, async_ = rag_["plain"], peer["plain"], peer["async"]
    limited, held = rag_["limited"], peer["limited"]
    ratio = per_second(plain) / per_second(theirs_)
    admitted = LIMIT / 60 * (limited["seconds"] + BURST_S)
    return [
        (f"{plain['asked']:,} texts, no limit: times the speed of LangChain", f"**{ratio:.1f}**", ">= 20"),
        ("— rag", described(plain), ""),
        ("— LangChain", described(theirs_), ""),
        ("— LangChain, aembed_documents", described(async_), ""),
        (
            f"{limited['asked']:,} texts, {LIMIT:,} calls a minute: share of the limit that was used",
            f"**{limited['done'] / admitted:.3f}**", ">= 0.9",
        ),
        ("— calls a text", f"{calls(limited) / limited['asked']:.3f}", ""),
        ("— vectors", all_right(limited), "right, in order"),
        (
            f"— LangChain, {held['seconds']:.0f} s",
            f"{held['done'] / (LIMIT / 60 * (held['seconds'] + BURST_S)):.3f} of the limit "
            f"({per_second(held):.1f} texts a second)", "",
        ),
    ]  # fmt: skip


def described(figures: Mapping[str, Any]) -> str:
    done = max(figures["done"], 1)
    return (
        f"{figures['seconds']:.1f} s, {per_second(figures):.0f} texts a second, {calls(figures):,} calls, "
        f"{figures['cpu_s']:.1f} s of processor ({1000 * figures['cpu_s'] / done:.2f} ms a text); {all_right(figures)}"
    )


def failing_table(rag_: Mapping[str, Any], peer: Mapping[str, Any]) -> Iterator[str]:
    yield "| what fails | rag: time | calls a text | vectors | LangChain |"
    yield "|---|---|---|---|---|"
    for name in failures():
        own, other = rag_[name], peer[name]
        yield (
            f"| {name} | {own['seconds']:.1f} s | {calls(own) / own['asked']:.2f} | {all_right(own)} | "
            f"{fared(other)} |"
        )


def fared(figures: Mapping[str, Any]) -> str:
    """Say how LangChain's embedder fared: it gives nothing where one text fails."""
    if not figures["error"]:
        return f"{figures['done']} texts in {figures['seconds']:.0f} s, then stopped by us"
    code = next((code for code in retried() if code in figures["error"]), figures["error"].split(":")[0])
    return f"failed at the {well(figures) + 1}th text, after {figures['seconds']:.1f} s ({code})"


def other_rows(kill: Mapping[str, int], batch: Mapping[str, Any], ask: Mapping[str, Any]) -> list[Row]:
    first, sent = ask["first_s"], ask["request_s"]
    asked = ask["server"]["counts"]["ConverseStream"]
    complete = "complete, finds the same as one built on demand" if batch["same"] else "**not the same**"
    return [
        (
            f"a build of {kill['texts']} texts killed {kill['kills']} times: vectors paid twice",
            f"{kill['twice']} (at most {kill['most']} a kill)", f"<= {CONCURRENCY} a kill",
        ),
        ("— the index, beside one that was never killed", "finds the same" if kill["same"] else "**differs**", "same"),
        (f"a batch job of {batch['texts']} texts with 5 % failed records: the index", complete, "complete"),
        (
            "— calls on demand, jobs",
            f"{batch['counts'].get('InvokeModel', 0)}, {batch['counts']['CreateModelInvocationJob']}",
            f"about {batch['texts'] * 0.05:.0f}, 1",
        ),
        (f"{asked - WARM} streams at once: failed, mixed up", f"{ask['failed']}, {ask['mixed']}", "0, 0"),
        ("— processor time of the client a question", f"**{ask['cpu_ms']:.1f} ms**", "< 30 ms"),
        (
            f"— first token, p50 and p95 (the emulator waits {1000 * FIRST_S:.0f} ms)",
            f"{first[0]:.2f} s, {first[1]:.2f} s", "",
        ),
        ("— the same from the sending of the request", f"{sent[0]:.2f} s, {sent[1]:.2f} s", ""),
        ("— all answers", f"{ask['seconds']:.1f} s", ""),
    ]  # fmt: skip


WARM = 20  # questions before those that count, as in `bedrock_questions`


def emulator_rows(rag_: Mapping[str, Any], ask: Mapping[str, Any]) -> list[Row]:
    plain = rag_["plain"]
    return [
        ("embedding call", f"{1000 * plain['server']['cpu_s'] / calls(plain):.2f} ms", ""),
        ("stream", f"{1000 * ask['server']['cpu_s'] / calls(ask):.2f} ms", ""),
    ]


def report(
    rag_: Mapping[str, Any], peer: Mapping[str, Any], kill: Mapping[str, int], batch: Mapping[str, Any],
    ask: Mapping[str, Any], load: str,
) -> str:  # fmt: skip
    rows = [*embedding_rows(rag_, peer), *other_rows(kill, batch, ask)]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("langchain-aws", "boto3"))
    lines = [
        "# Bedrock", "",
        f"Measured by `make bench`; Python {platform.python_version()}, {os.cpu_count()} cores, {libraries}. {load} "
        "There is no AWS here: the other side is rag's own emulator (`rag bedrock-emulator`), in a process of its own on "
        f"the same cores. A call takes {1000 * CALL_S:.0f} ms, texts have about 60 tokens and are all different, vectors have 1,024 "
        "dimensions and are compared with what the emulator makes of each text. Both embedders are as they come; a clock "
        "runs from their making to the last vector. LangChain's goes through the texts one by one; its runs were made beside "
        "each other, ours alone.", "",
        "| what | measured | asked |", "|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows), "",
        "![calls admitted each second, and texts a second](bedrock.png)", "",
        f"## {FAIL:.0%} of calls fail, at random", "",
        f"{rag_[retried()[0]]['asked']:,} texts; asked: all right and in order, with at most 1.6 calls a text ({1 / (1 - FAIL):.2f} is "
        "the least that there can be). LangChain's embedder leaves trying again to botocore, three tries in all for each text, "
        "and gives nothing where one of them fails; it was stopped where it went on for too long.", "",
        *failing_table(rag_, peer), "",
        "## The processor time of a question", "",
        "Asked one by one, in the process of the client; all its threads count.", "",
        "| stage | ms |", "|---|---|",
        *(f"| {name} | {value:.1f} |" for name, value in ask["stages"].items()),
        f"| whole, with all the others at the same time | {ask['cpu_ms']:.1f} |", "",
        "## The price of the emulator", "",
        "It takes its part of the same processors, so that all speeds above are lower than they would be without it.", "",
        "| what | processor time each |", "|---|---|",
        *(f"| {what} | {value} |" for what, value, _ in emulator_rows(rag_, ask)), "",
    ]  # fmt: skip
    return "\n".join(lines)


def draw(rag_: Mapping[str, Any], peer: Mapping[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(10, 3.4), layout="constrained", width_ratios=(2, 1)
    )
    for name, figures, style in (("rag", rag_["limited"], "-"), ("LangChain", peer["limited"], "--")):
        left.plot(admitted_each_second(figures["server"]["log"]), style, label=name, linewidth=1.2)
    left.axhline(LIMIT / 60, color="black", linewidth=0.8, linestyle=":", label="limit")
    left.set_xlabel("seconds")
    left.set_ylabel("calls admitted each second")
    left.set_ylim(0)
    left.set_title(f"{LIMIT:,} calls a minute", fontsize=10)
    left.legend(fontsize=8, loc="lower right")
    shown = {"rag": rag_["plain"], "LangChain": peer["plain"], "LangChain,\nasynchronous": peer["async"]}
    speeds = [per_second(figures) for figures in shown.values()]
    bars = right.bar(list(shown), speeds, color=["#1b6ca8", "#b0b0b0", "#d0d0d0"])
    right.bar_label(bars, [f"{speed:.0f}" for speed in speeds], padding=2)
    right.set_ylabel("texts a second")
    right.set_title(f"no limit, {1000 * CALL_S:.0f} ms a call", fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.savefig(path, dpi=110)


def admitted_each_second(log: Sequence[tuple[float, int]]) -> list[int]:
    """Count what was answered in each whole second since the first call."""
    began = min(at for at, _ in log)
    counts = Counter(int(at - began) for at, status in log if status == 200)
    return [counts[second] for second in range(max(counts))]


def tell(what: str) -> None:
    print(what, flush=True)


def busy() -> tuple[float, float]:
    """Return the processor seconds of the whole machine, and of this process and its ended children."""
    user, nice, system, *_ = map(int, Path("/proc/stat").read_text().split(maxsplit=5)[1:5])
    times = os.times()
    return (user + nice + system) / os.sysconf("SC_CLK_TCK"), sum(times[:4])


def load_since(before: tuple[float, float], seconds: float) -> str:
    """Say how much of the machine was taken by others."""
    machine, own = (now - then for now, then in zip(busy(), before, strict=True))
    others = max(machine - own, 0) / seconds / (os.cpu_count() or 1)
    if others < 0.05:
        return "Nothing else ran."
    return f"**Other processes ran at the same time and took {others:.0%} of the processors**, so speeds are too low."


def main(quick: bool = False) -> None:
    sizes, began, before = QUICK if quick else Sizes(), time.perf_counter(), busy()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        rag_, kill, batch = ours(sizes), killed(work), batched(work)
        ask, peer = questions(work, sizes), theirs(sizes)
    seconds = time.perf_counter() - began
    load = f"It took {seconds / 60:.1f} minutes. {load_since(before, seconds)}"
    text = report(rag_, peer, kill, batch, ask, load)
    place = Path(tempfile.gettempdir()) if quick else HERE
    (place / "BEDROCK.md").write_text(text, encoding="utf-8")
    draw(rag_, peer, place / "bedrock.png")
    print(text)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
