"""Measurements: a pipeline's, those of two compared, and those of a sweep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rag.core.format import counted
from rag.core.table import Table
from rag.notebook import lines, parts
from rag.notebook.display import Display

if TYPE_CHECKING:
    from rag.evaluation.answers import AnswersEvaluation
    from rag.evaluation.differences import Comparison
    from rag.evaluation.evaluate import Evaluation, Scored
    from rag.evaluation.sweep import Sweep

_INTERVAL = re.compile(r"^(\S+) \[.*\]$")
#: Most questions and rows that are shown.
_WORST, _ROWS = 5, 40


class EvaluationDisplay(Display):
    """An evaluation's tables, and its worst questions."""

    value: Evaluation

    def html(self) -> str:
        """Return the tables with a bar for the headline, and the worst questions, folded."""
        value = self.value
        name, worst = value.headline, self._worst()
        bar = ""
        if name in value.metrics:
            mean = value.metrics[name]
            bar = f"<p>{parts.inert(name)}{parts.bar(mean.mean)}{parts.inert(mean)}</p>"
        rows = [
            (f"{each.values[name]:.2f}", each.question.id, each.question.question, ", ".join(each.lost[:10]))
            for each in worst
        ]
        folded = parts.fold("the worst questions", parts.grid("", (name, "id", "question", "lost"), rows))
        body = bar + tables_html(value.tables()) + (folded if rows else "") + parts.notes(value.notes[:10])
        return parts.card("Evaluation", value.name, body)

    def text(self) -> str:
        """Return the tables, and a line for each of the worst questions."""
        value = self.value
        name, worst = value.headline, self._worst()
        out = [*lines.wrapped(f"Evaluation of {value.name}", most=3), *tables_text(value.tables())]
        out += ["  the worst questions:"] if worst else []
        out += [
            lines.line(f"{each.values[name]:.2f} {each.question.id}: {each.question.question}", indent="    ")
            for each in worst
        ]
        return "\n".join([*out, *notes_text(value.notes)])

    def _worst(self) -> list[Scored]:
        name = self.value.headline
        return [each for each in self.value.worst(_WORST) if each.values[name] < 1]


class AnswersDisplay(Display):
    """The measured answers of a pipeline, and the worst of them."""

    value: AnswersEvaluation

    def html(self) -> str:
        """Return the table, and below it the worst answers, folded."""
        value = self.value
        low = "".join(f'<li class="item">{each._repr_html_()}</li>' for each in value.worst(_WORST))
        folded = parts.fold("the worst answers", f"<ol>{low}</ol>") if low else ""
        body = tables_html([value.table()]) + folded + parts.notes(value.notes[:10])
        return parts.card("Evaluation of answers", value.name, body)

    def text(self) -> str:
        """Return the table, and what is wrong with the worst answers."""
        value = self.value
        out = [*lines.wrapped(f"Evaluation of answers: {value.name}", most=3), *tables_text([value.table()])]
        low = value.worst(_WORST)
        out += ["  the worst answers:"] if low else []
        out += [lines.line(f"{each.question.id}: {'; '.join(each.faults)}", indent="    ") for each in low]
        return "\n".join([*out, *notes_text(value.notes)])


class ComparisonDisplay(Display):
    """How two pipelines differ."""

    value: Comparison

    def html(self) -> str:
        """Return the table as a card."""
        value = self.value
        body = tables_html([value.table()]) + parts.notes(value.notes[:10])
        return parts.card("Comparison", f"{value.a} against {value.b}", body)

    def text(self) -> str:
        """Return the table."""
        value = self.value
        return "\n".join(["Comparison", *tables_text([value.table()]), *notes_text(value.notes)])


class SweepDisplay(Display):
    """The settings of a sweep, best first."""

    value: Sweep

    def html(self) -> str:
        """Return the table as a card."""
        value = self.value
        against = parts.dim(f"change and p are against {value.first}") if len(value.trials) > 1 else ""
        body = tables_html([value.table()]) + against + parts.notes(value.notes[:10])
        return parts.card("Sweep", value.folder, body)

    def text(self) -> str:
        """Return the table."""
        value = self.value
        out = [*lines.wrapped(f"Sweep in {value.folder}", most=3), *tables_text([value.table()])]
        return "\n".join([*out, *notes_text(value.notes)])


def tables_html(tables: Iterable[Table]) -> str:
    """Return tables as HTML."""
    return "".join(
        parts.grid(table.caption, table.head, [_separated(row) for row in table.rows[:_ROWS]])
        + parts.more(len(table.rows) - _ROWS, "row", ".table(), or .to_pandas()")
        for table in tables
    )


def tables_text(tables: Iterable[Table]) -> list[str]:
    """Return tables as lines."""
    out: list[str] = []
    for table in tables:
        out += lines.wrapped(table.caption, "  ", 3)
        out += lines.grid(table.head, _narrowed(table.head, [_separated(row) for row in table.rows[:_ROWS]]))
        out += lines.more(len(table.rows) - _ROWS, "row", ".table(), or .to_pandas()")
    return out


def _separated(row: Sequence[str]) -> list[str]:
    """Return cells with separators in whole numbers."""
    return [f"{int(cell):,}" if cell.isascii() and cell.isdigit() else cell for cell in row]


def _narrowed(head: Sequence[str], rows: list[list[str]]) -> list[list[str]]:
    """Return a table that is too wide for a line with the intervals of its first figure only."""
    wide = sum(max(map(len, column)) + 2 for column in zip(head, *rows, strict=True))
    if wide <= lines.WIDTH:
        return rows
    first = next((at for at in range(len(head)) if any(_INTERVAL.match(row[at]) for row in rows)), 0)
    return [
        [cell if at <= first else _INTERVAL.sub(r"\1", cell) for at, cell in enumerate(row)] for row in rows
    ]


def notes_text(notes: Sequence[str]) -> list[str]:
    """Return notes as lines, the first few of them."""
    out = [part for note in notes[:5] for part in lines.wrapped(f"note: {note}", "  ", 3)]
    return [*out, *([f"  … {counted(len(notes) - 5, 'more note')}: .notes"] if len(notes) > 5 else [])]
