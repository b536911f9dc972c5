"""The reports of measured contexts, and of a gate."""

from __future__ import annotations

import shlex

from rag.core.table import Table
from rag.evaluation.differences import Comparison
from rag.evaluation.evaluate import Evaluation, Scored
from rag.evaluation.gate import Gate, Lost
from rag.evaluation.gate_report import explain_command
from rag.evaluation.reports import page

#: Most questions that a report has; the worst come first.
MOST = 500


def report(
    result: Evaluation, comparison: Comparison | None = None, *, index: str = "", most: int = MOST
) -> str:
    """Return a report of contexts as HTML.

    Parameters
    ----------
    result : Evaluation
    comparison : Comparison, optional
        With another index or other settings.
    index : str
        Its path, for the commands that explain what was lost; by default the evaluation's name.
    most : int
        The most questions that are shown.
    """
    index = index or result.name
    tables = [*result.tables(), *([] if comparison is None else [comparison.table()])]
    body = "".join(map(page.table, tables)) + page.paragraphs(result.notes, "warn")
    rows = result.worst(most)
    kinds = {id(each): ["whole"] if each.values[result.headline] == 1 else ["lost"] for each in rows}
    counts = {
        "": len(rows), "lost": sum(kinds[id(each)] == ["lost"] for each in rows),
        "whole": sum(kinds[id(each)] == ["whole"] for each in rows),
    }  # fmt: skip
    buttons, rules = page.filters({"": "all", "lost": "something lost", "whole": "nothing lost"}, counts)
    body += f"<h2>Questions, the worst by {page.shown(result.headline)} first</h2>" + buttons
    for each in rows:
        value = each.values[result.headline]
        body += page.question(
            f"{value:.2f}", value == 1, each.question.id, each.question.question, _details(each, index),
            kinds[id(each)],
        )  # fmt: skip
    return page.page(f"Contexts of {result.name}", f"{len(result.questions)} questions", body, rules)


def _details(each: Scored, index: str) -> str:
    values = [(name, f"{value:.3f}") for name, value in each.values.items()]
    body = page.table(Table("measured", ("metric", "value"), values))
    if each.where:
        body += f"<h3>Filter</h3><p><code>{page.shown(each.where)}</code></p>"
    if each.question.evidence:
        spans = [f"{span.source}:{span.start}-{span.end}" for span in each.question.evidence]
        body += "<h3>Evidence</h3>" + page.paragraphs(spans)
    where = ["--where", each.where] if each.where else []
    commands = [
        shlex.join(["rag", "explain", index, each.question.question, "--expect", place, *where])
        for place in each.lost[:3]
    ]
    if commands:
        body += "<h3>Where evidence was lost</h3>"
        body += "".join(f"<p><code>{page.shown(line)}</code></p>" for line in commands)
    return body


def gate_report(result: Gate, index: str) -> str:
    """Return a report of a gate as HTML.

    Parameters
    ----------
    result : Gate
    index : str
        The index's path, for the commands that explain what was lost.
    """
    verdict = "passed" if result.passed else "not passed"
    body = f'<p class="{"good" if result.passed else "bad"}"><strong>The gate is {verdict}.</strong></p>'
    body += page.paragraphs(result.reasons, "bad") + "".join(map(page.table, result.tables()))
    body += page.paragraphs(result.notes, "warn")
    if result.flaky:
        body += page.paragraphs([f"flaky, as runs differ: {', '.join(result.flaky)}"], "warn")
    for title, rows in (("Canaries that fail", result.canaries), ("Questions that were lost", result.lost)):
        if rows:
            body += f"<h2>{title}</h2>" + "".join(_lost(each, result, index) for each in rows[:MOST])
    return page.page(f"Gate of {result.name}, version {result.version}: {verdict}", "rag gate", body)


def _lost(each: Lost, result: Gate, index: str) -> str:
    body = page.paragraphs([each.why], "bad")
    if each.where:
        body += f"<h3>Filter</h3><p><code>{page.shown(each.where)}</code></p>"
    if command := explain_command(index, result.version, each):
        body += f"<h3>Where evidence was lost</h3><p><code>{page.shown(command)}</code></p>"
    return page.question("lost", False, each.id, each.question, body, ())
