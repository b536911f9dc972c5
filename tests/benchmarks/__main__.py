"""``make bench``: the figures of the README, and of the builds, measured on this machine.

Writes ``tests/benchmarks/RESULTS.md``, then ``EVIDENCE.md`` (`tests.benchmarks.evidence`),
``FILTERED.md`` (`tests.benchmarks.filtered`), ``LOADING.md`` (`tests.benchmarks.loading`) and
``BEDROCK.md`` (`tests.benchmarks.bedrock`) and ``BILL.md`` (`tests.benchmarks.bill`). What needs the reference data beside the checkout is left
out where that is absent.

    python -m tests.benchmarks results    # or evidence, filtered, loading, bedrock, bill, serving, start-up, telemetry
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

import rag
from tests.benchmarks import bedrock, bill, evidence, filtered, loading, serving, start_up, telemetry
from tests.benchmarks.measured import command, interval
from tests.scoring import recall

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
PAGES = {  # questions over the reference corpora, and what may answer them
    "Who can declare a major incident?": ("incident-response/",),
    "how long do memorized secrets need to be": ("digital-identity/sp800-63b/sec5_authenticators.md",),
    "what is expected of me the first week on call": ("incident-response/oncall/being_oncall.md",),
    "Can I accept a gift from a contractor?": (
        "handbook/training-and-development/external-speaking-request-playbook.md",
    ),
}


def builds(work: Path) -> list[tuple[str, str, str]]:
    rows = []
    for name, limit in (("static", "15 s"), ("local", "180 s")):
        seconds, memory = command("build", SHARED / "corpora", work / name, "--embedder", name)
        again, _ = command("build", SHARED / "corpora", work / name)
        rows.append(
            (
                f"build of the reference corpora, {name}",
                f"{seconds:.1f} s, {memory:.0f} MB",
                f"{limit}, 1,500 MB",
            )
        )
        rows.append(("the same again, nothing changed", f"{again:.1f} s", "5 s"))
    index = rag.Index.open(work / "local")
    for question, right in PAGES.items():
        hits = [hit.source for hit in index.search(question, k=3)]
        place = next((n for n, source in enumerate(hits, 1) if source.startswith(right)), None)
        rows.append((f"“{question}”: rank of the page", str(place), "among 3"))
    return rows


def golden(work: Path) -> list[tuple[str, str, str]]:
    questions = [json.loads(line) for line in (ROOT / "data" / "golden.jsonl").read_text().splitlines()]
    command("build", ROOT / "data" / "handbook", work / "handbook")
    pipe = rag.Pipeline(work / "handbook")
    asked = [row for row in questions if row["evidence"]]
    plain = [recall(row, pipe.context(row["question"]).hits) for row in asked]
    right = [recall(row, pipe.context(row["question"], where=row.get("where")).hits) for row in asked]
    only = [value for row, value in zip(asked, right, strict=True) if "where" in row]
    said = {row["id"]: pipe.ask(row["question"], where=row.get("where")).answered for row in questions}
    rows = [
        ("golden set, evidence recall at 4,000 characters, no filter", interval(plain), "0.85"),
        ("the same with the right filter where there is one", interval(right), "0.90"),
        ("the same, only the questions that have a filter", interval(only), "0.90"),
        (
            "local answerer, answered of the answerable",
            interval([float(said[r["id"]]) for r in asked]),
            "0.85",
        ),
    ]
    for kind in ("out_of_scope", "near_miss"):
        refused = [float(not said[row["id"]]) for row in questions if row.get("kind") == kind]
        rows.append(
            (f"local answerer, refused of {len(refused)} {kind.replace('_', ' ')}", interval(refused), "0.80")
        )
    all_refused = [float(not said[row["id"]]) for row in questions if not row["evidence"]]
    rows.append(
        (f"local answerer, refused of all {len(all_refused)} unanswerable", interval(all_refused), "0.80")
    )
    return rows


def main() -> None:
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import rag"], check=True)
        bare = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        own = (bare - started) - (time.perf_counter() - bare)
        rows.append(("import rag, beyond the bare interpreter", f"{max(own, 0):.3f} s", "0.2 s"))
        rows += golden(work)
        if SHARED.is_dir():
            rows += builds(work)
    lines = [
        "# Results",
        "",
        f"Measured by `make bench` (the golden set was in view when the ranking was chosen) on {os.cpu_count()} CPUs, Python {platform.python_version()}. Brackets: 95 % bootstrap.",
        "", "| what | measured | asked or baseline |", "|---|---|---|",
        *(f"| {what} | {value} | {goal} |" for what, value, goal in rows),
    ]  # fmt: skip
    (Path(__file__).parent / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    PARTS = {
        "results": main, "evidence": evidence.main, "filtered": filtered.main, "loading": loading.main,
        "bedrock": bedrock.main, "bill": bill.main, "serving": serving.main,
        "start-up": start_up.main, "telemetry": telemetry.main,
    }  # fmt: skip
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
