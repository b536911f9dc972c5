"""Loading beside LangChain's PyPDFLoader and UnstructuredLoader, on the same files in the same run.

Run by ``make bench``; writes ``LOADING.md`` and ``loading.png``. The peers run one after the other in
an environment of their own (`peers.txt`), each file under a time limit that they do not have
themselves; their imports are not counted, our workers' start is.

    python -m tests.benchmarks.loading            # about ten minutes, most of them the large tree
    python -m tests.benchmarks.loading --quick    # without it
"""

from __future__ import annotations

import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import rag
from rag.core.passages import STRUCTURE
from tests.benchmarks.tree import make_tree
from tests.loading.test_fidelity import both_readers, found, known_words, words

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SHARED = ROOT.parent / "shared"
PEERS = ROOT / ".venv" / "peers" / "bin" / "python"
LIMIT_S = 60

#: What one loader made of some files: seconds, and for each file its pages (number from 1, text) or None.
Result = tuple[float, dict[str, list[tuple[int | None, str]] | None]]


def ours(paths: list[Path], workers: int = 2) -> Result:
    root = Path(os.path.commonpath(paths)) if len(paths) > 1 else paths[0].parent
    place = rag.Loader(root, workers=workers, include=[path.relative_to(root).as_posix() for path in paths])
    started = time.perf_counter()
    documents = place.load()
    seconds = time.perf_counter() - started
    out: dict[str, Any] = dict.fromkeys(map(str, paths))
    for document in documents:
        text, starts = document.page_content, document.metadata[STRUCTURE]["pages"]
        ends = [*starts[1:], len(text)][: len(starts)]
        pages = [(n, text[a:b]) for n, (a, b) in enumerate(zip(starts, ends, strict=True), 1)] or [
            (None, text)
        ]
        out[str(root / document.metadata["source"])] = pages
    return seconds, out


