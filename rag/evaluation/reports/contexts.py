"""The report of measured contexts: the evidence that is lost, the worst question first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag.core.table import Table
from rag.evaluation.differences import Comparison
from rag.evaluation.evaluate import Evaluation, Scored
from rag.evaluation.explaining import explain_command
from rag.evaluation.golden_set import Span
from rag.evaluation.reports import evidence, page
from rag.evaluation.reports.tags import tag_filter, tag_kinds

#: Most pieces of evidence of one question for which a command is shown.
_EXPLAINED = 3


def report(
    result: Evaluation,
    *,
    other: Evaluation | None = None,
    comparison: Comparison | None = None,
    index: str = "",
    options: Sequence[str] = (),
    texts: Mapping[Span, str] | None = None,
    most: int = page.MOST,
) -> str:
    """Return a report as HTML.

    Parameters
    ----------
    result : Evaluation
    other : Evaluation, optional
        That of another index or with other settings; what is better or worse can be filtered.
    comparison : Comparison, optional
        Of both (`rag.evaluation.compare`).
    index : str
        Its path, for the commands that explain what was lost; by default the evaluation's name.
    options : sequence of str
        Further words of these commands, such as ``--budget 8000``.
    texts : mapping of Span to str, optional
        The words of evidence, from `rag.evaluation.reports.evidence.texts_of`.
    most : int
        The most questions that are shown.
    """
    name, index = result.headline, index or result.name
    theirs = {} if other is None else {each.question.id: each.values.get(name) for each in other.questions}
    rows = [
        page.Question(
            f"{each.values[name]:.2f}", _look(each.values[name]), each.question.id, each.question.question,
            _details(each, result, index, options, texts or {}, theirs.get(each.question.id)),
            [*_kinds(each, name), *_change(each.values[name], theirs.get(each.question.id))],
        )
        for each in result.worst(most)
    ]  # fmt: skip
    tables = [*result.tables(), *([] if other is None else other.tables())]
    tables += [] if comparison is None else [comparison.table()]
    notes = [*result.notes, *(() if comparison is None else comparison.notes)]
    body = "<h2>Summary</h2>" + "".join(map(page.table, tables)) + page.paragraphs(notes, "warn")
    filters = [
        page.Filter("Evidence", {"lost": "some is lost", "cut": "in part at some budget", "whole": "whole"}),
        page.Filter("Beside the other", {"better": "better", "worse": "worse"}),
        tag_filter(each.question for each in result.questions),
    ]
    measured = sum(name in each.values for each in result.questions)
    listed, rules = page.questions(
        f"Questions, the worst by {name} first", rows, filters, measured - len(rows)
    )
    seconds = f"{1000 * result.seconds['p50']:.0f} ms a question (median)"
    subtitle = f"{len(result.questions)} questions, {seconds}"
    return page.page(f"Contexts of {result.name}", subtitle, body + listed, rules)


def _look(value: float) -> str:
    return "good" if value == 1 else "warn" if value > 0 else "bad"


def _kinds(each: Scored, name: str) -> list[str]:
    state = "lost" if each.lost else "whole" if each.values[name] == 1 else "cut"
    return [state, *tag_kinds(each.question)]


def _change(ours: float, theirs: float | None) -> list[str]:
    return [] if theirs is None or ours == theirs else ["better" if ours > theirs else "worse"]


def _details(
    each: Scored,
    result: Evaluation,
    index: str,
    options: Sequence[str],
    texts: Mapping[Span, str],
    theirs: float | None,
) -> str:
    body = "".join(map(page.table, _tables(each, result)))
    if theirs is not None:
        body += page.paragraphs([f"{result.headline} is {theirs:.2f} with the other"])
    if each.where:
        body += f"<h3>Filter</h3><p><code>{page.shown(each.where)}</code></p>"
    if each.context is not None:
        body += evidence.evidence(each.question, each.context.hits, texts)
        body += evidence.passages(each.context, each.question)
    if each.question.gold:
        body += page.listed("Gold documents", [
            f"{source}: {'not ' if source in each.lost else ''}among the first {result.k}"
            for source in each.question.gold
        ])  # fmt: skip
    return body + page.commands("Where evidence was lost", [
        explain_command(index, each.question.question, place, each.where, options)
        for place in each.lost[:_EXPLAINED]
    ])  # fmt: skip


def _tables(each: Scored, result: Evaluation) -> list[Table]:
    """Return the question's values: a row for each budget, and one for its ranking."""
    tables = []
    if each.tokens:
        rows = []
        for budget, tokens in zip(result.budgets or ("",), each.tokens, strict=True):
            at = f"@{budget}" if budget else ""
            cells = (f"{each.values[f'{metric}{at}']:.2f}" for metric in ("recall", "precision", "iou"))
            rows.append((str(budget or "default"), *cells, str(tokens)))
        tables.append(Table("", (result.unit, "recall", "precision", "IoU", "tokens"), rows))
    if each.question.gold:
        names = [f"{metric}@{result.k}" for metric in ("ndcg", "source_recall", "mrr")]
        tables.append(Table("", tuple(names), [tuple(f"{each.values[name]:.2f}" for name in names)]))
    return tables
