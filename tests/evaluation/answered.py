"""Measured answers made by hand: values by question, and what was sent for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag.core.answers import Answer
from rag.core.calls import Usage
from rag.core.passages import Context, Hit
from rag.evaluation.answers import AnswerScored, AnswersEvaluation, summary
from rag.evaluation.golden_set import read


def answer(question: str, passages: int = 3, score: float = 0.5) -> Answer:
    hits = tuple(
        Hit("a.md", 9 * n, 9 * n + 9, "some text", 1.0, dense=score - n / 100) for n in range(passages)
    )
    return Answer(
        question=question, text="It is so.", answered=True, citations=(), usage=Usage(10, 5, cost_usd=0.0), trace=(),
        context=Context(hits, 9 * passages, 4000, "chars"), generator="scripted", prompt="answer-v1",
    )  # fmt: skip


def evaluation(
    name: str, values: Mapping[str, Mapping[str, float] | None], answers: Mapping[str, Answer] | None = None,
    weights: Mapping[str, float] | None = None,
) -> AnswersEvaluation:  # fmt: skip
    """Values by the question's id; None for one that failed."""
    rows = read([
        {"id": each, "question": f"What about {each}?", "answer": "so", "weight": (weights or {}).get(each, 1)}
        for each in values
    ])  # fmt: skip
    scored = []
    for row, given in zip(rows, values.values(), strict=True):
        if given is None:
            scored.append(
                AnswerScored(row, None, (), {"correct": 0.0, "answered": 0.0}, None, "the model is down")
            )
            continue
        said = (answers or {}).get(row.id) or answer(row.question)
        scored.append(
            AnswerScored(row, None, (), {"correct": 1.0, "usd": 0.01, "seconds": 1.0, **given}, said)
        )
    return summary(name, scored)


def correct(name: str, marks: Sequence[int], usd: float = 0.01) -> AnswersEvaluation:
    """One mark, 0 or 1, for each of the questions q0, q1, …"""
    return evaluation(name, {f"q{n}": {"correct": float(mark), "usd": usd} for n, mark in enumerate(marks)})
