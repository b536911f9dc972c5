"""Compare prompts on a golden set: every question is answered with each of them.

An answer is a success if it cites evidence: a verified citation lies in one of the question's evidence
passages or, where the set names only documents, in one of these. To a question without either, the success
is that the answer says so. What the words of an answer mean is not judged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rag.core.answers import Answer
from rag.core.errors import GenerationError, UsageError
from rag.core.table import Table
from rag.evaluation.compare import Comparison, differences
from rag.evaluation.golden_set import Question, Questions, read
from rag.evaluation.statistics import Estimate, estimate
from rag.generation.voice import label

#: What is measured, and the unit of its column.
METRICS = {"success": "", "supported": "", "usd": "$", "seconds": "s"}


@dataclass(frozen=True, slots=True)
class PromptScores:
    """The measurements of one prompt.

    Attributes
    ----------
    prompt : str
        The pipeline's prompt, as the ledger names it.
    metrics : mapping of str to Estimate
        ``"success"`` and ``"supported"`` (the share of an answer's sentences that its citations support),
        both in [0, 1]; ``"usd"`` and ``"seconds"`` of a question. What no question has is left out.
    values : mapping of str to mapping
        By question and metric.
    failed : int
        Questions to which the model gave no answer; they are no successes.
    """

    prompt: str
    metrics: Mapping[str, Estimate]
    values: Mapping[str, Mapping[str, float]] = field(repr=False)
    failed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "prompt": self.prompt, "failed": self.failed,
            "metrics": {name: asdict(value) for name, value in self.metrics.items()},
            "questions": {name: dict(values) for name, values in self.values.items()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class PromptsCompared:
    """Prompts side by side, and each of the others against the first."""

    scores: tuple[PromptScores, ...]
    comparisons: tuple[Comparison, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "prompts": [each.to_dict() for each in self.scores],
            "comparisons": [each.to_dict() for each in self.comparisons],
        }  # fmt: skip

    def tables(self) -> list[Table]:
        """Return a table with a row per prompt, and one of differences for each pair."""
        rows = [
            (
                each.prompt, *(_cell(each.metrics.get(name), unit) for name, unit in METRICS.items()),
                str(each.failed),
            )
            for each in self.scores
        ]  # fmt: skip
        count = len(self.scores[0].values)
        head = ("prompt", "success", "supported", "dollars", "seconds", "failed")
        return [Table(f"{count} questions answered with each prompt", head, rows)] + [
            replace(each.table(), caption=f"{each.a} minus {each.b}") for each in self.comparisons
        ]

    def _repr_html_(self) -> str:
        return "".join(table.to_html() for table in self.tables())


def compare_prompts(
    pipes: Sequence[Any],
    questions: Questions,
    *,
    where: Any = None,
    mode: str | None = None,
    tag: str = "eval",
    progress: Callable[[int, int], None] | None = None,
) -> PromptsCompared:
    """Answer a golden set with each of several pipelines, which differ in their prompts.

    Every answer is paid for, and recorded as any other.

    Parameters
    ----------
    pipes : sequence of Pipeline
        Two or more.
    questions : str, Path, or iterable of Question or mapping
        See `rag.evaluation.golden_set`.
    where, mode : optional
        As in `Pipeline.context`; `where` is combined with a question's filter by "and".
    tag : str
        Recorded with the calls.
    progress : callable, optional
        Called with the number of finished questions and their total.

    Raises
    ------
    UsageError
        There is only one pipeline, or two have the same prompt.
    BudgetError
        A call must not be made.

    Examples
    --------
    >>> pipes = [rag.Pipeline("indexes/handbook", prompt=name) for name in ("a@1", "a@2")]  # doctest: +SKIP
    >>> print(compare_prompts(pipes, "data/golden.jsonl").tables()[0].to_markdown())        # doctest: +SKIP
    """
    if len(pipes) < 2:
        raise UsageError("one prompt cannot be compared: give two pipelines or more")
    names = [label(pipe.prompt) for pipe in pipes]
    if len({*names}) < len(pipes):
        raise UsageError(f"of the prompts {', '.join(names)} two are the same: give different ones")
    golden = read(questions)
    values: list[dict[str, Mapping[str, float]]] = [{} for _ in pipes]
    failed = [0 for _ in pipes]
    for number, question in enumerate(golden):
        # Each in turn comes first: what a question warms up, or a service slows down, favours none.
        for at in ((number + offset) % len(pipes) for offset in range(len(pipes))):
            started = time.perf_counter()
            try:
                combined = pipes[at].index.both(where, question.where)
                answer = pipes[at].ask(question.question, where=combined, mode=mode, tag=tag)
            except GenerationError:
                failed[at] += 1
                values[at][question.id] = {"success": 0.0}
                continue
            values[at][question.id] = _measured(question, answer, time.perf_counter() - started)
        if progress is not None:
            progress(number + 1, len(golden))
    scores = tuple(
        PromptScores(names[at], _metrics(values[at]), values[at], failed[at]) for at in range(len(pipes))
    )
    first = scores[0]
    compared = tuple(
        Comparison(first.prompt, other.prompt, differences(METRICS, first.values, other.values))
        for other in scores[1:]
    )
    return PromptsCompared(scores, compared)


def _measured(question: Question, answer: Answer, seconds: float) -> dict[str, float]:
    measured = {"success": float(_succeeds(question, answer)), "seconds": seconds}
    if answer.answered and answer.supported is not None:
        measured["supported"] = answer.supported
    costs = [call.usage.cost_usd for call in answer.calls]
    if None not in costs:
        measured["usd"] = sum(cost for cost in costs if cost is not None)
    return measured


def _succeeds(question: Question, answer: Answer) -> bool:
    if not question.answerable:
        return not answer.answered
    cited = [citation for citation in answer.citations if citation.verified]
    if question.evidence:
        return answer.answered and any(
            each.source == span.source and each.start < span.end and span.start < each.end
            for each in cited for span in question.evidence
        )  # fmt: skip
    return answer.answered and any(each.source in question.gold for each in cited)


def _metrics(values: Mapping[str, Mapping[str, float]]) -> dict[str, Estimate]:
    columns = {name: [each[name] for each in values.values() if name in each] for name in METRICS}
    return {name: estimate(column) for name, column in columns.items() if column}


def _cell(value: Estimate | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value.mean:.4f} [{value.low:.4f}, {value.high:.4f}]" if unit else str(value)
