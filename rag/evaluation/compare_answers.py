"""Compare configurations by their answers to a golden set, question by question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag.core.errors import UsageError, near_miss
from rag.core.progress import Progress
from rag.evaluation.answer_metrics import COSTS, METRICS, graded, with_graded
from rag.evaluation.answer_prices import refuse_unpriced
from rag.evaluation.answers import AnswersEvaluation, Grader, evaluate_answers
from rag.evaluation.answers_compared import AnswersCompared
from rag.evaluation.differences import Comparison, Difference, differences
from rag.evaluation.golden_set import Questions
from rag.evaluation.non_inferiority import loss_of
from rag.evaluation.statistics import holm
from rag.generation.voice import label

#: Metrics by which configurations can be compared: shares, of which more is better.
QUALITIES = tuple(name for name in METRICS if name not in COSTS)
#: How much worse than the best a configuration may be, as a share.
MARGIN = 0.02
#: Checks of what an answer says; without any, ``correct`` only tells answers from refusals.
_SAID = ("must_include", "must_not_include", "regex", "numbers", "schema")


def compare_answers(
    pipes: Mapping[str, Any],
    questions: Questions,
    *,
    metric: str = "correct",
    margin: float = MARGIN,
    where: Any = None,
    mode: str | None = None,
    tags: Sequence[str] = (),
    tag: str = "eval",
    log: str | Path | None = None,
    parallel: int = 4,
    graders: Sequence[Grader] = (),
    progress: Progress | None = None,
) -> AnswersCompared:
    """Answer a golden set with each of several pipelines, and compare the answers question by question.

    Every answer is paid for, recorded as any other, and refused by budgets.

    Parameters
    ----------
    pipes : mapping of str to Pipeline
        By name; the first is the baseline.
    questions, where, mode, tags, tag, log, parallel, graders, progress
        As for `rag.evaluation.answers.evaluate_answers`.
    metric : str
        The quality that decides which is best; one of `QUALITIES`, or of a grader.
    margin : float
        How much worse than the best the cheapest may be, as a share, above 0 and below 1.

    Raises
    ------
    UsageError
        The metric is unknown, or no question has it; or the margin is not between 0 and 1.
    SourceError, WhereError
        The golden set, or a filter, is invalid.
    BudgetError
        A call must not be made.

    Examples
    --------
    >>> pipes = {name: rag.Pipeline("indexes/handbook", generator={"use": "claude", "model": name})
    ...          for name in ("amazon.nova-lite-v1:0", "amazon.nova-pro-v1:0")}        # doctest: +SKIP
    >>> compare_answers(pipes, "data/golden.jsonl", log="answers.jsonl").verdict()     # doctest: +SKIP
    """
    check(metric, margin, [name for grader in graders for name in grader.metrics])
    refuse_unpriced(pipes)
    results = evaluate_answers(
        pipes, questions, where=where, mode=mode, tags=tags, tag=tag, log=log, parallel=parallel,
        graders=graders, progress=progress,
    )  # fmt: skip
    return compared([*results.values()], metric, margin)


def compare_prompts(pipes: Iterable[Any], questions: Questions, **options: Any) -> AnswersCompared:
    """Compare pipelines that differ in their prompts, as `compare_answers` does; each is named by its prompt.

    Raises
    ------
    UsageError
        There is only one pipeline, or two have the same prompt.

    Examples
    --------
    >>> pipes = [rag.Pipeline("indexes/handbook", prompt=name) for name in ("a@1", "a@2")]  # doctest: +SKIP
    >>> print(compare_prompts(pipes, "data/golden.jsonl").overview().to_markdown())         # doctest: +SKIP
    """
    listed = [*pipes]
    if len(listed) < 2:
        raise UsageError("one prompt cannot be compared: give two pipelines or more")
    named = {label(pipe.prompt): pipe for pipe in listed}
    if len(named) < len(listed):
        names = ", ".join(label(pipe.prompt) for pipe in listed)
        raise UsageError(f"of the prompts {names} two are the same: give different ones")
    return compare_answers(named, questions, **options)


def check(metric: str, margin: float, more: Sequence[str] = ()) -> None:
    """Refuse a metric that is no quality, and a margin that is no share.

    Raises
    ------
    UsageError
    """
    known = (*QUALITIES, *more)
    if metric not in known:
        without = " (no judge or metric of that name is asked)" if graded(metric) else ""
        raise UsageError(f"answers are not compared by {metric!r}{without}: {near_miss(metric, known)}")
    if not 0 < margin < 1:
        raise UsageError(f"the margin is {margin}: write a share above 0 and below 1, e.g. 0.02 for 2 points")


def compared(evaluations: Sequence[AnswersEvaluation], metric: str, margin: float) -> AnswersCompared:
    """Compare what was measured; the parameters are those of `compare_answers`.

    Raises
    ------
    UsageError
        No question has the metric.
    """
    for each in evaluations:
        if metric not in each.metrics:
            raise UsageError(f"{each.name}: no answer has a value of {metric!r}: compare by another metric")
    first, best = evaluations[0], min(evaluations, key=lambda each: _rank(each, metric))
    weights = first.weights
    metrics = with_graded(name for each in evaluations for name in each.metrics)
    pairs: dict[tuple[str, str], dict[str, Difference]] = {}
    for base in (first, best):
        for each in evaluations:
            if each is not base and not {(base.name, each.name), (each.name, base.name)} & pairs.keys():
                pairs[each.name, base.name] = differences(metrics, each.values, base.values, weights)
    pairs = _corrected(pairs)
    losses = [loss_of(each.name, metric, best.values, each.values, weights)
              for each in evaluations if each is not best]  # fmt: skip
    against = {
        base.name: tuple(
            Comparison(each.name, base.name, _of(pairs, each.name, base.name))
            for each in evaluations if each is not base
        )
        for base in (first, best)
    }  # fmt: skip
    return AnswersCompared(
        tuple(evaluations), metric, margin, best.name, against[first.name], against[best.name],
        tuple(loss for loss in losses if loss is not None), _notes(evaluations, metric),
    )  # fmt: skip


def _rank(evaluation: AnswersEvaluation, metric: str) -> tuple[float, float]:
    usd = evaluation.metrics.get("usd")
    return -evaluation.metrics[metric].mean, float("inf") if usd is None else usd.mean


def _of(
    pairs: Mapping[tuple[str, str], Mapping[str, Difference]], a: str, b: str
) -> Mapping[str, Difference]:
    """Return the differences of `a` minus `b`; a pair that was compared the other way round is turned."""
    if (a, b) in pairs:
        return pairs[a, b]
    return {
        name: replace(found, mean=0.0 - found.mean, low=0.0 - found.high, high=0.0 - found.low)
        for name, found in pairs[b, a].items()
    }


def _corrected(
    pairs: Mapping[tuple[str, str], Mapping[str, Difference]],
) -> dict[tuple[str, str], dict[str, Difference]]:
    """Correct the p-values of each metric for all pairs that were compared."""
    made: dict[tuple[str, str], dict[str, Difference]] = {pair: {} for pair in pairs}
    for metric in dict.fromkeys(name for found in pairs.values() for name in found):
        of = [pair for pair, found in pairs.items() if metric in found]
        for pair, p in zip(of, holm([pairs[pair][metric].p for pair in of]), strict=True):
            made[pair][metric] = replace(pairs[pair][metric], p_holm=p)
    return made


def _notes(evaluations: Sequence[AnswersEvaluation], metric: str) -> tuple[str, ...]:
    notes = [note for each in evaluations for note in each.notes]
    if metric == "correct" and not any(name in each.metrics for each in evaluations for name in _SAID):
        notes.append(
            "no question says what its answer must contain, so `correct` only tells answers from refusals: "
            "add must_include, numbers, … (`rag golden schema`), or compare by cite_recall"
        )
    notes += [
        f"{each.name} gave no answer to {each.failed} questions: run again to ask these again"
        for each in evaluations if each.failed
    ]  # fmt: skip
    notes += [
        f"{each.name} has no known price: enter it in [prices] of rag.toml"
        for each in evaluations if "usd" not in each.metrics
    ]  # fmt: skip
    if len(evaluations) > 2:
        notes.append(
            "the best of several configurations looks better than it is: confirm it on questions that chose "
            "none"
        )
    return tuple(dict.fromkeys(notes))


def against(a: AnswersEvaluation, b: AnswersEvaluation) -> Comparison:
    """Compare the answers of two systems question by question; of what is spent, less is better.

    Raises
    ------
    UsageError
        They share no question.
    """
    found = differences(with_graded([*a.metrics, *b.metrics]), a.values, b.values)
    if not found:
        raise UsageError(f"{a.name} and {b.name} share no question: ask both the same golden set")
    return Comparison(a.name, b.name, found)
