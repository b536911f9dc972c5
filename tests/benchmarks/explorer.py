"""How long the explorer takes to answer a changed filter: ``python -m tests.benchmarks.explorer [CHUNKS]``.

An index of made-up texts, 100,000 chunks of 10 documents' kinds with six fields of metadata, 256 dimensions.
What is timed is what stands between the browser's message and the reply that shows the hits: reading the
filter, counting what matches, the search, and the HTML. Contexts follow after it, answers in a thread of
their own. The figures are of the machine that runs it; compare the lines of one run. The
last column is the processor's time to the context, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import rag
from rag.embedding.static import StaticEmbeddings
from rag.index.storage.chunk import Chunk
from rag.index.storage.manifest import EmbedderEntry
from rag.index.storage.writer import open_writer
from rag.notebook.explorer.model import Explorer

WORDS = (
    "leave backup restore incident policy manager contract salary office security audit invoice travel laptop key "
    "region customer support engineer release rollback database network token budget review training holiday pension "
    "parental notice access badge parking visitor garden kitchen espresso bicycle"
).split()
QUESTION = "who restores the database backup after an incident?"
FILTERS = (
    "", "year >= 2020", "status == 'current'", "status == 'current' and year >= 2022 and 'hr' in tags", "team == 'team 7'",
    "from_day >= '2023-06-01' and public == true", "startswith(source, '99')", "startswith(source, '1')", "year == 1999",
)  # fmt: skip


def made(folder: Path, chunks: int) -> rag.Index:
    """Build an index of made-up texts, 20 chunks a document."""
    rng = np.random.default_rng(0)
    size = StaticEmbeddings().vectors(["size"]).shape[1]
    with open_writer(
        folder, EmbedderEntry("static", StaticEmbeddings.fingerprint, size), rebuild=False
    ) as writer:
        for n in range(chunks // 20):
            metadata = {
                "year": int(rng.integers(2000, 2026)), "status": ("current", "old", "draft")[n % 3], "team": f"team {n % 40}",
                "tags": [("hr", "it", "legal")[n % 3], f"tag {n % 11}"], "public": n % 2 == 0,
                "from_day": dt.date(2020, 1, 1) + dt.timedelta(days=n % 2000),
            }  # fmt: skip
            number = writer.add_document(f"d{n}", f"{n}.md", metadata)
            texts = [" ".join(rng.choice(WORDS, 24)) for _ in range(20)]
            vectors = rng.standard_normal((20, size)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            rows = [
                (number, Chunk(f"c{n}-{at}", 200 * at, 200 * at + len(text), text))
                for at, text in enumerate(texts)
            ]
            writer.add_chunks(rows, vectors)
        writer.commit(removed=set(), sources=[], root=".", chunker="none")
    return rag.Index.open(folder)


def main() -> None:
    """Print the median and the longest of ten changes to each filter."""
    chunks = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        model = Explorer(rag.Pipeline(made(Path(folder) / "ix", chunks)))
        list(model.replies(_look("", 0)))  # opens files, and embeds the question
        print(f"{chunks:,} chunks; milliseconds to the hits, and to the context")
        for where in FILTERS:
            times = np.array([_timed(model, where, n) for n in range(10)])
            matches = model.index.count(where or None)
            (hits, context, own), (longest, *_) = np.median(times, axis=0), times.max(axis=0)
            print(
                f"{hits:6.0f} (longest {longest:4.0f}) {context:6.0f}  {matches:7,} match  {own:4.0f} of the processor  "
                f"{where or 'no filter'}"
            )


def _look(where: str, serial: int) -> dict[str, Any]:
    return {"do": "look", "side": "A", "serial": serial, "settings": {"question": QUESTION, "where": where}}


def _timed(model: Explorer, where: str, serial: int) -> tuple[float, float, float]:
    begun, own, at = time.perf_counter(), time.thread_time(), {}
    for reply in model.replies(_look(where, serial)):
        at[reply["kind"]] = 1000 * (time.perf_counter() - begun)
        if reply["kind"] == "error":
            raise RuntimeError(reply["text"])
    return at["hits"], at["context"], 1000 * (time.thread_time() - own)


if __name__ == "__main__":
    main()
