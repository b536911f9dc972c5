"""Evaluations, comparisons and sweeps as tables of words, for a terminal, a notebook and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rag.evaluation.compare import Comparison
    from rag.evaluation.evaluate import Evaluation
    from rag.evaluation.sweep import Sweep


class Table(NamedTuple):
    """A caption, the heads of the columns, and rows of as many cells."""

    caption: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def evaluation_tables(found: Evaluation) -> list[Table]:
    """Return a table of the contexts, and one of the rankings, where there are such questions."""
    out = []
    values = found.metrics
    apart = f" ({found.unanswerable} without an answer are left out)" if found.unanswerable else ""
    if "recall" in values:
        rows = []
        for budget, tokens in zip(found.budgets or (None,), found.tokens, strict=True):
            at = "" if budget is None else f"@{budget}"
            name = "own" if budget is None else str(budget)
            cells = (str(values[metric + at]) for metric in ("recall", "precision", "iou"))
            rows.append((name, *cells, f"{tokens:.0f}"))
        if len(rows) > 1:
            rows.append(("mean", str(values["recall"]), "", "", ""))
        caption = f"{found.name}: evidence of {values['recall'].count} questions{apart}"
        out.append(Table(caption, (found.unit, "recall", "precision", "IoU", "mean tokens"), rows))
    if f"ndcg@{found.k}" in values:
        names = {"ndcg": "nDCG", "source_recall": "recall", "mrr": "MRR"}
        head = tuple(f"{name}@{found.k}" for name in names.values())
        row = tuple(str(values[f"{metric}@{found.k}"]) for metric in names)
        caption = f"{found.name}: ranking of {values[f'ndcg@{found.k}'].count} questions' documents{apart}"
        out.append(Table(caption, head, [row]))
    return out


def comparison_table(found: Comparison) -> Table:
    """Return a row for each metric."""
    rows = [(name, str(each), _p(each.p), str(each.count)) for name, each in found.differences.items()]
    caption = f"{found.a} against {found.b} (above 0: {found.a} is better)"
    return Table(caption, ("metric", "difference", "p", "questions"), rows)


def sweep_table(found: Sweep) -> Table:
    """Return a row for each setting, best first."""
    metric = found.headline
    trials = found.trials
    budgets = trials[0].evaluation.budgets if metric == "recall" else ()
    rows = []
    for trial in trials:
        values = trial.evaluation.metrics
        against = trial.comparison
        change = "the first" if against is None else f"{against.differences[metric].mean:+.3f}"
        p = "" if trial.p is None else _p(trial.p)
        each = (f"{values[f'recall@{budget}'].mean:.3f}" for budget in budgets)
        rows.append((
            str(values[metric]), change, p, *each, str(trial.chunks), str(trial.embedded), trial.name,
        ))  # fmt: skip
    at = tuple(f"@{budget}" for budget in budgets)
    head = (metric, "change", "p (Holm)", *at, "chunks", "embedded", "setting")
    return Table(f"{found.questions} questions, {len(trials)} settings", head, rows)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def to_html(table: Table) -> str:
    """Return a table for a notebook, every cell escaped."""
    cell = 'style="text-align:left;padding:.2em .8em .2em 0"'
    head = "".join(f"<th {cell}>{escape(name)}</th>" for name in table.head)
    rows = "".join(
        "<tr>" + "".join(f"<td {cell}>{escape(value)}</td>" for value in row) + "</tr>" for row in table.rows
    )
    return (
        f'<table><caption style="text-align:left"><i>{escape(table.caption)}</i></caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def to_markdown(table: Table) -> str:
    """Return a table as Markdown."""
    lines = [table.head, tuple("---" for _ in table.head), *table.rows]
    body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"{table.caption}\n\n{body}\n"
