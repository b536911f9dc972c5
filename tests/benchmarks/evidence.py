"""More evidence per token: rag beside LangChain, chonkie and Haystack, in the same run.

Run by ``make bench``; writes ``EVIDENCE.md`` and ``evidence.png``. The peers run one after the other
in an environment of their own (`peers.txt`), with rag's own embedding model; each chunks, ranks and
packs as `tests.benchmarks.evidence_peer` says. Beside it: chunking speed, ranking with known answers
(`tests.benchmarks.known_items`) and the time of a question (`tests.benchmarks.latency`).

    python -m tests.benchmarks evidence    # about fifteen minutes
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import held_out, known_items, latency
from tests.benchmarks.measured import bounds, command, difference, interval
from tests.benchmarks.scored import BENCH, Scores
from tests.benchmarks.scored import evidence as score

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = ROOT / ".venv" / "peers" / "bin" / "python"
CORPUS, QUESTIONS = BENCH / "evidence" / "corpus", BENCH / "evidence" / "questions.jsonl"
#: Characters of a context, and the recall that it must reach and aims for.
BUDGETS = {1000: ("0.77", "0.86"), 2000: ("0.87", "0.93"), 4000: ("0.92", "0.96"), 8000: ("0.95", "0.98")}
RAG = {"local": "rag", "static": "rag, static model"}
#: The peers' kinds and names; those with ``-static`` only chunk.
STACKS = {
    "langchain-recursive": "LangChain recursive 500/50, FAISS",
    "langchain-semantic": "LangChain SemanticChunker, FAISS",
    "chonkie-semantic": "chonkie SemanticChunker, FAISS",
    "chonkie-semantic-128": "chonkie SemanticChunker, 128 tokens, FAISS",
    "haystack-dbrf": "Haystack recursive 400, dense + BM25",
}
#: Those that are measured on the questions held out, too.
UNSEEN = ("langchain-recursive", "haystack-dbrf")
STATIC = {
    "langchain-semantic-static": "LangChain SemanticChunker, rag's static model",
    "chonkie-semantic-128-static": "chonkie SemanticChunker, 128 tokens, rag's static model",
}
Row = tuple[str, str, str, str, str]
#: Scores of a stack by budget.
ByBudget = dict[int, Scores]


def ours(work: Path, embedder: str, corpus: Path = CORPUS, questions: Path = QUESTIONS) -> ByBudget:
    """Build and ask by the command line, all else by default."""
    work = Path(tempfile.mkdtemp(dir=work))
    index = work / "index"
    command("build", corpus, index, *(() if embedder == "local" else ("--embedder", embedder)))
    out = {}
    for budget in BUDGETS:
        output = work / f"{budget}.jsonl"
        command("context", index, "--questions", questions, "--output", output, "--budget", budget)
        out[budget] = score(questions, output, corpus, budget)
    return out


def theirs(
    work: Path, kind: str, corpus: Path = CORPUS, questions: Path = QUESTIONS
) -> tuple[dict[str, Any], ByBudget]:
    """Return what a peer says of its chunks, and its scores."""
    folder = Path(tempfile.mkdtemp(dir=work))
    done = subprocess.run(
        [PEERS, HERE / "evidence_peer.py", kind, corpus, questions, folder, *map(str, BUDGETS)],
        stdout=subprocess.PIPE, text=True, check=True, timeout=3600,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False"},
    )  # fmt: skip
    figures = json.loads(done.stdout.splitlines()[-1])
    if kind in STATIC:
        return figures, {}
    # Without a limit here: a text that was rewritten shorter is scored by its place in the source.
    return figures, {budget: score(questions, folder / f"{budget}.jsonl", corpus) for budget in BUDGETS}


def held_out_scores(work: Path) -> dict[str, ByBudget]:
    """Return the scores of rag and of the peers named in `UNSEEN` on the questions held out."""
    corpus = held_out.corpus(work / "held-out")
    found = {label: ours(work, embedder, corpus, held_out.QUESTIONS) for embedder, label in RAG.items()}
    for kind in UNSEEN if PEERS.exists() else ():
        found[STACKS[kind]] = theirs(work, kind, corpus, held_out.QUESTIONS)[1]
    return found


# ---------------------------------------------------------------------- chunking


def chunk_speed() -> dict[str, Any]:
    """Chunk the evidence texts as a build does by default; in a process of its own."""
    called = [sys.executable, "-m", "tests.benchmarks.evidence", "--chunk"]
    done = subprocess.run(called, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def chunk() -> dict[str, Any]:
    from langchain_core.documents import Document

    import rag
    from rag.config import stages
    from rag.core import embedders

    count = embedders.token_counter(stages.stage("embedder"))
    chunker = stages.stage("chunker", count_tokens=count)
    chunker.split_documents([Document("One is warm. Two is, too.")])  # loads the models, as for the peers
    documents = rag.Loader(CORPUS).load()
    started = time.perf_counter()
    made = chunker.split_documents(documents)  # once: the tokens of the last texts are remembered
    seconds = time.perf_counter() - started
    texts = {document.metadata["source"]: document.page_content for document in documents}
    return {
        "seconds": seconds,
        "bytes": sum(len(text.encode()) for text in texts.values()),
        "chunks": len(made),
        "longest": max(len(each.page_content) for each in made),
        "rewritten": sum(each.page_content not in texts[each.metadata["source"]] for each in made),
        "lost": 0,
    }


def speed(figures: dict[str, Any]) -> float:
    """Return MB a second."""
    rate: float = figures["bytes"] / figures["seconds"] / 1e6
    return rate


# ---------------------------------------------------------------------- the report


def evidence_rows(found: dict[str, ByBudget]) -> list[Row]:
    rows = []
    for embedder, name in RAG.items():
        for budget, asked in BUDGETS.items():
            recall = found[name][budget]["recall"]
            others = {peer: found[peer][budget]["recall"] for peer in found if peer in STACKS.values()}
            beside = ""
            if others:
                best = max(others, key=lambda peer: float(np.mean(others[peer])))
                beside = f"best: {best}, {interval(others[best])}; rag {difference(recall, others[best])}"
            what = f"evidence recall at {budget:,} characters, {embedder}"
            rows.append((what, interval(recall), beside, *(asked if embedder == "local" else ("", ""))))
    return rows


def chunk_row(chunkers: dict[str, dict[str, Any]]) -> Row:
    own = chunkers["rag SemanticChunker"]
    beside = ""
    if "langchain-semantic" in chunkers:
        slow, same = speed(chunkers["langchain-semantic"]), speed(chunkers["langchain-semantic-static"])
        beside = (
            f"LangChain's SemanticChunker: {slow:.3f} with the local model, of which rag's is "
            f"{speed(own) / slow:.0f} times; {same:.2f} with the same static model, {speed(own) / same:.1f} times"
        )
    return "semantic chunking of the evidence texts, MB a second", f"{speed(own):.1f}", beside, "2", "10"


def latency_row(times: dict[str, Any]) -> Row:
    def both(name: str) -> str:
        return f"{times[name]['p50']:.1f} / {times[name]['p95']:.1f} ms"

    beside = (
        f"LangChain FAISS, dense alone, k = {latency.K}: {both('langchain')}" if "langchain" in times else ""
    )
    return (
        f"a question over {times['chunks']:,} chunks, hybrid, trimmed to {latency.BUDGET:,} characters, p50 / p95",
        f"{both('rag')} (retriever {both('retriever')}, trimmer {both('trimmer')})",
        beside, "25 ms", "10 ms",
    )  # fmt: skip


def stacks_table(found: dict[str, ByBudget], metric: str) -> list[str]:
    return [
        "| | " + " | ".join(f"{budget:,}" for budget in BUDGETS) + " |", "|" + "---|" * (len(BUDGETS) + 1),
        *(f"| {name} | " + " | ".join(interval(each[budget][metric]) for budget in BUDGETS) + " |"
          for name, each in found.items()), "",
    ]  # fmt: skip


def chunkers_table(chunkers: dict[str, dict[str, Any]]) -> list[str]:
    names = {**STACKS, **STATIC}
    lines = [
        "| | MB a second | chunks | longest, characters | not verbatim in the source | not found in it |",
        "|---|---|---|---|---|---|",
    ]
    for kind, one in chunkers.items():
        cells = f"{one['chunks']:,} | {one['longest']:,} | {one['rewritten']:,} | {one['lost']:,}"
        lines.append(f"| {names.get(kind, kind)} | {speed(one):.3f} | {cells} |")
    return [*lines, ""]


def report(
    rows: list[Row],
    found: dict[str, ByBudget],
    unseen: dict[str, ByBudget],
    chunkers: dict[str, dict[str, Any]],
    minutes: float,
) -> str:
    versions = next((one["versions"] for one in chunkers.values() if "versions" in one), "without peers")
    lines = [
        "# Evidence", "",
        f"Measured by `make bench` in {minutes:.0f} minutes on {os.cpu_count()} CPUs, Python {platform.python_version()}; {versions}. "
        "Brackets: 95 % bootstrap intervals over the questions; differences are of the same questions. The evidence "
        "questions were in view when rag's first ranking was chosen; those held out (below) never were. All stacks share rag's local embedding model (all-MiniLM-L6-v2, "
        "int8) but where static is said. Each peer's ranked chunks are packed whole, in their order, of the first 200 "
        "those that fit. All else of theirs is by default; chonkie also with chunks as short as the others', and "
        "Haystack's splitter without its sentence rules, whose data must be downloaded.", "",
        "| what | measured | peers | must reach | aim for |", "|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in rows), "",
        "![recall against the size of the context](evidence.png)", "",
    ]  # fmt: skip
    lines += [
        "## Recall on questions held out", "",
        "120 questions on incident response, a PowerShell manual and scientific abstracts, written without "
        "a search over them and used for no choice (`held_out.py`).", "",
        *stacks_table(unseen, "recall"),
    ]  # fmt: skip
    for metric, title in (("recall", "Recall"), ("precision", "Precision"), ("iou", "IoU")):
        lines += [f"## {title} of the evidence, by characters of context", "", *stacks_table(found, metric)]
    lines += [
        "## Chunking", "",
        "Once each, the model loaded; what embeds sentences does it with the local model but where static is said. "
        "A chunk that is not verbatim in the source was looked for with white space folded.", "",
        *chunkers_table(chunkers),
    ]  # fmt: skip
    return "\n".join(lines)


def draw(found: dict[str, ByBudget], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), layout="constrained")
    budgets = list(BUDGETS)
    for name, each in found.items():
        recalls = [each[budget]["recall"] for budget in budgets]
        own = name in RAG.values()
        (line,) = axes.plot(budgets, [np.mean(r) for r in recalls], "o-" if own else "s--", label=name)
        if own:
            low, high = zip(*map(bounds, recalls), strict=True)
            axes.fill_between(budgets, low, high, alpha=0.12, color=line.get_color(), linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
    axes.set_xlabel("budget, characters")
    axes.set_ylabel("recall of the evidence")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    if not BENCH.is_dir():
        print("the reference data folder (../shared) is not here: evidence is not measured")
        return
    began = time.perf_counter()

    def tell(what: str, started: float) -> None:
        print(f"{what}: {time.perf_counter() - started:.0f} s", flush=True)

    found: dict[str, ByBudget] = {}
    chunkers = {"rag SemanticChunker": chunk_speed()}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for embedder, label in RAG.items():
            started = time.perf_counter()
            found[label] = ours(work, embedder)
            tell(label, started)
        for kind, label in {**STACKS, **STATIC}.items() if PEERS.exists() else ():
            started = time.perf_counter()
            chunkers[kind], scores = theirs(work, kind)
            if scores:
                found[label] = scores
            tell(label, started)
        started = time.perf_counter()
        unseen = held_out_scores(work)
        tell("held out", started)
        started = time.perf_counter()
        rows = evidence_rows(found)
        known = {"scifact": known_items.scifact(work), "powershell": known_items.powershell(work)}
        for what, values, lexical, must, aim in known_items.rows(known):
            beside = f"BM25 alone {interval(lexical)}; rag {difference(values, lexical)}"
            rows.append((what, interval(values), beside, must, aim))
        tell("known items", started)
        started = time.perf_counter()
        rows += [chunk_row(chunkers), latency_row(latency.measure(work, PEERS))]
        tell("latency", started)
    text = report(rows, found, unseen, chunkers, (time.perf_counter() - began) / 60)
    (HERE / "EVIDENCE.md").write_text(text, encoding="utf-8")
    draw(found, HERE / "evidence.png")
    print(text)


if __name__ == "__main__":
    print(json.dumps(chunk())) if "--chunk" in sys.argv else main()
