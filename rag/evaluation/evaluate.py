"""A pipeline measured on a golden set: for each question, the context at each budget."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from rag.core.errors import RagError, UsageError, near_miss
from rag.core.passages import Context, Hit
from rag.evaluation import corpus, metrics
from rag.evaluation.golden_set import Question, Questions, Span, read
from rag.evaluation.statistics import Estimate, estimate
from rag.index.filters.where import field as column
from rag.usage.tokens import estimate_tokens

BUDGETS = (1000, 2000, 4000, 8000)


@dataclass(frozen=True, slots=True)
class Scored:
    """A question with what was measured of it.

    Attributes
    ----------
    where : str or None
        The filter that was applied.
    values : mapping of str to float
        By metric; see `Evaluation.metrics`.
    tokens : tuple of int
        Estimated tokens of the context at each budget.
    seconds : float
        Of the slowest of its contexts, and of the ranking; the question's vector is made once.
    sources : int
        Documents that the retriever's chunks are of; 0 where none are asked for.
    lost : tuple of str
        Evidence (``source:start-end``) of which nothing is in the largest context, and gold sources
        that are not among the first k: what ``rag explain --expect`` takes.
    unplaced : int
        Passages of a context that the retriever did not find in the index: they count as context,
        and are no evidence.
    """

    question: Question
    where: str | None
    values: Mapping[str, float]
    tokens: tuple[int, ...]
    seconds: float
    sources: int
    lost: tuple[str, ...]
    unplaced: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as ``rag eval --output`` writes them."""
        return {
            "id": self.question.id, "question": self.question.question, "where": self.where,
            "values": dict(self.values), "tokens": list(self.tokens), "seconds": self.seconds,
            "lost": list(self.lost),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a pipeline reaches on a golden set.

    Attributes
    ----------
    name : str
        Of what was measured; by default the index's path.
    metrics : mapping of str to Estimate
        For questions with evidence ``"recall@B"``, ``"precision@B"`` and ``"iou@B"`` at each budget
        B, and ``"recall"``, its mean over the budgets (see `rag.evaluation.metrics.overlap`); for
        questions with gold documents ``"ndcg@k"``, ``"source_recall@k"`` and ``"mrr@k"`` (`ranking`).
        All in [0, 1].
    questions : tuple of Scored
        Those that can be answered, in the order of the golden set.
    tokens : tuple of float
        Mean of the contexts' estimated tokens at each budget.
    budgets : tuple of int
        In `unit`; empty where the trimmer's own budget was used.
    k : int
        Documents of a ranking that count.
    copies : bool
        Whether a verbatim copy of evidence counted as evidence.
    unanswerable : int
        Questions without evidence and gold, left out.
    seconds : mapping of str to float
        Of a question: ``"p50"`` and ``"p95"``.
    notes : tuple of str
        What bounds the figures, e.g. gold sources that the index does not hold.
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
        """The metric to sort by: evidence recall, or nDCG where there is only gold."""
        return "recall" if "recall" in self.metrics else f"ndcg@{self.k}"

    def worst(self, count: int) -> list[Scored]:
        """Return the questions with the lowest values of the `headline`, worst first."""
        having = [scored for scored in self.questions if self.headline in scored.values]
        return sorted(having, key=lambda scored: scored.values[self.headline])[:count]

    def to_dict(self, *, questions: bool = True) -> dict[str, Any]:
        """Return plain values, with or without each question's."""
        each = {"questions": [scored.to_dict() for scored in self.questions]} if questions else {}
        return {
            "name": self.name, "unit": self.unit, "budgets": list(self.budgets), "k": self.k,
            "copies": self.copies, "unanswerable": self.unanswerable, "tokens": list(self.tokens),
            "metrics": {name: asdict(found) for name, found in self.metrics.items()},
            "seconds": dict(self.seconds), "notes": list(self.notes), **each,
        }  # fmt: skip

    def _repr_html_(self) -> str:
        from rag.evaluation.tables import evaluation_tables, to_html

        return "".join(map(to_html, evaluation_tables(self)))


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
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure a pipeline's retrieval and trimming on a golden set; nothing is generated.

    Parameters
    ----------
    pipe : Pipeline
    questions : str, Path, or iterable of Question or mapping
        See `rag.evaluation.golden_set`.
    budgets : sequence of int
        Contexts are cut to each; empty for the trimmer's own budget.
    unit : {"chars", "tokens"}
        Of the budgets.
    k : int
        Documents of a ranking that count; how many chunks are retrieved is the retriever's own `k`.
    copies : bool
        Let a verbatim copy of an evidence span (at least 20 characters) elsewhere in the index serve
        as well as the span. Reads all chunks' texts.
    where, mode : optional
        As in `Pipeline.context`; a question's own filter is added with "and".
    name : str, optional
        What the result is called.
    progress : callable, optional
        Told how many questions are done, of how many.

    Raises
    ------
    SourceError
        The golden set is not as it has to be.
    WhereError
        A filter does not fit the index; the message names the question.

    Examples
    --------
    >>> found = evaluate(rag.Pipeline("indexes/handbook"), "data/golden.jsonl")   # doctest: +SKIP
    >>> found.metrics["recall@4000"].mean                                         # doctest: +SKIP
    0.905
    """
    if unit not in ("chars", "tokens"):
        raise UsageError(f"unit is {unit!r}: write chars or tokens")
    if k < 1 or any(b != int(b) or b < 1 for b in budgets):
        raise UsageError(f"k is {k}, budgets are {list(budgets)}: give whole numbers of at least 1")
    asked = read(questions)
    answerable = [question for question in asked if question.answerable]
    filters = [_where(pipe.index, where, question) for question in answerable]
    notes = _unreachable(pipe.index, answerable)
    places: dict[Span, tuple[Span, ...]] = {}
    if copies:
        places, unknown = corpus.copies(pipe.index, answerable)
        if unknown:
            notes.append(f"{unknown} evidence spans are not in one piece in the index: copies not known")
    cuts = _Cuts(tuple(sorted({int(budget) for budget in budgets})), unit, k, places)
    scored = []
    for question, applied in zip(answerable, filters, strict=True):
        scored.append(_score(pipe, question, applied, mode, cuts))
        if progress is not None:
            progress(len(scored), len(answerable))
    short = sum(one.sources < k and one.values.get(f"source_recall@{k}", 1.0) < 1 for one in scored)
    if short:
        notes.append(
            f"for {short} questions the chunks retrieved are of fewer than {k} sources, and some are "
            "missed: a larger [retriever] k may find them"
        )
    if adrift := sum(one.unplaced for one in scored):
        notes.append(
            f"{adrift} passages of the retriever are not in the index as they stand: they count as no "
            "evidence; was the index built from the same documents?"
        )
    return _summary(name or str(pipe.index.path), scored, cuts, copies, len(asked) - len(scored), notes)


@dataclass(frozen=True, slots=True)
class _Cuts:
    """What is counted of a question."""

    budgets: tuple[int, ...]
    unit: str
    k: int
    copies: Mapping[Span, tuple[Span, ...]]


def _score(pipe: Any, question: Question, where: Any, mode: str | None, cuts: _Cuts) -> Scored:
    values: dict[str, float] = {}
    tokens: list[int] = []
    lost: list[str] = []
    sources: list[str] = []
    seconds, unplaced = 0.0, 0
    if question.evidence:
        for budget in cuts.budgets or (None,):
            started = time.perf_counter()
            context = pipe.context(
                question.question, where=where, mode=mode, budget=budget, unit=cuts.unit if budget else None
            )
            seconds = max(seconds, time.perf_counter() - started)
            held = [_span(hit) for hit in context.hits]
            unplaced = max(unplaced, sum(not _placed(hit) for hit in context.hits))
            found = metrics.overlap(question.evidence, held, cuts.copies)
            values |= {_named(metric, budget): value for metric, value in found._asdict().items()}
            tokens.append(_tokens(context))
        values["recall"] = float(np.mean([v for n, v in values.items() if n.startswith("recall")]))
        lost = [
            str(span) for span in metrics.merged(question.evidence)
            if not metrics.overlap([span], held, cuts.copies).recall
        ]  # fmt: skip
    if question.gold:
        started = time.perf_counter()
        documents = pipe.retrieve(question.question, where=where, mode=mode)
        seconds = max(seconds, time.perf_counter() - started)
        sources = list(dict.fromkeys(Hit.from_document(document).source for document in documents))
        ranked = metrics.ranking(question.gold, sources, cuts.k)
        values |= {
            f"ndcg@{cuts.k}": ranked.ndcg, f"source_recall@{cuts.k}": ranked.recall,
            f"mrr@{cuts.k}": ranked.mrr,
        }  # fmt: skip
        lost += [source for source in question.gold if source not in sources[: cuts.k]]
    applied = None if where is None else where.to_string()
    return Scored(
        question, applied, values, tuple(tokens), seconds, len(sources), tuple(lost), unplaced
    )  # fmt: skip


def _placed(hit: Hit) -> bool:
    """Tell whether a hit's offsets are those of the index; a retriever from elsewhere may say no."""
    return hit.metadata.get("placed") is not False


def _span(hit: Hit) -> Span:
    """Return where a hit stands; one without a place counts as context, and is no evidence."""
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


def _where(index: Any, given: Any, question: Question) -> Any:
    """Return the caller's filter and the question's own as one."""
    try:
        return index.both(given, question.where)
    except RagError as error:
        raise type(error)(f"question {question.id!r}: {error}") from None


def _unreachable(index: Any, questions: Iterable[Question]) -> list[str]:
    """Note what can never be found: sources that are not in the index, spans behind a text's end."""
    spans = list(dict.fromkeys(span for question in questions for span in question.evidence))
    gold = dict.fromkeys(source for question in questions for source in question.gold)
    held = {record.source for record in index.sources if record.chunks}
    ends: dict[str, int] = {}
    for hit in index.scan(column("source").isin(sorted({span.source for span in spans}))) if spans else ():
        ends[hit.source] = max(ends.get(hit.source, 0), hit.end)
    out = []
    absent = [source for source in dict.fromkeys([*(s.source for s in spans), *gold]) if source not in held]
    if absent:
        meant = near_miss(absent[0], held) if len(held) < 2000 else ""
        hint = f"; {meant}" if meant.startswith("did") else ""
        out.append(
            f"{len(absent)} sources of the golden set are not in the index and can never be found, "
            f"e.g. {absent[0]}{hint}"
        )
    beyond = [span for span in spans if span.end > ends.get(span.source, span.end)]
    if beyond:
        out.append(
            f"{len(beyond)} evidence spans end behind the last chunk of their document, e.g. {beyond[0]}: "
            f"it ends at {ends[beyond[0].source]}; were the offsets counted in the loaded text?"
        )
    return out
