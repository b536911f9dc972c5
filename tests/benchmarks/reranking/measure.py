"""What the reranker is worth: recall of the evidence with it and without, on the same questions.

    python -m tests.benchmarks.reranking.measure MODEL.onnx dev --first 12 24 --weight 1 2
    python -m tests.benchmarks.reranking.measure MODEL.onnx held-out --first 24 --weight 2

``dev`` is for choosing, ``held-out`` for the figure after it (`tests.benchmarks.held_out`). Beside the
recall: differences with 95 % bootstrap intervals, and processor time a question.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import rag
from rag.embedding.static_model import StaticModel
from rag.retrieval.search import HybridSearch
from rag.trimming.passage_trimmer import PassageTrimmer
from tests.benchmarks import held_out
from tests.benchmarks.measured import difference, interval
from tests.benchmarks.reranking.reader import Reader
from tests.benchmarks.scored import BENCH, evidence

BUDGETS = (1000, 2000, 4000, 8000)
QUESTIONS = {
    "dev": Path(held_out.__file__).with_name("dev.jsonl"), "held-out": held_out.QUESTIONS,
    "evidence": BENCH / "evidence" / "questions.jsonl",
}  # fmt: skip


def corpus(name: str, folder: Path) -> Path:
    """Put the texts together that the questions are about."""
    if name == "held-out":
        return held_out.corpus(folder)
    if name == "evidence":
        return BENCH / "evidence" / "corpus"
    for part in ("handbook", "digital-identity"):
        shutil.copytree(BENCH.parent / "corpora" / part, folder / part)
    return folder


def recalls(
    search: HybridSearch, questions: Path, texts: Path, work: Path
) -> tuple[list[list[float]], float]:
    """Return the recalls by budget, question by question, and milliseconds of processor time a question."""
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").split("\n") if line]
    static, out, spent = StaticModel(), [], time.process_time()
    for budget in BUDGETS:
        trimmer = PassageTrimmer(budget=budget, embedder=static)
        with (work / "context.jsonl").open("w", encoding="utf-8") as file:
            for row in rows:
                hits = search.hits(row["question"], room_chars=budget)
                kept = [
                    {"source": hit.source, "start": hit.start, "end": hit.end}
                    for hit in trimmer.trim(hits, row["question"])[0]
                ]
                file.write(json.dumps({"id": row["id"], "hits": kept}) + "\n")
        out.append(evidence(questions, work / "context.jsonl", texts, budget)["recall"])
    return out, 1000 * (time.process_time() - spent) / len(BUDGETS) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the reranker.")
    parser.add_argument("model", type=Path)
    parser.add_argument("questions", choices=QUESTIONS)
    parser.add_argument("--first", type=int, nargs="+", default=[24])
    parser.add_argument("--weight", type=float, nargs="+", default=[1.0])
    options = parser.parse_args()
    questions = QUESTIONS[options.questions]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        texts = corpus(options.questions, work / "corpus")
        rag.build(texts, work / "index")
        index = rag.Index.open(work / "index")
        alone, ms = recalls(HybridSearch(index=index), questions, texts, work)
        print(f"| | {' | '.join(f'{budget:,}' for budget in BUDGETS)} | ms |", "|---" * 6 + "|", sep="\n")
        print(f"| without | {' | '.join(map(interval, alone))} | {ms:.0f} |", flush=True)
        for first in options.first:
            for weight in options.weight:
                reader = Reader(options.model, first, weight)
                found, ms = recalls(HybridSearch(index=index, reranker=reader), questions, texts, work)
                cells = " | ".join(difference(*pair) for pair in zip(found, alone, strict=True))
                print(f"| first {first}, weight {weight:g} | {cells} | {ms:.0f} |", flush=True)


if __name__ == "__main__":
    main()
