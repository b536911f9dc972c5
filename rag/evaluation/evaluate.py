"""Measure a pipeline on a golden set: for every question, its ranking and its context at each budget."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.core.displayable import Displayable
from rag.core.errors import RagError, UsageError, near_miss
from rag.core.frames import frame
from rag.core.passages import Context, Hit
from rag.core.progress import Progress, Task
from rag.core.table import Table
from rag.evaluation import corpus, metrics
from rag.evaluation.golden_set import Question, Questions, Span, read
from rag.evaluation.statistics import Estimate, estimate
from rag.index.filters.where import field as column
from rag.usage.tokens import estimate_tokens

if TYPE_CHECKING:
    import pandas as pd

BUDGETS = (1000, 2000, 4000, 8000)


@dataclass(frozen=True, slots=True)
class Scored:
    """One question's measurements.

    Attributes
    ----------
    where : str or None
        The filter in force.
    values : mapping of str to float
        By metric, as in `Evaluation.metrics`.
    tokens : tuple of int
        Estimated tokens of the context at each budget.
    seconds : float
        The slowest context or ranking; the question is embedded once.
    sources : int
        Distinct documents among the retrieved chunks; 0 for a question without gold.
    lost : tuple of str
        Evidence (``source:start-end``) of which no character is in the largest context, and gold
        sources below rank k: arguments for ``rag explain --expect``.
    unplaced : int
        Passages of a context whose position in the index is unknown: they count as context and never
        as evidence.
    context : Context or None
        The largest one; None for a question without evidence.
    """

    question: Question
    where: str | None
    values: Mapping[str, float]
    tokens: tuple[int, ...]
    seconds: float
    sources: int
    lost: tuple[str, ...]
    unplaced: int = 0
    context: Context | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as ``rag eval --output`` writes them."""
        return {
            "id": self.question.id, "question": self.question.question, "where": self.where,
            "values": dict(self.values), "tokens": list(self.tokens), "seconds": self.seconds,
            "lost": list(self.lost),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class Evaluation(Displayable):
    """The measurements of a pipeline on a golden set.

    Attributes
    ----------
    name : str
        By default the path of the index.
    metrics : mapping of str to Estimate
        For questions with evidence, ``"recall@B"``, ``"precision@B"`` and ``"iou@B"`` at each budget
        B, and ``"recall"``, the mean over the budgets (`rag.evaluation.metrics.overlap`); for
        questions with gold documents, ``"ndcg@k"``, ``"source_recall@k"`` and ``"mrr@k"``
        (`rag.evaluation.metrics.ranking`). All values are in [0, 1].
    questions : tuple of Scored
        The questions with evidence or gold, in the order of the golden set.
    tokens : tuple of float
        Mean estimated tokens of the contexts at each budget.
    budgets : tuple of int
        In `unit`; empty if the trimmer's default budget applied.
    k : int
        Ranks that count.
    copies : bool
        Whether a verbatim copy of evidence counts as evidence.
    unanswerable : int
        Questions without evidence and gold, which are not measured.
    seconds : mapping of str to float
        Seconds per question: ``"p50"`` and ``"p95"``.
    notes : tuple of str
        Limits of the figures, such as gold sources that the index does not hold.
    """

    name: str
    metrics: Mapping[str, Estimate]
    questions: tuple[Scored, ...] = field(repr=False)
    tokens: tuple[float, ...]
    budgets: tuple[int, ...]
    unit: str
    k: int
    copies: bool
    unanswerable: int
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The metric to sort by: evidence recall, or nDCG if there is only gold."""
        return "recall" if "recall" in self.metrics else f"ndcg@{self.k}"

    def worst(self, count: int) -> list[Scored]:
        """Return the questions with the lowest values of the `headline`, worst first."""
        measured = [scored for scored in self.questions if self.headline in scored.values]
        return sorted(measured, key=lambda scored: scored.values[self.headline])[:count]

    def to_dict(self, *, questions: bool = True) -> dict[str, Any]:
        """Return plain values, with or without those of every question."""
        rows = {"questions": [scored.to_dict() for scored in self.questions]} if questions else {}
        return {
            "name": self.name, "unit": self.unit, "budgets": list(self.budgets), "k": self.k,
            "copies": self.copies, "unanswerable": self.unanswerable, "tokens": list(self.tokens),
            "metrics": {name: asdict(value) for name, value in self.metrics.items()},
            "seconds": dict(self.seconds), "notes": list(self.notes), **rows,
        }  # fmt: skip

    def tables(self) -> list[Table]:
        """Return a table of the contexts and one of the rankings, if the golden set has such questions."""
        left_out = f" ({self.unanswerable} without an answer are left out)" if self.unanswerable else ""
        tables = []
        if "recall" in self.metrics:
            tables.append(self._contexts_table(left_out))
        if f"ndcg@{self.k}" in self.metrics:
            names = {"ndcg": "nDCG", "source_recall": "recall", "mrr": "MRR"}
            head = tuple(f"{name}@{self.k}" for name in names.values())
            row = tuple(str(self.metrics[f"{metric}@{self.k}"]) for metric in names)
            count = self.metrics[f"ndcg@{self.k}"].count
            tables.append(
                Table(f"{self.name}: ranking of {count} questions' documents{left_out}", head, [row])
            )
        return tables

    def _contexts_table(self, left_out: str) -> Table:
        rows = []
        for budget, tokens in zip(self.budgets or (None,), self.tokens, strict=True):
            cells = (str(self.metrics[_named(metric, budget)]) for metric in ("recall", "precision", "iou"))
            rows.append(("default" if budget is None else str(budget), *cells, f"{tokens:.0f}"))
        if len(rows) > 1:
            rows.append(("mean", str(self.metrics["recall"]), "", "", ""))
        caption = f"{self.name}: evidence of {self.metrics['recall'].count} questions{left_out}"
        return Table(caption, (self.unit, "recall", "precision", "IoU", "mean tokens"), rows)

    def to_pandas(self) -> pd.DataFrame:
        """Return a row for each question, with a column for each metric; needs pandas."""
        return frame(
            {
                "id": each.question.id, "question": each.question.question, "where": each.where,
                **each.values, "tokens": max(each.tokens, default=None), "seconds": each.seconds,
                "lost": ", ".join(each.lost),
            }
            for each in self.questions
        )  # fmt: skip


def evaluate(
    pipe: Any,
    questions: Questions,
    *,
    budgets: Sequence[int] = BUDGETS,
    unit: str = "chars",
    k: int = 10,
    copies: bool = False,
    where: Any = None,
    mode: str | None = None,
    name: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a pipeline's retrieval and trimming on a golden set; nothing is generated.

    Parameters
    ----------
    pipe : Pipeline
    questions : str, Path, or iterable of Question or mapping
        See `rag.evaluation.golden_set`.
    budgets : sequence of int
        Context sizes to measure; empty for the trimmer's default budget.
    unit : {"chars", "tokens"}
        Unit of the budgets.
    k : int
        Ranks that count; the retriever's `k` sets how many chunks are retrieved.
    copies : bool
        Count a verbatim copy of an evidence span (at least 20 characters) elsewhere in the index as
        the span. Reads the text of every chunk.
    where, mode : optional
        As in `Pipeline.context`; `where` is combined with a question's filter by "and".
    name : str, optional
        Name of the evaluation.
    progress : Progress, optional
        Told how far it is: `rag.progress_bar`, or any callable (`rag.core.progress`).

    Raises
    ------
    SourceError
        The golden set is invalid.
    WhereError
        A filter does not fit the index; the message names the question.
    UsageError
        `unit`, `k` or a budget is invalid.

    Examples
    --------
    >>> evaluation = evaluate(rag.Pipeline("indexes/handbook"), "data/golden.jsonl")   # doctest: +SKIP
    >>> evaluation.metrics["recall@4000"].mean                                         # doctest: +SKIP
    0.905
    """
    if unit not in ("chars", "tokens"):
        raise UsageError(f"unit is {unit!r}: write chars or tokens")
    if k < 1 or any(b != int(b) or b < 1 for b in budgets):
        raise UsageError(f"k is {k}, budgets are {list(budgets)}: give whole numbers of at least 1")
    golden = read(questions)
    answerable = [question for question in golden if question.located]
    if not answerable:
        raise UsageError("no question has evidence or gold: retrieval cannot be measured; see --answers")
    filters = [_combined(pipe.index, where, question) for question in answerable]
    notes = _unreachable(pipe.index, answerable)
    places: dict[Span, tuple[Span, ...]] = {}
    if copies:
        places, unknown = corpus.copies(pipe.index, answerable)
        if unknown:
            notes.append(
                f"{unknown} evidence spans are not in one piece in the index: their copies are unknown"
            )
    cuts = _Cuts(tuple(sorted({int(budget) for budget in budgets})), unit, k, places)
    scored = []
    with Task(progress, "questions", of=len(answerable), unit="question") as task:
        for question, combined in zip(answerable, filters, strict=True):
            scored.append(_score(pipe, question, combined, mode, cuts))
            task.show(len(scored))
    short = sum(one.sources < k and one.values.get(f"source_recall@{k}", 1.0) < 1 for one in scored)
    if short:
        notes.append(
            f"for {short} questions the retrieved chunks come from fewer than {k} sources, and gold "
            "sources are missing: a larger [retriever] k may find them"
        )
    if unplaced := sum(one.unplaced for one in scored):
        notes.append(
            f"{unplaced} retrieved passages are not in the index verbatim: they never count as "
            "evidence; was the index built from the same documents?"
        )
    return _summary(name or str(pipe.index.path), scored, cuts, copies, len(golden) - len(scored), notes)


@dataclass(frozen=True, slots=True)
class _Cuts:
    """The cut-offs at which a question is measured."""

    budgets: tuple[int, ...]
    unit: str
    k: int
    copies: Mapping[Span, tuple[Span, ...]]


def _score(pipe: Any, question: Question, where: Any, mode: str | None, cuts: _Cuts) -> Scored:
    values: dict[str, float] = {}
    tokens: list[int] = []
    lost: list[str] = []
    sources: list[str] = []
    seconds, unplaced, context = 0.0, 0, None
    if question.evidence:
        for budget in cuts.budgets or (None,):
            started = time.perf_counter()
            context = pipe.context(
                question.question, where=where, mode=mode, budget=budget, unit=cuts.unit if budget else None
            )
            seconds = max(seconds, time.perf_counter() - started)
            held = [_span(hit) for hit in context.hits]
            unplaced = max(unplaced, sum(not _placed(hit) for hit in context.hits))
            overlap = metrics.overlap(question.evidence, held, cuts.copies)
            values |= {_named(metric, budget): value for metric, value in overlap._asdict().items()}
            tokens.append(_tokens(context))
        values["recall"] = float(np.mean([v for n, v in values.items() if n.startswith("recall")]))
        lost = [
            str(span) for span in metrics.merged(question.evidence)
            if not metrics.overlap([span], held, cuts.copies).recall
        ]  # fmt: skip
    if question.gold:
        started = time.perf_counter()
        hits = retrieved(pipe, question.question, where=where, mode=mode)
        seconds = max(seconds, time.perf_counter() - started)
        sources = list(dict.fromkeys(hit.source for hit in hits))
        ranked = metrics.ranking(question.gold, sources, cuts.k)
        values |= {
            f"ndcg@{cuts.k}": ranked.ndcg, f"source_recall@{cuts.k}": ranked.recall,
            f"mrr@{cuts.k}": ranked.mrr,
        }  # fmt: skip
        lost += [source for source in question.gold if source not in sources[: cuts.k]]
    text = None if where is None else where.to_string()
    return Scored(
        question, text, values, tuple(tokens), seconds, len(sources), tuple(lost), unplaced, context
    )


def retrieved(pipe: Any, question: str, **options: Any) -> list[Hit]:
    """Return what a pipeline retrieves as hits, best first."""
    items = pipe.retrieve(question, **options)
    return [item if isinstance(item, Hit) else Hit.from_document(item) for item in items]


def _placed(hit: Hit) -> bool:
    """Return whether the hit's offsets hold in the index; a foreign retriever may not know them."""
    return hit.placed


def _span(hit: Hit) -> Span:
    """Return the hit's span; without a known position it is one that matches no evidence."""
    return Span(hit.source if _placed(hit) else f"{hit.source} ({hit.chunk_id})", hit.start, hit.end)


def _named(metric: str, budget: int | None) -> str:
    return metric if budget is None else f"{metric}@{budget}"


def _tokens(context: Context) -> int:
    return sum(estimate_tokens(hit.text) for hit in context.hits)


def _summary(
    name: str, scored: Sequence[Scored], cuts: _Cuts, copies: bool, unanswerable: int, notes: Sequence[str]
) -> Evaluation:
    names = dict.fromkeys(metric for one in scored for metric in one.values)
    sizes = [one.tokens for one in scored if one.tokens]
    p50, p95 = np.quantile([one.seconds for one in scored], [0.5, 0.95])
    return Evaluation(
        name=name,
        metrics={m: estimate([one.values[m] for one in scored if m in one.values]) for m in names},
        questions=tuple(scored),
        tokens=tuple(np.mean(sizes, axis=0).tolist()) if sizes else (),
        budgets=cuts.budgets, unit=cuts.unit, k=cuts.k, copies=copies, unanswerable=unanswerable,
        seconds={"p50": float(p50), "p95": float(p95)}, notes=tuple(notes),
    )  # fmt: skip


def _combined(index: Any, where: Any, question: Question) -> Any:
    """Combine the caller's filter with the question's."""
    try:
        return index.both(where, question.where)
    except RagError as error:
        raise type(error)(f"question {question.id!r}: {error}") from None


def _unreachable(index: Any, questions: Iterable[Question]) -> list[str]:
    """Return notes on evidence that no pipeline can reach: absent sources, spans past a document's end."""
    spans = list(dict.fromkeys(span for question in questions for span in question.evidence))
    gold = dict.fromkeys(source for question in questions for source in question.gold)
    held = {record.source for record in index.sources if record.chunks}
    ends: dict[str, int] = {}
    for hit in index.scan(column("source").isin(sorted({span.source for span in spans}))) if spans else ():
        ends[hit.source] = max(ends.get(hit.source, 0), hit.end)
    notes = []
    absent = [source for source in dict.fromkeys([*(s.source for s in spans), *gold]) if source not in held]
    if absent:
        guess = near_miss(absent[0], held) if len(held) < 2000 else ""
        hint = f"; {guess}" if guess.startswith("did") else ""
        notes.append(
            f"{len(absent)} sources of the golden set are not in the index, so nothing can find them, "
            f"e.g. {absent[0]}{hint}"
        )
    beyond = [span for span in spans if span.end > ends.get(span.source, span.end)]
    if beyond:
        notes.append(
            f"{len(beyond)} evidence spans end after the last chunk of their document, e.g. {beyond[0]}: "
            f"that chunk ends at {ends[beyond[0].source]}; do the offsets count the loaded text?"
        )
    return notes
