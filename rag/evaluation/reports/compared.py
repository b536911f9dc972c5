"""The report of configurations that are compared by their answers: where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag.core.table import Table
from rag.evaluation.answers import AnswerScored
from rag.evaluation.answers_compared import AnswersCompared
from rag.evaluation.golden_set import Span
from rag.evaluation.reports import page
from rag.evaluation.reports.answered import Sources, answered, expected
from rag.evaluation.reports.tags import tag_filter, tag_kinds


def report(
    result: AnswersCompared,
    *,
    index: str = "",
    options: Sequence[str] = (),
    texts: Mapping[Span, str] | None = None,
    tables: Sequence[Table] = (),
    most: int = page.MOST,
) -> str:
    """Return a report as HTML: the tables, the choice, and the questions that are answered differently well.

    Parameters
    ----------
    result : AnswersCompared
    index, options, texts
        As in `rag.evaluation.reports.answers.report`.
    tables : sequence of Table
        Further ones for the summary, such as those of pairs that were judged.
    most : int
        The most questions that are shown; the most different come first.
    """
    sources = Sources(index or result.names[0], tuple(options), texts or {})
    body = "<h2>Summary</h2>" + page.paragraphs(result.verdict())
    body += "".join(map(page.table, [*result.tables(), *tables])) + page.paragraphs(result.notes, "warn")
    different = result.disagreements()
    by_name = {each.name: {one.question.id: one for one in each.questions} for each in result.evaluations}
    rows = [
        _row({each: (by_name[each][name], value) for each, value in values.items()}, f"q{at}", sources)
        for at, (name, values) in enumerate(different[:most])
    ]
    asked = [each.question for each in result.evaluations[0].questions]
    filters = [
        page.Filter("Best", {page.kind("best", name): name for name in result.names}),
        tag_filter(asked),
    ]
    metric = result.metric.replace("_", " ")
    listed, rules = page.questions(
        f"Questions whose answers differ in {metric}", rows, filters, len(different) - len(rows)
    )
    if not rows:
        listed = page.paragraphs([f"All questions are answered equally well by {metric}."])
    subtitle = (
        f"{len(result.names)} configurations, {len(asked)} questions, {len(different)} of them different"
    )
    return page.page("Answers compared", subtitle, body + listed, rules)


def _row(scored: Mapping[str, tuple[AnswerScored, float]], key: str, sources: Sources) -> page.Question:
    question = next(iter(scored.values()))[0].question
    values = [value for _, value in scored.values()]
    parts = ""
    for number, (name, (one, value)) in enumerate(scored.items()):
        mark = page.chip(f"{value:.2f}", "good" if value == max(values) else "bad")
        parts += f'<h3 class="system">{page.shown(name)} {mark}</h3>'
        parts += answered(one, f"{key}-{number}", sources)
    best = [page.kind("best", name) for name, (_, value) in scored.items() if value == max(values)]
    return page.Question(
        f"{max(values) - min(values):.2f} apart", "warn", question.id, question.question,
        expected(question) + parts, [*best, *tag_kinds(question)],
    )  # fmt: skip
