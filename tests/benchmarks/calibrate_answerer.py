"""Fit the extractive answerer's confidence on the golden set; print the constants to put there.

    python -m tests.benchmarks.calibrate_answerer

Logistic regression on the three features of `rag.generation.quoting.confidence`, both classes
weighted equally, L2 0.01; the bias is then moved so that 0.5 lets 86 % of the answerable questions
through. Ten-fold cross-validation says what to expect of questions that it was not fitted on.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

import rag
from rag.generation import quoting

ROOT = Path(__file__).parents[2]
ANSWERED = 0.86


def main() -> None:
    rows = [json.loads(line) for line in (ROOT / "data" / "golden.jsonl").read_text().splitlines()]
    with tempfile.TemporaryDirectory() as name:
        rag.build(ROOT / "data" / "handbook", Path(name) / "ix")
        pipe = rag.Pipeline(Path(name) / "ix")
        seen: list[tuple[float, float, float]] = []
        keep = quoting.confidence
        quoting.confidence = lambda *features: seen.append(features) or keep(*features)
        for row in rows:
            pipe.ask(row["question"], where=row.get("where"))
    features, answerable = np.array(seen), np.array([bool(row["evidence"]) for row in rows])
    kinds = np.array([row.get("kind", "") for row in rows])
    weights, bias = fit(features, answerable)
    print(f"weights, bias = {tuple(round(float(w), 2) for w in weights)}, {bias:.2f}")
    report("fitted", features @ weights + bias, answerable, kinds)
    held = np.zeros(len(rows))
    for fold in range(10):
        test = np.arange(len(rows)) % 10 == fold
        w, b = fit(features[~test], answerable[~test])
        held[test] = features[test] @ w + b
    report("held out", held, answerable, kinds)


def fit(features: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, float]:
    mean, deviation = features.mean(0), features.std(0)
    design = np.column_stack([(features - mean) / deviation, np.ones(len(features))])
    share = np.where(label, 0.5 / label.mean(), 0.5 / (~label).mean())
    w = np.zeros(design.shape[1])
    penalty = 0.01 * len(label) * np.diag([1.0] * (len(w) - 1) + [0.0])
    for _ in range(50):  # Newton's method
        p = 1 / (1 + np.exp(-design @ w))
        gradient = design.T @ (share * (p - label)) + penalty @ w
        w -= np.linalg.solve((design * (share * p * (1 - p))[:, None]).T @ design + penalty, gradient)
    weights = w[:-1] / deviation
    return weights, -float(np.quantile((features @ weights)[label], 1 - ANSWERED))


def report(name: str, logit: np.ndarray, label: np.ndarray, kinds: np.ndarray) -> None:
    parts = [f"answered {np.mean(logit[label] >= 0):.3f} of {label.sum()}"]
    for kind in sorted(set(kinds[~label])):
        group = ~label & (kinds == kind)
        parts.append(f"refused {np.mean(logit[group] < 0):.3f} of {group.sum()} {kind}")
    parts.append(f"refused {np.mean(logit[~label] < 0):.3f} of all {(~label).sum()}")
    print(f"{name}: {'; '.join(parts)}")


if __name__ == "__main__":
    main()
