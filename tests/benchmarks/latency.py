"""The time of a question over 100,000 chunks, without its embedding; LangChain's FAISS beside it.

A part of `tests.benchmarks.evidence`. The chunks are those of the reference corpora, seven times and
more, each copy with other words in each line; the vectors are the static model's, for both.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import rag
from rag.embedding.static import StaticEmbeddings
from tests.benchmarks.measured import command

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHARED = ROOT.parent / "shared"
COPIES, QUESTIONS, WARM, BUDGET, K = 7, 200, 20, 4000, 48


class Remembered(StaticEmbeddings):
    """The static model with questions' vectors known beforehand, so that their making takes no time."""

    def __init__(self, questions: Sequence[str]) -> None:
        self.known = dict(zip(questions, super().embed_documents(list(questions)), strict=True))

    def embed_query(self, text: str) -> list[float]:
        return self.known[text]


def measure(work: Path, peers: Path) -> dict[str, Any]:
    """Return times as ``{"p50", "p95"}`` in ms: of rag, its two stages, the peer; and the chunks."""
    command("build", tree(work / "copies"), work / "copies-ix", "--embedder", "static")
    lines = (ROOT / "data" / "golden.jsonl").read_text(encoding="utf-8").split("\n")
    questions = [json.loads(line)["question"] for line in lines if line][: QUESTIONS + WARM]
    embedder = Remembered(questions)
    index = rag.Index.open(work / "copies-ix", embedder=embedder)
    pipe = rag.Pipeline(index, trimmer={"budget": BUDGET})
    out = {"chunks": len(index), **ours(pipe, questions)}
    if peers.exists():
        texts = [hit.text for hit in index.scan()]
        (work / "texts.json").write_text(json.dumps(texts))
        np.save(work / "vectors.npy", embedder.vectors(texts))
        np.save(work / "questions.npy", np.array([embedder.known[question] for question in questions]))
        asked = [str(peers), str(HERE / "latency_peer.py"), str(work), str(K)]
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
        out["langchain"] = quantiles(json.loads(done.stdout.splitlines()[-1])[WARM:])
    return out


def ours(pipe: Any, questions: Sequence[str]) -> dict[str, dict[str, float]]:
    """Ask one question after the other; the first ones do not count."""
    retrieving, trimming = [], []
    for question in questions:
        started = time.perf_counter()
        found = pipe.retriever.invoke(question)
        between = time.perf_counter()
        pipe.trimmer.compress_documents(found, question)
        retrieving.append(between - started)
        trimming.append(time.perf_counter() - between)
    both = [a + b for a, b in zip(retrieving, trimming, strict=True)]
    return {
        "rag": quantiles(both[WARM:]), "retriever": quantiles(retrieving[WARM:]),
        "trimmer": quantiles(trimming[WARM:]),
    }  # fmt: skip


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    return {"p50": 1000 * float(np.median(seconds)), "p95": 1000 * float(np.quantile(seconds, 0.95))}


def tree(root: Path) -> Path:
    """Write copies of the reference corpora, one word of each longer line another one."""
    chance = random.Random(11)
    files = sorted((SHARED / "corpora").rglob("*.md"))
    texts = {path.relative_to(SHARED / "corpora"): path.read_bytes().decode() for path in files}
    words = sorted(set(_WORD.findall(" ".join(texts.values()))))
    for number in range(COPIES):
        for name, text in texts.items():
            path = root / f"copy-{number}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            front = _FRONT.match(text)  # metadata stays: a changed name would be another field
            body = front.end() if front else 0
            lines = [_changed(line, words, chance) for line in text[body:].split("\n")]
            path.write_text(text[:body] + "\n".join(lines), encoding="utf-8", newline="")
    return root


_WORD = re.compile(r"\b[a-z]{4,}\b")
_FRONT = re.compile(r"---\n.*?\n---\n", re.DOTALL)


def _changed(line: str, words: Sequence[str], chance: random.Random) -> str:
    """Put other words in the place of one in twelve."""
    found = list(_WORD.finditer(line))
    for match in sorted(chance.sample(found, -(-len(found) // 12)), key=lambda match: -match.start()):
        line = line[: match.start()] + chance.choice(words) + line[match.end() :]
    return line
