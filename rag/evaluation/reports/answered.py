"""One answer: its text with citations and doubts marked, what fails, and the passages that the model had."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from rag.core.answers import FIELD_HEAD, Answer
from rag.core.citations import Citation
from rag.core.table import Table
from rag.evaluation.answer_metrics import METRICS, digits_of
from rag.evaluation.answers import AnswerScored
from rag.evaluation.explaining import explain_command
from rag.evaluation.golden_set import Question, Span
from rag.evaluation.reports import evidence, page

#: A citation in an answer's text.
_MARK = re.compile(r"\[(\d{1,4})\??\]")
#: Most pieces of evidence of one question for which a command is shown.
_EXPLAINED = 3


@dataclass(frozen=True, slots=True)
class Sources:
    """What a report knows beside the answers.

    Attributes
    ----------
    index : str
        The index's path, for the commands that explain what was lost.
    options : tuple of str
        Further words of these commands, such as ``--config rag.toml``.
    texts : mapping of Span to str
        The words of evidence (`rag.evaluation.reports.evidence.texts_of`).
    """

    index: str
    options: tuple[str, ...] = ()
    texts: Mapping[Span, str] = field(default_factory=dict)


#: What is said of answers, in the order of a report's buttons, and how it looks.
VERDICTS = {
    "failed": "bad", "wrong": "bad", "refused": "bad", "not refused": "bad", "unsupported": "warn",
    "correct": "good",
}  # fmt: skip


def verdict(each: AnswerScored) -> str:
    """Return what is to be said of an answer: one of `VERDICTS`."""
    if each.answer is None:
        return "failed"
    if each.correct:
        return "correct" if each.values.get("supported", 1.0) == 1 else "unsupported"
    if not each.answer.answered:
        return "refused"
    return "wrong" if each.question.answerable else "not refused"


def expected(question: Question) -> str:
    """Return the gold answer, and what was asked before."""
    gold = question.expected.answer or ("" if question.answerable else "none: the right answer is to refuse")
    return page.listed("Asked before", question.expected.turns) + (
        f"<h3>Gold answer</h3>{page.paragraphs([gold])}" if gold else ""
    )


def answered(each: AnswerScored, key: str, sources: Sources, title: str = "Answer") -> str:
    """Return an answer as HTML.

    Parameters
    ----------
    each : AnswerScored
    key : str
        An id on the page, for links from marks to citations.
    sources : Sources
    title : str
    """
    return f"<h3>{page.shown(title)}</h3>" + "".join(_parts(each, key, sources))


def _parts(each: AnswerScored, key: str, sources: Sources) -> Iterator[str]:
    answer = each.answer
    if answer is None:
        yield page.paragraphs([each.error], "bad")
    else:
        yield _text(answer, key) + page.paragraphs(answer.remarks, "warn")
        yield page.listed("Doubts", answer.support_lines[1:])
    if answer is not None:
        named = {name: why for name, why in each.failing.items() if name != "supported"}  # these are doubts
        yield page.listed("Checks that fail", [f"{name}: {why}" for name, why in named.items()])
        yield _citations(answer.citations, key)
        yield evidence.evidence(each.question, answer.context.hits, sources.texts)
    if each.where:
        yield f"<h3>Filter</h3><p><code>{page.shown(each.where)}</code></p>"
    if answer is not None:
        yield evidence.passages(answer.context, each.question, answer.citations)
        lost = [] if each.correct else evidence.lost(each.question, answer.context.hits)
        yield page.commands("Where evidence was lost", [
            explain_command(sources.index, each.question.question, str(span), each.where, sources.options)
            for span in lost[:_EXPLAINED]
        ])  # fmt: skip
        yield page.paragraphs([" · ".join(_facts(each, answer))], "facts dim")


def _text(answer: Answer, key: str) -> str:
    if answer.fields:
        return page.table(Table("", FIELD_HEAD, answer.field_rows))
    doubts = () if answer.support is None else answer.support.doubts
    marks = [(one.start, one.end, page.Mark("doubt", one.why)) for one in doubts]
    known = {each.number: each for each in answer.citations}
    for found in _MARK.finditer(answer.text):
        if cited := known.get(int(found[1])):
            name = "cite bad" if cited.verdict else "cite"
            mark = page.Mark(name, cited.verdict, f"{key}-{cited.number}")
            marks.append((*found.span(), mark))
    return f'<div class="text answer">{page.highlighted(answer.text, marks)}</div>'


def _citations(citations: Collection[Citation], key: str) -> str:
    items = "".join(
        f'<li value="{each.number}" id="{key}-{each.number}"><q>{page.shown(each.text)}</q> '
        + (f'<span class="dim">{page.shown(each.place)}</span>' if each.verified else "")
        + (f' <strong class="bad">{page.shown(each.verdict)}</strong>' if each.verdict else "") + "</li>"
        for each in citations
    )  # fmt: skip
    return f"<h3>Citations</h3><ol>{items}</ol>" if items else ""


def _facts(each: AnswerScored, answer: Answer) -> list[str]:
    values = [
        f"{name.replace('_', ' ')} {value:.{min(digits_of(METRICS.get(name, ''), value), 2)}f}"
        for name, value in each.values.items() if name not in ("usd", "tokens", "seconds")
    ]  # fmt: skip
    seconds = [f"{each.values['seconds']:.2f} s"] if "seconds" in each.values else []
    return [*values, answer.generator, f"prompt {answer.prompt}", answer.spent, *seconds]
