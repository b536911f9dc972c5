"""The report of a gate: limits, tests, and the questions that were lost."""

from __future__ import annotations

from rag.evaluation.gate import Gate, Lost
from rag.evaluation.gate_report import explain_command
from rag.evaluation.reports import page


def report(result: Gate, index: str) -> str:
    """Return a report as HTML.

    Parameters
    ----------
    result : Gate
    index : str
        The index's path, for the commands that explain what was lost.
    """
    verdict, look = ("passed", "good") if result.passed else ("not passed", "bad")
    body = f'<h2>Summary</h2><p class="banner {look}"><strong>The gate is {verdict}.</strong></p>'
    body += page.listed("Why", result.reasons) + "".join(map(page.table, result.tables()))
    body += page.paragraphs(result.notes, "warn")
    if result.flaky:
        body += page.paragraphs([f"flaky, as runs differ: {', '.join(result.flaky)}"], "warn")
    for title, rows in (("Canaries that fail", result.canaries), ("Questions that were lost", result.lost)):
        listed = [_question(each, result, index) for each in rows[: page.MOST]]
        body += page.questions(title, listed, left_out=len(rows) - len(listed))[0]
    subtitle = f"version {result.version}, {len(result.lost)} questions lost"
    return page.page(f"Gate of {result.name}: {verdict}", subtitle, body)


def _question(each: Lost, result: Gate, index: str) -> page.Question:
    body = page.paragraphs([each.why], "bad")
    if each.where:
        body += f"<h3>Filter</h3><p><code>{page.shown(each.where)}</code></p>"
    if each.expect:
        body += page.listed("Evidence that is lost", each.expect)
        body += page.commands("Where it was lost", [explain_command(index, result.version, each)])
    return page.Question("lost", "bad", each.id, each.question, body)
