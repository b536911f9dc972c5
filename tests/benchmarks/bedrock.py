"""Bedrock, as the emulator has it: embedding beside LangChain's, failures, kills, a batch job, 500 questions.

Run by ``make bench``; writes ``BEDROCK.md`` and ``bedrock.png``. The emulator and each client run in
processes of their own, on the same processors; what is measured is in `tests.benchmarks.bedrock_parts`.

    python -m tests.benchmarks.bedrock            # about seven minutes, three of them LangChain's
    python -m tests.benchmarks.bedrock --quick    # about a tenth of it, written to the temporary folder
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import bedrock_parts as parts
from tests.benchmarks.bedrock_parts import (  # fmt: skip
    BURST_S,
    CALL_S,
    CONCURRENCY,
    FAIL,
    FIRST_S,
    LIMIT,
    Embedded,
    failures,
    retried,
)
from tests.benchmarks.bedrock_server import FAILED_RECORDS

HERE = Path(__file__).parent
Row = tuple[str, str, str]
Runs = Mapping[str, Embedded]


def embedding_rows(own: Runs, peer: Runs) -> list[Row]:
    plain, limited, held = own["plain"], own["limited"], peer["limited"]
    ratio = plain.per_second / peer["plain"].per_second
    texts = f"{plain.asked:,} texts"
    return [
        (f"{texts}, no limit: times the speed of LangChain's embedder", f"**{ratio:.1f}**", ">= 20"),
        ("— rag", described(plain), "right, in order"),
        ("— LangChain", described(peer["plain"]), ""),
        (f"— LangChain, `aembed_documents`, {peer['async'].asked:,} texts", described(peer["async"]), ""),
        (
            f"{limited.asked:,} texts, {LIMIT:,} calls a minute, a burst of {BURST_S:.0f} s: share of the limit used",
            f"**{limit_used(limited):.3f}**", ">= 0.9",
        ),
        ("— calls a text", f"{limited.calls_each:.3f}", ""),
        ("— rag", described(limited), "right, in order"),
        (f"— LangChain, stopped after {held.seconds:.0f} s: share of the limit", f"{limit_used(held):.3f}", ""),
    ]  # fmt: skip


def limit_used(run: Embedded) -> float:
    """Return the share of what the limit allows in the time: its rate, and the burst that it began with."""
    return run.done / (LIMIT / 60 * (run.seconds + BURST_S))


def described(run: Embedded) -> str:
    return (
        f"{run.seconds:.1f} s, {run.per_second:.0f} texts a second, {len(run.log):,} calls, {run.cpu_s:.1f} s of "
        f"processor ({1000 * run.cpu_s / max(run.done, 1):.1f} ms a text); {rightness(run)}"
    )


def rightness(run: Embedded) -> str:
    if run.error:
        return f"**failed**: {run.error[:120]}"
    return "all right, in order" if run.complete else f"**{run.right} of {run.asked} right**"


def failing_table(own: Runs, peer: Runs) -> Iterator[str]:
    yield "| what fails | rag: time | calls a text | vectors | LangChain |"
    yield "|---|---|---|---|---|"
    for name in failures():
        run = own[name]
        yield f"| {name} | {run.seconds:.1f} s | {run.calls_each:.2f} | {rightness(run)} | {fared(peer[name])} |"


def fared(run: Embedded) -> str:
    """Say how LangChain's embedder fared: it gives nothing where one text fails."""
    if not run.error:
        return f"{run.done} texts in {run.seconds:.0f} s, then stopped by us"
    code = next((code for code in retried() if code in run.error), run.error.split(":")[0])
    return f"failed after {run.well} texts and {run.seconds:.1f} s ({code})"


def build_rows(kill: Mapping[str, int], batch: Mapping[str, Any]) -> list[Row]:
    bad = FAILED_RECORDS
    return [
        (
            f"a build of {kill['texts']:,} texts, killed {kill['kills']} times on its way: vectors paid twice",
            f"{kill['twice']}, at most {kill['most']} a kill", f"<= {CONCURRENCY} a kill",
        ),
        ("— the index, beside one that was never killed", sameness(kill["same"]), "finds the same"),
        (f"a batch job of {batch['texts']:,} texts, {bad:.0%} failed records", sameness(batch["same"]), "finds the same"),
        (
            "— calls on demand; jobs",
            f"{batch['counts'].get('InvokeModel', 0)}; {batch['counts']['CreateModelInvocationJob']}",
            f"about {bad * batch['texts']:.0f}; 1",
        ),
    ]  # fmt: skip


def sameness(same: int) -> str:
    return "complete, finds the same" if same else "**differs**"


def question_rows(ask: Mapping[str, Any]) -> list[Row]:
    first, sent = ask["first_s"], ask["request_s"]
    return [
        (f"{ask['asked']} streamed answers at once, three times: failed; mixed up", f"{ask['failed']}; {ask['mixed']}", "0; 0"),
        (
            "— processor time of the client a question",
            f"**{ask['cpu_ms']:.1f} ms** (three rounds: {', '.join(f'{ms:.1f}' for ms in ask['rounds_ms'])})", "< 30 ms",
        ),
        ("— until the first text, p50; p95", f"{first[0]:.2f} s; {first[1]:.2f} s", ""),
        (
            f"— the same from the request on (the emulator waits {1000 * FIRST_S:.0f} ms)",
            f"{sent[0]:.2f} s; {sent[1]:.2f} s", "",
        ),
        ("— until the last answer", f"{ask['seconds']:.1f} s", ""),
        *((f"— {count} times: {error[:100]}", "", "") for error, count in ask["errors"].items()),
    ]  # fmt: skip


