"""The report of measured answers: what is wrong, the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag.core.table import Table
from rag.evaluation.answer_metrics import HARD
from rag.evaluation.answers import AnswerScored, AnswersEvaluation
from rag.evaluation.differences import Comparison
from rag.evaluation.golden_set import Span
from rag.evaluation.reports import page
from rag.evaluation.reports.answered import VERDICTS, Sources, answered, expected, verdict
from rag.evaluation.reports.tags import tag_filter, tag_kinds


def report(
    result: AnswersEvaluation,
    *,
    other: AnswersEvaluation | None = None,
    comparison: Comparison | None = None,
    index: str = "",
    options: Sequence[str] = (),
    texts: Mapping[Span, str] | None = None,
    tables: Sequence[Table] = (),
    most: int = page.MOST,
) -> str:
    """Return a report as HTML.

    Parameters
    ----------
    result : AnswersEvaluation
    other : AnswersEvaluation, optional
        Another system's answers to the same questions, such as a baseline's; shown beside them.
    comparison : Comparison, optional
        Of both (`rag.evaluation.compare_answers.against`).
    index : str
        Its path, for the commands that explain what was lost; by default the evaluation's name.
    options : sequence of str
        Further words of these commands, such as ``--config rag.toml``.
    texts : mapping of Span to str, optional
        The words of evidence, from `rag.evaluation.reports.evidence.texts_of`.
    tables : sequence of Table
        Further ones for the summary, such as those of pairs that were judged.
    most : int
        The most questions that are shown.

    Examples
    --------
    >>> (result,) = evaluate_answers(pipe, "golden.jsonl").values()                     # doctest: +SKIP
    >>> Path("report.html").write_text(report(result))                                  # doctest: +SKIP
    """
    sources = Sources(index or result.name, tuple(options), texts or {})
    scored = sorted(result.questions, key=badness)[:most]
    theirs = {} if other is None else {each.question.id: each for each in other.questions}
    rows = [
        page.Question(
            verdict(each), VERDICTS[verdict(each)], each.question.id, each.question.question,
            expected(each.question) + answered(each, f"q{at}", sources)
            + _beside(theirs.get(each.question.id), f"o{at}", other, sources),
            [*_kinds(each), *_change(each, theirs.get(each.question.id))],
        )
        for at, each in enumerate(scored)
    ]  # fmt: skip
    beside = [] if other is None else [other.table()]
    beside += [] if comparison is None else [comparison.table()]
    body = "<h2>Summary</h2>" + "".join(map(page.table, [result.table(), *beside, *tables]))
    body += page.paragraphs(result.notes, "warn")
    tags = result.by_tag()
    if tags:
        body += f"<details><summary>By tag</summary>{page.table(_tags(tags))}</details>"
    checks = sorted({name for each in scored for name in each.failing})
    filters = [
        page.Filter("Verdict", {page.kind("is", name): name for name in VERDICTS}),
        page.Filter("Beside the other", {"better": "better", "worse": "worse"}),
        page.Filter("Failed check", {page.kind("check", name): name.replace("_", " ") for name in checks}),
        tag_filter(each.question for each in scored),
    ]
    listed, rules = page.questions(
        "Questions, the worst first", rows, filters, len(result.questions) - len(rows)
    )
    wrong = sum(not each.correct for each in result.questions)
    subtitle = f"{len(result.questions)} questions, {wrong} not correct"
    return page.page(f"Answers of {result.name}", subtitle, body + listed, rules)


def badness(each: AnswerScored) -> tuple[float, ...]:
    """Return what the worst answers are lowest in: right, given at all, checks passed, support, citations."""
    hard = [each.values[name] for name in HARD if name in each.values] or [1.0]
    soft = (each.values.get(name, 1.0) for name in ("supported", "cite_recall", "cite_precision"))
    return (each.correct, not each.error, sum(hard) / len(hard), *soft)


def _kinds(each: AnswerScored) -> list[str]:
    return [
        page.kind("is", verdict(each)), *(page.kind("check", name) for name in each.failing),
        *tag_kinds(each.question),
    ]  # fmt: skip


def _change(each: AnswerScored, theirs: AnswerScored | None) -> list[str]:
    if theirs is None or each.correct == theirs.correct:
        return []
    return ["better" if each.correct else "worse"]


def _beside(theirs: AnswerScored | None, key: str, other: AnswersEvaluation | None, sources: Sources) -> str:
    if theirs is None or other is None:
        return ""
    return answered(theirs, key, sources, f"Answer of {other.name}: {verdict(theirs)}")


def _tags(tags: Mapping[str, AnswersEvaluation]) -> Table:
    names = ("correct", "supported", "cite_recall")
    rows = [
        (tag, str(len(each.questions)), *(str(each.metrics[name]) if name in each.metrics else "-"
                                          for name in names))
        for tag, each in tags.items()
    ]  # fmt: skip
    head = ("tag", "questions", *(name.replace("_", " ") for name in names))
    return Table("means of the questions with each tag, and 95 % intervals", head, rows)
