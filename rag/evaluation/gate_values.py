"""Measure what a gate asks for: retrieval, answers, or both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag.core.progress import Progress
from rag.evaluation.answers import AnswerScored, Grader, evaluate_answers
from rag.evaluation.evaluate import evaluate
from rag.evaluation.golden_set import Question, Questions, read
from rag.evaluation.measured import RETRIEVAL, Asked, Measured, budgets_of, of_answers


def measure(
    pipe: Any,
    golden: Questions,
    metrics: Sequence[str],
    *,
    name: str = "",
    runs: int = 1,
    parallel: int = 4,
    log: str | Path | None = None,
    graders: Sequence[Grader] = (),
    progress: Progress | None = None,
) -> Measured:
    """Measure what metrics ask for: retrieval, answers, or both.

    Parameters
    ----------
    pipe : Pipeline
    golden : str, Path, or iterable of Question or mapping
    metrics : sequence of str
        Those of `rag.evaluation.evaluate` and of `rag.evaluation.answers`; ``"refused"`` is the share of
        questions without an answer that are refused, ``"responded"`` that of the others that are answered.
    runs : int
        How often each question is asked; the log then serves the first run alone.
    parallel, log, graders, progress :
        As for `evaluate_answers`.
    """
    questions = read(golden)
    values: dict[str, dict[str, float]] = {each.id: {} for each in questions}
    faults: dict[str, tuple[str, ...]] = {}
    lost: dict[str, tuple[str, ...]] = {}
    flaky: set[str] = set()
    kinds = {metric.partition("@")[0] for metric in metrics}
    if kinds & {*RETRIEVAL} and any(each.located for each in questions):
        ranks = [int(cut) for base, _, cut in (each.partition("@") for each in metrics)
                 if cut and base in RETRIEVAL[3:]]  # fmt: skip
        found = evaluate(pipe, questions, budgets=budgets_of(metrics) or (4000,), k=max(ranks, default=10),
                         progress=progress)  # fmt: skip
        for scored in found.questions:
            values[scored.question.id] |= scored.values
            lost[scored.question.id] = scored.lost
    if of_answers(metrics):
        rounds = [
            _answers(pipe, questions, parallel, log if run == 0 else None, graders, progress)
            for run in range(runs)
        ]
        for question in questions:
            runs_of = [each[question.id] for each in rounds]
            names = {name for one in runs_of for name in one.values}
            values[question.id] |= {
                name: float(np.mean([one.values[name] for one in runs_of if name in one.values]))
                for name in names
            }
            values[question.id]["answerable"] = float(question.answerable)
            worst = min(runs_of, key=lambda one: one.values["correct"])
            faults[question.id] = worst.faults
            if len({one.correct for one in runs_of}) > 1:
                flaky.add(question.id)
    asked = {
        each.id: Asked(
            each.question, None if each.where is None else str(each.where), text_of(each), values[each.id],
            each.expected.weight, faults.get(each.id, ()), each.id in flaky, lost.get(each.id, ()),
        )
        for each in questions
    }  # fmt: skip
    whole = hashlib.sha256("\n".join(f"{key} {each.text}" for key, each in asked.items()).encode())
    return Measured(name or str(pipe.index.path), pipe.index.version, whole.hexdigest(), asked)


def _answers(
    pipe: Any,
    questions: Sequence[Question],
    parallel: int,
    log: Any,
    graders: Sequence[Grader],
    progress: Progress | None,
) -> dict[str, AnswerScored]:
    (result,) = evaluate_answers(
        pipe, questions, parallel=parallel, log=log, graders=graders, progress=progress, tag="gate"
    ).values()
    return {each.question.id: each for each in result.questions}


def text_of(question: Question) -> str:
    """Return a hash of a question with its filter and all that is expected of it."""
    parts = [question.question, repr(question.where), repr(question.evidence), repr(sorted(question.gold)),
             question.expected.model_dump_json()]  # fmt: skip
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
