"""An embedder in a process of its own: run by `tests.benchmarks.bedrock`.

    python -m tests.benchmarks.bedrock_client rag|langchain|langchain-async COUNT [SECONDS]

Prints seconds and processor seconds from the making of the embedder to the last vector, how many texts
have the vector that the emulator gives, and the error if there was one. Imports are not counted. After
SECONDS no more texts are begun (for LangChain's, which goes through them one by one).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

MODEL, DIMENSIONS = "amazon.titan-embed-text-v2:0", 1024
HANDBOOK = Path(__file__).parents[2] / "data" / "handbook"
#: Words of a text, about 60 tokens; texts between two looks at the clock.
WORDS, SLICE = 45, 10


def texts(count: int) -> list[str]:
    """Make texts, all different, from the handbook's words."""
    chance = random.Random(13)
    found = " ".join(path.read_text(encoding="utf-8") for path in sorted(HANDBOOK.rglob("*.md")))
    words = sorted(set(re.findall(r"\b[a-z]{3,9}\b", found)))
    out = []
    for number in range(count):
        drawn = chance.choices(words, k=WORDS)
        out.append(f"Note {number}: {' '.join(drawn[: WORDS // 2])}. Then {' '.join(drawn[WORDS // 2 :])}.")
    return out


def right(given: Sequence[str], rows: Sequence[Sequence[float]]) -> int:
    """Return how many rows are the emulator's own vectors of the texts at their places."""
    from rag.emulator.embedding import vectors

    made = vectors(list(given[: len(rows)]), DIMENSIONS)
    if len(np.unique(made.round(6), axis=0)) < len(made):
        raise SystemExit("two texts have the same vector: a wrong order would not be seen")
    return int((np.abs(made - np.asarray(rows, np.float32)) < 1e-6).all(axis=1).sum())


def embedder(kind: str) -> Callable[[], Any]:
    """Import what makes an embedder."""
    if kind == "rag":
        import rag

        return lambda: rag.TitanEmbeddings(DIMENSIONS)
    from langchain_aws import BedrockEmbeddings

    logging.disable()  # it logs each failure with a stack
    return lambda: BedrockEmbeddings(model_id=MODEL)


def main(kind: str, count: int, seconds: float | None) -> dict[str, Any]:
    given, make = texts(count), embedder(kind)
    size = SLICE if seconds else len(given)
    rows: list[list[float]] = []
    error = ""
    started, used = time.perf_counter(), time.process_time()
    made = make()
    try:
        for at in range(0, len(given), size):
            if seconds and time.perf_counter() - started > seconds:
                break
            part = given[at : at + size]
            rows += (
                asyncio.run(made.aembed_documents(part)) if "async" in kind else made.embed_documents(part)
            )
    except Exception as failed:
        error = type(failed).__name__ + ": " + " ".join(str(failed).split())
    took, used = time.perf_counter() - started, time.process_time() - used
    return {
        "asked": len(given), "seconds": took, "cpu_s": used, "done": len(rows), "error": error,
        "right": right(given, rows) if rows else 0,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if sys.argv[3:] else None)))