def report(
    own: Runs, peer: Runs, kill: Mapping[str, int], batch: Mapping[str, Any], ask: Mapping[str, Any], load: str
) -> str:  # fmt: skip
    rows = [*embedding_rows(own, peer), *build_rows(kill, batch), *question_rows(ask)]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("langchain-aws", "boto3"))
    failing, server = own[retried()[0]].asked, own["plain"].server_s / len(own["plain"].log)
    lines = [
        "# Bedrock", "",
        f"Measured by `make bench`; Python {platform.python_version()}, {os.cpu_count()} cores, {libraries}. {load} "
        "There is no AWS here: the other side is rag's own emulator (`rag bedrock-emulator`), in a process of its own on "
        f"the same cores. A call to embed takes {1000 * CALL_S:.0f} ms; the texts have about 60 tokens and are all "
        "different; their vectors have 1,024 dimensions and are compared with what the emulator makes of each text. Both "
        "embedders are as they come, each in a process of its own; the clock runs from their making to the last vector. "
        "LangChain's goes through its texts one by one, which is waiting, so its runs were made beside each other; rag's "
        "were made alone.", "",
        "| what | measured | asked |", "|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows), "",
        "![calls admitted each second, and texts a second](bedrock.png)", "",
        "What limits it: without a limit the processors, which client and emulator share, after a start at 20 calls a "
        f"second; {ask['asked']} questions at one moment wait for the processor, as each takes its time in one process.", "",
        f"## {FAIL:.0%} of the calls fail, at random", "",
        f"{failing:,} texts. Asked: all right and in order, with at most 1.6 calls a text ({1 / (1 - FAIL):.2f} is the least "
        "that there can be). LangChain's embedder leaves trying again to botocore, which tries a text three times "
        f"(so that of {1 / FAIL**3:.0f} texts one fails) and after some errors once; where one text fails, nothing is given. It was stopped "
        "where it went on for long.", "",
        *failing_table(own, peer), "",
        "## The processor time of a question", "",
        "In the client, all its threads; asked one by one, a stage after the other, then as users ask.", "",
        "| stage | ms |", "|---|---|",
        *(f"| {name} | {value:.1f} |" for name, value in ask["stages"].items()),
        f"| whole, {ask['asked']} at once | {ask['cpu_ms']:.1f} |", "",
        "## The price of the emulator", "",
        f"A call to embed takes {1000 * server:.2f} ms of the processors, a stream {ask['server_ms']:.1f} ms: by so much all "
        "that is limited by the processors would be faster without it.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def draw(own: Runs, peer: Runs, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(10, 3.4), layout="constrained", width_ratios=(2, 1)
    )
    for name, run, color in (("rag", own["limited"], "#1b6ca8"), ("LangChain", peer["limited"], "#909090")):
        left.plot(admitted_each_second(run), color=color, label=name, linewidth=1.2)
    left.axhline(LIMIT / 60, color="black", linewidth=0.8, linestyle=":", label="limit")
    left.set_xlabel("seconds")
    left.set_ylabel("calls admitted each second")
    left.set_ylim(0)
    left.set_title(f"{LIMIT:,} calls a minute", fontsize=10)
    left.legend(fontsize=8, loc="lower right")
    shown = {"rag": own["plain"], "LangChain": peer["plain"], "LangChain,\nasynchronous": peer["async"]}
    speeds = [run.per_second for run in shown.values()]
    bars = right.bar(list(shown), speeds, color=["#1b6ca8", "#909090", "#c0c0c0"])
    right.bar_label(bars, [f"{speed:.0f}" for speed in speeds], padding=2)
    right.set_ylabel("texts a second")
    right.set_title(f"no limit, {1000 * CALL_S:.0f} ms a call", fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.savefig(path, dpi=110)


def admitted_each_second(run: Embedded) -> list[int]:
    """Count what was answered in each whole second since the first call."""
    began = min(at for at, _ in run.log)
    counts = Counter(int(at - began) for at, status in run.log if status == 200)
    return [counts[second] for second in range(max(counts))]  # the last second is not whole


def busy() -> tuple[float, float]:
    """Return the processor seconds of the machine, and of this process and those that it has ended."""
    user, nice, system = map(int, Path("/proc/stat").read_text().split(maxsplit=4)[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])


def load_since(before: tuple[float, float], seconds: float) -> str:
    """Say how much of the machine others took."""
    machine, own = (now - then for now, then in zip(busy(), before, strict=True))
    others = max(machine - own, 0.0) / seconds / (os.cpu_count() or 1)
    if others < 0.05:
        return "Nothing else ran."
    return f"**Other processes took {others:.0%} of the processors meanwhile**: what needs the processor is slower for it."


def main(quick: bool = False) -> None:
    sizes = parts.QUICK if quick else parts.Sizes()
    began, before = time.perf_counter(), busy()
    with tempfile.TemporaryDirectory() as name, parts.server() as emulator:
        work = Path(name)
        own = parts.told("rag", parts.ours(emulator, sizes))
        kill, batch = parts.killed(work), parts.batched(work)
        print(f"builds: {time.perf_counter() - began:.0f} s since the start", flush=True)
        ask = parts.questions(work, sizes)
        print(f"questions: {time.perf_counter() - began:.0f} s since the start", flush=True)
        peer = parts.told("LangChain", parts.theirs(emulator, sizes))
    seconds = time.perf_counter() - began
    load = f"It took {seconds / 60:.1f} minutes. {load_since(before, seconds)}"
    text = report(own, peer, kill, batch, ask, load)
    place = Path(tempfile.gettempdir()) if quick else HERE
    (place / "BEDROCK.md").write_text(text, encoding="utf-8")
    draw(own, peer, place / "bedrock.png")
    print(text)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
