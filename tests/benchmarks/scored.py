"""The reference data's scorers, question by question.

They print means; an interval needs each question's value. Each value is computed here with the
scorer's own functions where it has them, and the mean is checked against what the scorer prints.
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

BENCH = Path(__file__).parents[3] / "shared" / "bench"
#: Values for each question, in the questions' order, by the name of the metric.
Scores = dict[str, list[float]]


def evidence(questions: Path, context: Path, corpus: Path, budget: int | None = None) -> Scores:
    """Score contexts against evidence spans (``score_evidence.py --corpus``).

    Parameters
    ----------
    questions, context : Path
        JSON lines of ``{"id", "evidence"}`` and of ``{"id", "hits"}``.
    corpus : Path
        Folder of the files that the spans are in: a copy of a span serves as well.
    budget : int, optional
        Fail if a context holds more characters.

    Returns
    -------
    Scores
        ``recall``, ``precision`` and ``iou``, each in [0, 1].
    """
    scorer = _scorer("score_evidence")
    got = {row["id"]: row["hits"] for row in _lines(context)}
    out: Scores = {"recall": [], "precision": [], "iou": []}
    for row in _lines(questions):
        found = scorer.by_source(got[row["id"]])
        gold = scorer.by_source(row["evidence"])
        total = sum(end - start for spans in gold.values() for start, end in spans)
        used = sum(end - start for spans in found.values() for start, end in spans)
        hit = sum(
            max(scorer.shared(found.get(name, []), a, b) for name, a, b in _copies(corpus, source, *span))
            for source, spans in gold.items() for span in spans
        )  # fmt: skip
        out["recall"].append(hit / total)
        out["precision"].append(hit / used if used else 0.0)
        out["iou"].append(hit / (used + total - hit))
    options = ["--budget-chars", str(budget)] if budget else []
    _check(out, "score_evidence", questions, context, "--corpus", corpus, *options)
    return out


def ranking(gold: Path, search: Path, *, stem: bool = False) -> Scores:
    """Score ranked sources (``score_ranking.py``).

    Parameters
    ----------
    gold : Path
        Relevance judgements, ``.tsv`` as in BEIR, or JSON lines of ``{"id", "gold"}``.
    search : Path
        JSON lines of ``{"id", "hits"}``.
    stem : bool
        Compare sources without folder and ending.

    Returns
    -------
    Scores
        ``ndcg@10``: gain = grade, discount = log2(rank + 1) (Järvelin and Kekäläinen 2002).
    """
    found = {str(row["id"]): row["hits"] for row in _lines(search)}
    values = []
    for name, judged in _scorer("score_ranking").gold(str(gold)).items():
        grades = {_stem(source) if stem else source: grade for source, grade in judged.items()}
        sources = [_stem(hit["source"]) if stem else hit["source"] for hit in found[str(name)]]
        ranked = list(dict.fromkeys(sources))[:10]
        best = sorted(grades.values(), reverse=True)[:10]
        values.append(_gain([grades.get(source, 0) for source in ranked]) / _gain(best))
    out = {"ndcg@10": values}
    _check(out, "score_ranking", gold, search, *(["--stem"] if stem else []))
    return out


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


def _stem(source: str) -> str:
    return Path(source).stem


def _check(scores: Mapping[str, Sequence[float]], name: str, *arguments: object) -> None:
    """Run a scorer as it is; refuse to go on if it prints another mean."""
    called = [sys.executable, str(BENCH / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(called, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stdout}{done.stderr}")
    printed = json.loads(done.stdout)
    for metric, values in scores.items():
        mean = sum(values) / len(values)
        if printed["questions"] != len(values) or abs(printed[metric] - mean) > 0.5001e-4:
            raise SystemExit(f"{metric} is {mean} here, and {name} prints {printed}")


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:  # by "\n" alone: a text may hold other line ends
        return [json.loads(line) for line in file]


@cache
def _scorer(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _texts(corpus: Path) -> dict[str, str]:
    files = [path for path in corpus.rglob("*") if path.is_file()]
    return {str(path.relative_to(corpus)): path.read_bytes().decode() for path in files}


@cache
def _copies(corpus: Path, source: str, start: int, end: int) -> list[tuple[str, int, int]]:
    places: list[tuple[str, int, int]] = _scorer("score_evidence").copies(_texts(corpus), source, start, end)
    return places
