"""Filtered vector search beside langchain-community's FAISS and LanceDB, on the same data and queries.

Run by ``make bench``; writes ``FILTERED.md`` and ``filtered.png``. Every system runs in a process of
its own, one after the other, through the interface that its users call: LangChain's vector store for
`rag` and FAISS, the table for LanceDB. Vectors are made in pieces; none is ever all in memory for
`rag`.

    python -m tests.benchmarks.filtered            # all of it: about a quarter of an hour
    python -m tests.benchmarks.filtered --quick    # without the million
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
SIZE, CENTRES, QUERIES = 1024, 1000, 200
#: Filters: name, share of the rows, field. The field of row i is i modulo 1/share.
FILTERS = (("none", 1.0, ""), ("10 %", 0.1, "decile"), ("1 %", 0.01, "percent"), ("0.1 %", 0.001, "permille"))


def centres(kind: str) -> np.ndarray:
    made = np.random.default_rng(0).normal(size=(CENTRES, SIZE)).astype(np.float32)
    return made if kind == "clustered" else np.zeros_like(made)


def blocks(kind: str, rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield vectors in pieces: clustered around centres, or (the worst case) around none."""
    middle = centres(kind)
    for number, first in enumerate(range(0, rows, 10_000)):
        random = np.random.default_rng(number + 1)
        count = min(10_000, rows - first)
        noise = random.normal(size=(count, SIZE)).astype(np.float32)
        yield first, noise + middle[random.integers(0, CENTRES, count)]


def queries(kind: str) -> np.ndarray:
    random = np.random.default_rng(10**6)
    noise = random.normal(size=(QUERIES, SIZE)).astype(np.float32)
    made = noise + centres(kind)[random.integers(0, CENTRES, QUERIES)]
    return made / np.linalg.norm(made, axis=1, keepdims=True)


WORDS = np.array([f"word{n}" for n in range(20_000)])


