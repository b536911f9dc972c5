"""How long objects of a large index take to be shown: ``python -m tests.benchmarks.displays [CHUNKS]``.

The index is that of `tests.benchmarks.explorer`: 100,000 chunks with six fields of metadata. For each object
the first and the median of twenty times, as HTML and as text, in milliseconds of the clock, with those of the
processor in parentheses, which other work on the machine does not lengthen. What is shown has been computed
before, but for an index, whose values are counted when it is first shown.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import rag
from tests.benchmarks.explorer import QUESTION, made

#: The most that showing a result may take, in milliseconds.
MOST_MS = 100.0


def objects(index: rag.Index) -> dict[str, Any]:
    """Return one object of each kind that an index of any size gives."""
    pipe = rag.Pipeline(index)
    chat = pipe.chat()
    chat.ask(QUESTION)
    return {
        "index": index, "store": rag.Store(index.path), "filter": index.check("startswith(source, '9')"),
        "hits, 20": index.search(QUESTION, k=20), "hits, 1,000": index.search(QUESTION, k=1000),
        "context, 4,000 characters": pipe.context(QUESTION), "context, 100,000": pipe.context(QUESTION, budget=100_000),
        "answer": pipe.ask(QUESTION), "explanation": pipe.explain(QUESTION, "77.md"), "conversation": chat,
        "pipeline": pipe, "ledger": pipe.meter.ledger,
    }  # fmt: skip


def timed(show: Callable[[], str]) -> tuple[float, float, float]:
    """Return the first time, the median of the next twenty, and that of the processor, in milliseconds."""
    wall, cpu = [], []
    for _ in range(21):
        at, own = time.perf_counter(), time.thread_time()
        show()
        wall.append(1000 * (time.perf_counter() - at))
        cpu.append(1000 * (time.thread_time() - own))
    return wall[0], float(np.median(wall[1:])), float(np.median(cpu[1:]))


def main() -> None:
    """Print the times of every object, and the longest."""
    chunks = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        index = made(Path(folder) / "ix", chunks)
        print(f"{chunks:,} chunks; milliseconds: first, median (of the processor)")
        longest = 0.0
        for name, value in objects(index).items():
            html, text = timed(value._repr_html_), timed(value.__str__)
            longest = max(longest, html[1], text[1])
            print(
                f"{name:26} HTML {_row(html)}   text {_row(text)}   {len(value._repr_html_()) / 1000:6,.0f} kB"
            )
        print(f"the longest median is {longest:.0f} ms; {MOST_MS:.0f} ms are allowed")


def _row(times: tuple[float, float, float]) -> str:
    first, median, own = times
    return f"{first:6.1f} {median:6.1f} ({own:5.1f})"


if __name__ == "__main__":
    main()
