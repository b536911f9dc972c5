"""Ranking with known answers: SciFact's abstracts, and one manual in five versions under a filter.

A part of `tests.benchmarks.evidence`. The lexical arm alone (BM25) stands beside the hybrid one.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.measured import command
from tests.benchmarks.scored import BENCH, Scores, ranking

#: Hits asked for: enough for ten sources, of which each counts at its first hit.
HITS = 50


def scifact(work: Path) -> dict[str, Scores]:
    """Search 5,183 abstracts for 300 claims; return the scores by embedder, and of BM25 alone."""
    questions = _claims(work)
    gold = BENCH / "scifact" / "qrels.tsv"
    out = {}
    for name in ("local", "static"):
        index = work / f"scifact-{name}"
        command("build", _abstracts(work), index, "--embedder", name)
        out[name] = _searched(index, questions, gold, stem=True)
    # The same chunks, the same postings, whatever the embedder.
    out["lexical"] = _searched(work / "scifact-static", questions, gold, stem=True, mode="lexical")
    return out


def powershell(work: Path) -> dict[str, Scores]:
    """Find the page that a sentence describes, in the version that the question's filter names."""
    index, questions = work / "powershell", BENCH / "powershell" / "questions.jsonl"
    pages = ("--include", "**/*.md", "--metadata-from-path", "{version}/{module}/")
    command("build", BENCH / "powershell", index, *pages)
    return {
        "local": _searched(index, questions, questions),
        "lexical": _searched(index, questions, questions, mode="lexical"),
    }


def _searched(
    index: Path, questions: Path, gold: Path, *, stem: bool = False, mode: str = "hybrid"
) -> Scores:
    output = index.with_suffix(f".{mode}.jsonl")
    command("search", index, "-k", HITS, "--mode", mode, "--questions", questions, "--output", output)
    return ranking(gold, output, stem=stem)


def _abstracts(work: Path) -> Path:
    folder = work / "abstracts" / "docs"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        with gzip.open(BENCH / "scifact" / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                text = f"{row['title']}\n\n{row['text']}"
                (folder / f"{row['_id']}.txt").write_text(text, encoding="utf-8", newline="")
    return folder.parent


def _claims(work: Path) -> Path:
    path = work / "claims.jsonl"
    with (BENCH / "scifact" / "queries.jsonl").open(encoding="utf-8") as lines, path.open("w") as out:
        for row in map(json.loads, lines):
            out.write(json.dumps({"id": row["_id"], "question": row["text"]}) + "\n")
    return path


def rows(scores: Mapping[str, Mapping[str, Scores]]) -> list[tuple[str, list[float], list[float], str, str]]:
    """Return what, ours, BM25's, must and aim, question by question."""
    return [
        (f"{what}, {name}", scores[part][name]["ndcg@10"], scores[part]["lexical"]["ndcg@10"], must, aim)
        for part, what, name, must, aim in (
            ("scifact", "SciFact nDCG@10", "local", "0.73", "0.76"),
            ("scifact", "SciFact nDCG@10", "static", "0.675", "0.70"),
            ("powershell", "PowerShell pages under a filter, nDCG@10", "local", "0.83", "0.95"),
        )
    ]