def documents(rows: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield texts of forty words, and metadata."""
    for first in range(0, rows, 10_000):
        count = min(10_000, rows - first)
        words = WORDS[np.random.default_rng(first).integers(0, len(WORDS), (count, 40))]
        for n, row in enumerate(words, first):
            yield (
                " ".join(row),
                {"decile": n % 10, "percent": n % 100, "permille": n % 1000, "source": f"{n // 20}.md"},
            )


def truth(kind: str, rows: int, asked: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """Return the rows with the k highest cosines to each query, under each filter."""
    best: dict[str, tuple[np.ndarray, np.ndarray]] = {
        name: (np.full((len(asked), k), -np.inf, np.float32), np.full((len(asked), k), -1, np.int64))
        for name, _, _ in FILTERS
    }
    every = np.arange(len(asked))[:, None]
    for first, block in blocks(kind, rows):
        unit = block / np.linalg.norm(block, axis=1, keepdims=True)
        scores = asked @ unit.T
        number = first + np.arange(len(block))
        for name, share, _ in FILTERS:
            modulus = round(1 / share)
            allowed = number[None, :] % modulus == np.arange(len(asked))[:, None] % modulus
            here = np.where(allowed, scores, -np.inf)
            top = np.argpartition(-here, k, axis=1)[:, :k]
            old_scores, old_rows = best[name]
            both = np.hstack([old_scores, here[every, top]])
            rows_ = np.hstack([old_rows, np.broadcast_to(number, scores.shape)[every, top]])
            order = np.argsort(-both, axis=1, kind="stable")[:, :k]
            best[name] = both[every, order], rows_[every, order]
    return {name: rows_ for name, (_, rows_) in best.items()}


# ---------------------------------------------------------------------- the systems


class Given:
    """Stands for an embedder: the vectors are given."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError

    def embed_query(self, text: str) -> list[float]:
        raise NotImplementedError


Search = Callable[[np.ndarray, int, dict[str, int]], list[int]]


def ours(kind: str, rows: int, folder: Path) -> tuple[float, float, Search]:
    from langchain_core.embeddings import Embeddings

    import rag

    embedder = type("Given", (Given, Embeddings), {})()
    started = time.perf_counter()
    pairs = zip(
        itertools.chain.from_iterable(block for _, block in blocks(kind, rows)), documents(rows), strict=True
    )
    one, two, three = itertools.tee(pairs, 3)
    rag.FaissStore.from_embeddings(
        ((text, vector) for vector, (text, _) in one), embedder, (metadata for _, (_, metadata) in two),
        ids=(str(n) for n, _ in enumerate(three)), path=folder,
    )  # fmt: skip
    built = time.perf_counter() - started
    started = time.perf_counter()
    store = rag.FaissStore(embedder, folder)
    opened = time.perf_counter() - started

    def search(vector: np.ndarray, k: int, where: dict[str, int]) -> list[int]:
        found = store.similarity_search_by_vector(vector, k=k, filter=where or None)
        return [int(document.id) for document in found]

    return built, opened, search


def langchain(kind: str, rows: int, folder: Path) -> tuple[float, float, Search]:
    warnings.simplefilter("ignore")
    from langchain_community.vectorstores import FAISS
    from langchain_core.embeddings import Embeddings

    embedder = type("Given", (Given, Embeddings), {})()
    texts, metadatas = zip(*documents(rows), strict=True)
    started = time.perf_counter()
    # Unit vectors, so that its squared distances rank as cosines do.
    vectors = (
        row for _, block in blocks(kind, rows)
        for row in (block / np.linalg.norm(block, axis=1, keepdims=True)).tolist()
    )  # fmt: skip
    ids = [str(n) for n in range(rows)]
    store = FAISS.from_embeddings(zip(texts, vectors, strict=True), embedder, list(metadatas), ids=ids)
    built = time.perf_counter() - started
    store.save_local(str(folder))
    del store
    started = time.perf_counter()
    store = FAISS.load_local(str(folder), embedder, allow_dangerous_deserialization=True)
    opened = time.perf_counter() - started

    def search(vector: np.ndarray, k: int, where: dict[str, int]) -> list[int]:
        found = store.similarity_search_by_vector(vector.tolist(), k=k, filter=where or None)
        return [int(document.id) for document in found]

    return built, opened, search


def lance(kind: str, rows: int, folder: Path) -> tuple[float, float, Search]:
    import lancedb
    import pyarrow as pa

    def tables() -> Iterator[pa.RecordBatch]:
        pages = documents(rows)
        for first, block in blocks(kind, rows):
            texts, metadatas = zip(*itertools.islice(pages, len(block)), strict=True)
            flat = pa.array(np.ascontiguousarray(block).reshape(-1))
            yield pa.RecordBatch.from_pydict({
                "id": np.arange(first, first + len(block)), "text": list(texts),
                **{name: [m[name] for m in metadatas] for name in ("decile", "percent", "permille", "source")},
                "vector": pa.FixedSizeListArray.from_arrays(flat, SIZE),
            })  # fmt: skip

    started = time.perf_counter()
    schema = next(tables()).schema
    table = lancedb.connect(folder).create_table("t", data=tables(), schema=schema)
    table.create_index(metric="cosine", index_type="IVF_RQ")
    built = time.perf_counter() - started
    started = time.perf_counter()
    table = lancedb.connect(folder).open_table("t")
    opened = time.perf_counter() - started

    def search(vector: np.ndarray, k: int, where: dict[str, int]) -> list[int]:
        query = (
            table.search(vector)
            .distance_type("cosine")
            .limit(k)
            .select(["id", "text", "source", "_distance"])
        )
        for name, value in where.items():
            query = query.where(f"{name} = {value}", prefilter=True)
        return [row["id"] for row in query.to_list()]

    return built, opened, search


SYSTEMS = {"rag": ours, "langchain-community FAISS": langchain, "LanceDB IVF_RQ": lance}


def measure(system: str, kind: str, rows: int) -> dict[str, Any]:
    """Build, open and search one system; return what was measured."""
    asked = queries(kind)[: QUERIES if rows <= 100_000 else 60]
    right = truth(kind, rows, asked, 10)
    with tempfile.TemporaryDirectory() as name:
        built, opened, search = SYSTEMS[system](kind, rows, Path(name) / "store")
        out: dict[str, Any] = {"build": built, "open": opened}
        for label, share, field in FILTERS:
            modulus = round(1 / share)
            for k in (4, 10):
                seconds, found = [], []
                for n, vector in enumerate(asked):
                    where = {field: n % modulus} if field else {}
                    started = time.perf_counter()
                    found.append(search(vector, k, where))
                    seconds.append(time.perf_counter() - started)
                hit = [
                    len(set(got) & set(best[:k])) / k
                    for got, best in zip(found, right[label].tolist(), strict=True)
                ]
                out[f"{label}/{k}"] = {
                    "p50": 1000 * float(np.median(seconds)), "p95": 1000 * float(np.quantile(seconds, 0.95)),
                    "recall": float(np.mean(hit)), "returned": float(np.mean([len(got) for got in found])),
                }  # fmt: skip
        if system == "rag":
            out["memory"] = _memory_of_queries(Path(name) / "store", kind)
            out["codes"] = _bytes(Path(name) / "store")
    return out


def _memory_of_queries(path: Path, kind: str) -> float:
    """Return the MB that a new process has for itself after opening and 1,000 queries."""
    code = (
        "import sys, numpy as np, rag\n"
        "from tests.benchmarks.filtered import queries\n"
        f"asked = queries({kind!r})\n"
        f"index = rag.Index.open({str(path)!r})\n"
        "for n in range(1000):\n"
        "    where = ({}, {'percent': n % 100}, {'decile': n % 10})[n % 3]\n"
        "    index.search_by_vector(asked[n % len(asked)], k=10, where=where or None)\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status') if ':' in line)\n"
        "print(int(status['RssAnon'].split()[0]) / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _bytes(path: Path) -> float:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6


# ---------------------------------------------------------------------- the report


def child(system: str, kind: str, rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.filtered", "--one", system, kind, str(rows)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{system}, {kind}, {rows}: {json.dumps(found)}", flush=True)
    return found


def row(name: str, found: dict[str, Any], base: dict[str, Any] | None, k: int) -> str:
    cells = []
    for label, _, _ in FILTERS:
        one = found[f"{label}/{k}"]
        ratio = f", {base[f'{label}/{k}']['p50'] / one['p50']:.0f}×" if base is not None else ""
        short = f", {one['returned']:.1f} of {k}" if one["returned"] < k - 0.005 else ""
        cells.append(f"{one['p50']:.2f} ms{ratio}; {one['recall']:.3f}{short}")
    return f"| {name} | {' | '.join(cells)} | {found['build']:.0f} s | {1000 * found['open']:.0f} ms |"


def report(
    small: dict[str, dict[str, Any]], worst: dict[str, dict[str, Any]], large: dict[str, dict[str, Any]]
) -> str:
    packages = ("langchain-community", "lancedb", "faiss-cpu", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    head = "| | " + " | ".join(f"filter: {label}" for label, _, _ in FILTERS) + " | build | open |"
    lines = [
        "# Filtered vector search", "",
        f"Measured by `make bench` on {os.cpu_count()} CPUs, Python {platform.python_version()}; {versions}. "
        f"Synthetic vectors of {SIZE} dimensions with texts and metadata; every query asks for another value of "
        "the filter's field. A cell says: median time, times faster than langchain-community's FAISS, recall "
        "against an exact scan, and how many came back where that is fewer than asked for.", "",
    ]  # fmt: skip
    for title, found in (
        ("100,000 vectors around 1,000 centres", small), ("100,000 vectors around none (the worst case)", worst),
    ):  # fmt: skip
        base = found.get("langchain-community FAISS")
        for k in (4, 10):
            lines += [f"## {title}, k = {k}", "", head, "|" + "---|" * (len(FILTERS) + 3)]
            lines += [row(name, one, base if name == "rag" else None, k) for name, one in found.items()]
            lines.append("")
    if large:
        lines += ["## 1,000,000 vectors", "", head, "|" + "---|" * (len(FILTERS) + 3)]
        lines += [row(f"rag, {kind}, k = 10", one, None, 10) for kind, one in large.items()]
        lines.append("")
        lines += [
            f"- {kind}: {one['memory']:.0f} MB of memory of its own after 1,000 queries (page cache not counted), "
            f"{one['codes'] / 1000:.1f} GB on disk; p95 without filter {one['none/10']['p95']:.1f} ms."
            for kind, one in large.items()
        ]  # fmt: skip
    lines += ["", "![time and recall against the filter's share](filtered.png)", ""]
    return "\n".join(lines)


def plot(found: dict[str, dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (times, recalls) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    shares = [100 * share for _, share, _ in FILTERS]
    for name, one in found.items():
        cells = [one[f"{label}/4"] for label, _, _ in FILTERS]
        times.plot(shares, [cell["p50"] for cell in cells], "o-", label=name)
        recalls.plot(shares, [cell["recall"] for cell in cells], "o-", label=name)
    for axes, label in ((times, "median time of a query, ms"), (recalls, "recall of the 4 best")):
        axes.set_xscale("log")
        axes.set_xlabel("rows that the filter lets through, %")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    times.set_yscale("log")
    recalls.set_ylim(-0.03, 1.03)
    times.legend()
    figure.suptitle("100,000 vectors of 1,024 dimensions, k = 4")
    figure.savefig(path, dpi=110)


def main(quick: bool = False) -> None:
    small = {name: child(name, "clustered", 100_000) for name in SYSTEMS}
    worst = {name: child(name, "even", 100_000) for name in ("rag", "langchain-community FAISS")}
    large = {} if quick else {kind: child("rag", kind, 1_000_000) for kind in ("clustered", "even")}
    (HERE / "FILTERED.md").write_text(report(small, worst, large), encoding="utf-8")
    plot(small, HERE / "filtered.png")
    print((HERE / "FILTERED.md").read_text())


if __name__ == "__main__":
    if "--one" in sys.argv:
        at = sys.argv.index("--one")
        print(json.dumps(measure(sys.argv[at + 1], sys.argv[at + 2], int(sys.argv[at + 3]))))
    else:
        main(quick="--quick" in sys.argv)
