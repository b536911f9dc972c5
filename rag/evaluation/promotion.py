"""A version that is held back becomes current if a gate passes; until then readers stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag.config.gate import GateSettings
from rag.core.errors import UsageError, near_miss
from rag.core.progress import Progress
from rag.evaluation.answer_metrics import graded, parted
from rag.evaluation.gate import Gate, gate
from rag.evaluation.gate_values import measure
from rag.evaluation.measured import Measured, check_metrics
from rag.index.maintenance import Store

#: Metrics that are tested against the current version where the settings ask for nothing.
AGAINST = ("recall",)


def judge(
    settings: GateSettings,
    after: Any,
    before: Any = None,
    *,
    baseline: Measured | None = None,
    log: str | Path | None = None,
    graders: Sequence[Any] = (),
    progress: Progress | None = None,
) -> tuple[Gate, Measured]:
    """Measure what a gate's settings ask for, and judge it.

    Parameters
    ----------
    settings : GateSettings
    after : Pipeline
        Over the version that is judged.
    before : Pipeline, optional
        Over the version that is compared with; it is asked the same questions.
    baseline : Measured, optional
        In its place, what was measured earlier.
    log, graders, progress :
        As for `rag.evaluation.answers.evaluate_answers`.

    Returns
    -------
    Gate
    Measured
        What was measured of `after`.

    Raises
    ------
    UsageError
        The settings ask for nothing, or for a metric that is not known.
    """
    compares = before is not None or baseline is not None
    bounded = [*settings.min, *settings.max]
    against = settings.against or (() if bounded or settings.canary or not compares else AGAINST)
    if not settings.golden and (bounded or against):
        raise UsageError("the gate has limits, but no golden set: name one")
    metrics = [*dict.fromkeys([*bounded, *against])]
    check_asked(settings, graders)
    named: dict[str, Any] = {"runs": settings.runs, "log": log, "graders": graders, "progress": progress}
    golden = settings.golden or settings.canary
    measured = measure(after, golden, metrics or ["recall"], **named)
    if before is not None and against and baseline is None:
        baseline = measure(before, golden, list(against), **named)
    canary = None
    if settings.canary:
        answers = any(name in ("correct", "refused", "responded", "supported") for name in metrics)
        canary = measure(after, settings.canary, ["recall", *(["correct"] if answers else [])], **named)
    result = gate(
        measured, least=settings.min, most=settings.max, baseline=baseline if against else None,
        against=against, canary=canary, alpha=settings.alpha,
    )  # fmt: skip
    trust = [note for grader in graders for note in grader.notes]
    return replace(result, notes=(*result.notes, *trust)), measured


def check_asked(settings: GateSettings, graders: Sequence[Any] = ()) -> None:
    """Refuse settings that name a metric which is not known, or which no grader gives.

    Raises
    ------
    UsageError
    """
    given = [name for grader in graders for name in grader.metrics]
    check_metrics([*settings.min, *settings.max], limits=True, more=given)
    check_metrics(settings.against, more=given)
    for metric in (*settings.min, *settings.max, *settings.against):
        name, _ = parted(metric)
        if graded(name) and name not in given:
            what = (
                near_miss(name, given) if given else "name a judge, or a metric of yours (--judge, --grade)"
            )
            raise UsageError(f"the gate asks for {metric}, which no judge or metric gives: {what}")


def promote_if_passed(
    store: Store,
    version: int,
    settings: GateSettings,
    open_version: Callable[[int | None], Any],
    **named: Any,
) -> Gate:
    """Judge a version that is held back; make it current if the gate passes, else write down why not.

    Parameters
    ----------
    store : Store
    version : int
        The version that is held back.
    settings : GateSettings
    open_version : callable
        Returns a pipeline over a version; of None, over the current one, or None where there is none.
    **named
        Those of `judge`.

    Raises
    ------
    UsageError
        Another version became current meanwhile.
    """
    before = open_version(None)
    if before is None and not (settings.min or settings.max or settings.canary):
        note = "the first version: there is none to compare it with, and no limit"
        result = Gate(str(store.path), version, (), (), (), notes=(note,))
    else:
        result, _ = judge(settings, open_version(version), before, **named)
    if result.passed:
        store.promote(version, by="its gate")
    else:
        store.hold_back(version, result.reasons[0])
    return result