def theirs(kind: str, paths: list[Path]) -> Result:
    done = subprocess.run(
        [PEERS, HERE / "loading_peer.py", kind, str(LIMIT_S)], input=json.dumps([str(path) for path in paths]),
        capture_output=True, text=True, check=True, timeout=3000, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    answer = json.loads(done.stdout.splitlines()[-1])
    out: dict[str, Any] = {}
    for path, found_ in answer["files"].items():
        first = 1 if kind == "pypdf" else 0  # PyPDFLoader counts pages from 0
        out[path] = None if "error" in found_ else [
            (None if page is None else page + first, text) for page, text in found_["pages"]
        ]  # fmt: skip
    return answer["seconds"], out


def by_page(pages: list[tuple[int | None, str]] | None) -> dict[int | None, str]:
    out: dict[int | None, str] = {}
    for number, text in pages or ():
        out[number] = out.get(number, "") + "\n" + text
    return out


def truth(paths: list[Path]) -> dict[str, list[Counter[str]]]:
    """Page by page the words of the better of pypdf and PDFium, each under a time limit."""
    out = {}
    for path in paths:
        both = both_readers(path, timeout_s=120)
        if not both:
            continue
        size = max(map(len, both))
        out[str(path)] = [
            max((words(each[n]) for each in both if n < len(each)), key=lambda c: sum(c.values()))
            for n in range(size)
        ]
    return out


def pdf_row(name: str, result: Result, known: dict[str, list[Counter[str]]]) -> str:
    seconds, files = result
    pages = sum(map(len, known.values()))
    have = wanted = full = 0.0
    for path, counts in known.items():
        got = by_page(files.get(path))
        for number, count in enumerate(counts, 1):
            share = found(count, got.get(number, ""))
            total = sum(count.values())
            have, wanted = have + share * total, wanted + total
            full += share >= 0.99
    failed = sum(value is None or not any(text.strip() for _, text in value) for value in files.values())
    return (
        f"| {name} | {seconds:.1f} s | {pages / seconds:.0f} | {have / max(wanted, 1):.2%} | "
        f"{full:.0f} of {pages} | {failed} of {len(files)} |"
    )


def pages_right(result: Result, paths: list[Path], count: int = 200) -> str:
    """Of random sentences, how many stand on the page that the loader says."""
    import pypdfium2

    chance = random.Random(5)
    sentences = []
    for path in paths:
        pages = [
            " ".join(page.get_textpage().get_text_range().split()) for page in pypdfium2.PdfDocument(path)
        ]
        for number, text in enumerate(pages, 1):
            for sentence in re.split(r"(?<=[a-z]{3}\.)\s", text):
                if 60 < len(sentence) < 250 and sum(sentence in page for page in pages) == 1:
                    sentences.append((str(path), number, "".join(_LETTERS.findall(sentence))))
    picked = chance.sample(sentences, min(count, len(sentences)))
    right = 0
    for path, number, sentence in picked:
        right += sentence in "".join(_LETTERS.findall(by_page(result[1].get(path)).get(number, "")))
    return f"{right} of {len(picked)}"


_LETTERS = re.compile(r"[a-zA-Z0-9]+")  # readers differ in hyphens and white space


def office_row(name: str, result: Result, paths: list[Path]) -> str:
    seconds, files = result
    shares = []
    empty = 0
    for path in paths:
        text = "\n".join(text for _, text in files[str(path)] or ())
        try:  # a .json here is unstructured's own output, which it reads back as its elements
            known = known_words(path) if path.suffix != ".json" else None
        except zipfile.BadZipFile:
            known = None
        empty += not text.strip()
        if known:
            shares.append(found(known, text))
    low = sum(share < 0.98 for share in shares)
    return (
        f"| {name} | {seconds:.1f} s | {len(paths) / seconds:.0f} | {sum(shares) / len(shares):.2%} of {len(shares)} files | "
        f"{low} | {empty} of {len(paths)} |"
    )


def tree(work: Path, files: int) -> list[str]:
    """Load, and build from, many Markdown files; the build in a process of its own, its memory watched."""
    size = make_tree(work / "tree", files)
    started = time.perf_counter()
    count = sum(1 for _ in rag.Loader(work / "tree").lazy_load())
    seconds = time.perf_counter() - started
    rows = [f"| load | {seconds:.1f} s | {count / seconds:.0f} | {size / seconds / 1e6:.0f} | |"]
    if PEERS.exists() and files <= 5000:
        took, _ = theirs("text", sorted((work / "tree").rglob("*.md")))
        rows.append(
            f"| LangChain TextLoader | {took:.1f} s | {files / took:.0f} | {size / took / 1e6:.0f} | |"
        )
        return rows
    code = f"import rag; r = rag.build({str(work / 'tree')!r}, {str(work / 'ix')!r}, embedder='static'); print(r.chunks)"
    build = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    started, peak = time.perf_counter(), 0
    while build.poll() is None:
        with Path(f"/proc/{build.pid}/status").open() as status:
            peak = max([peak, *(int(line.split()[1]) for line in status if line.startswith("RssAnon"))])
        time.sleep(0.2)
    seconds = time.perf_counter() - started
    assert build.stdout is not None
    chunks = int(build.stdout.read())
    rows.append(
        f"| build, static model ({chunks} chunks) | {seconds:.0f} s | {files / seconds:.0f} | {size / seconds / 1e6:.1f} | "
        f"{peak / 1024:.0f} MB |"
    )
    return rows


def main(quick: bool = False) -> None:
    if not SHARED.is_dir():
        print("the reference data folder (../shared) is not here: loading is not measured")
        return
    lines = [
        "# Loading", "",
        f"Measured by `make bench`; Python {platform.python_version()}, {os.cpu_count()} cores. Each file of the peers has "
        f"{LIMIT_S} s. Words: those of the better of pypdf and PDFium, page by page, or those in the file's own XML or text, "
        "each as often as it occurs there. UnstructuredLoader does no PDF without a gigabyte of models more.", "",
    ]  # fmt: skip
    head = [
        "| | time | pages a second | words found | pages with at least 99 % | files without text |",
        "|---|---|---|---|---|---|",
    ]
    peers = PEERS.exists()
    for title, folder in (
        ("Six quarterly reports (PDF)", SHARED / "bench/sec10q/pdf"),
        ("47 PDFs, many broken on purpose", SHARED / "files/pdf"),
    ):
        paths = sorted(folder.glob("*.pdf"))
        known = truth(paths)
        results = {"rag.Loader": ours(paths), "rag.Loader, one worker": ours(paths, 1)}
        if peers:
            results["LangChain PyPDFLoader"] = theirs("pypdf", paths)
        lines += [
            f"## {title}",
            "",
            *head,
            *(pdf_row(name, result, known) for name, result in results.items()),
            "",
        ]
        if "sec10q" in str(folder):
            right = {name: pages_right(result, paths) for name, result in results.items()}
            lines += [
                "Random sentences on the page that the loader says: "
                + "; ".join(f"{k} {v}" for k, v in right.items())
                + ".",
            ]
            for name, (_, read) in results.items():
                lines += [f"{name} read nothing of {Path(p).name}." for p, pages in read.items() if not pages]
            lines.append("")
            figure = results
    paths = sorted(path for path in (SHARED / "files/office").iterdir() if path.is_file())
    results = {"rag.Loader": ours(paths)}
    if peers:
        results["LangChain UnstructuredLoader"] = theirs("unstructured", paths)
        results["the same, a blank pipeline for its spaCy model"] = theirs("unstructured-sealed", paths)
    lines += [
        "## 58 office files, mails, pages and data (odd encodings, passwords, fuzzed ones among them)", "",
        "| | time | files a second | words found | files below 98 % | files without text |", "|---|---|---|---|---|---|",
        *(office_row(name, result, paths) for name, result in results.items()), "",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as work:
        lines += ["## Markdown", "", "| | time | files a second | MB a second | memory of its own |", "|---|---|---|---|---|",
                  *(row.replace("| load |", "| load 4,000 files |") for row in tree(Path(work), 4000))]  # fmt: skip
    if not quick:
        with tempfile.TemporaryDirectory() as work:
            lines += [row.replace("| load |", "| load 40,000 files |").replace("| build,", "| build from 40,000 files,")
                      for row in tree(Path(work), 40_000)]  # fmt: skip
    lines += ["", "![pages a second and words found](loading.png)"]
    draw(figure)
    (HERE / "LOADING.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def draw(results: dict[str, Result]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(results)
    pages = 280
    speed = [pages / seconds for seconds, _ in results.values()]
    figure, axis = pyplot.subplots(figsize=(7, 2.2))
    bars = axis.barh(names, speed, color=["#1b6ca8", "#7fb2d6", "#b0b0b0"][: len(names)])
    axis.bar_label(bars, [f"{value:.0f}" for value in speed], padding=3)
    axis.invert_yaxis()
    axis.set_xlabel("pages a second (six quarterly reports, 280 pages)")
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(HERE / "loading.png", dpi=110)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
