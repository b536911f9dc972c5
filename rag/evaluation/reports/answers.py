"""The report of measured answers: what is wrong, with the passages that the model had."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

from rag.core.answers import Answer
from rag.core.passages import Hit, place_of
from rag.core.table import Table
from rag.evaluation.answers import AnswerScored, AnswersEvaluation
from rag.evaluation.answers_compared import AnswersCompared
from rag.evaluation.checks import should_cite
from rag.evaluation.golden_set import Question
from rag.evaluation.reports import page

#: Most questions that a report has; the worst come first.
MOST = 500


def report(result: AnswersEvaluation, *, index: str = "", most: int = MOST) -> str:
    """Return a report as HTML.

    Parameters
    ----------
    result : AnswersEvaluation
    index : str
        Its path, for the commands that explain what was lost; by default the evaluation's name.
    most : int
        The most questions that are shown.

    Examples
    --------
    >>> (result,) = evaluate_answers(pipe, "golden.jsonl").values()                     # doctest: +SKIP
    >>> Path("report.html").write_text(report(result))                                  # doctest: +SKIP
    """
    index = index or result.name
    scored = sorted(result.questions, key=_badness)
    shown = scored[:most]
    body = page.table(result.table()) + page.paragraphs(result.notes, "warn")
    tags = result.by_tag()
    if tags:
        body += f"<details><summary>By tag</summary>{page.table(_tags(tags))}</details>"
    kinds = {id(each): _kinds(each) for each in shown}
    counts = Counter(kind for each in kinds.values() for kind in each)
    names = {"": "all", "wrong": "not correct", "doubted": "not supported", "refused": "refused",
             "failed": "failed", **{_tag(tag): tag for tag in tags}}  # fmt: skip
    kept = {kind: name for kind, name in names.items() if not kind or counts[kind]}
    buttons, rules = page.filters(kept, {**counts, "": len(shown)})
    left_out = [f"{len(scored) - len(shown)} more questions are left out"] if len(scored) > len(shown) else []
    body += "<h2>Questions, the worst first</h2>" + buttons + page.paragraphs(left_out, "dim")
    body += "".join(
        page.question(
            _verdict(each), each.correct, each.question.id, each.question.question,
            "".join(_details(each, index)), kinds[id(each)],
        )
        for each in shown
    )  # fmt: skip
    wrong = sum(not each.correct for each in result.questions)
    subtitle = f"{len(result.questions)} questions, {wrong} not correct"
    return page.page(f"Answers of {result.name}", subtitle, body, rules)


def comparison(result: AnswersCompared, *, most: int = MOST) -> str:
    """Return a report of configurations that are compared: their tables, and where they differ.

    Parameters
    ----------
    result : AnswersCompared
    most : int
        The most questions that are shown.
    """
    body = "".join(page.table(each) for each in result.tables())
    body += page.paragraphs(result.verdict()) + page.paragraphs(result.notes, "warn")
    by_name = {each.name: {one.question.id: one for one in each.questions} for each in result.evaluations}
    rows = result.disagreements()[:most]
    body += "<h2>Questions that they answer differently</h2>"
    for name, values in rows:
        parts = []
        for each, value in values.items():
            one = by_name[each][name]
            good = value == max(values.values())
            parts.append(f'<h3>{page.shown(each)}</h3><p class="{"good" if good else "bad"}">{value:.2f}</p>')
            parts.append(_said(one) + page.paragraphs(one.faults, "bad"))
        question = by_name[next(iter(values))][name].question
        gold = f"<h3>Gold answer</h3>{page.paragraphs([question.expected.answer])}"
        spread = max(values.values()) - min(values.values())
        body += page.question(
            f"{spread:.2f} apart", False, name, question.question,
            (gold if question.expected.answer else "") + "".join(parts), (),
        )  # fmt: skip
    names = " · ".join(each.name for each in result.evaluations)
    return page.page("Answers compared", names, body)


def _badness(each: AnswerScored) -> tuple[bool, float, float]:
    return each.correct, each.values.get("supported", 1.0), each.values.get("cite_recall", 1.0)


def _kinds(each: AnswerScored) -> list[str]:
    found = [] if each.correct else ["wrong"]
    if each.values.get("supported", 1.0) < 1:
        found.append("doubted")
    if each.error:
        found.append("failed")
    elif each.answer is not None and not each.answer.answered:
        found.append("refused")
    return found + [_tag(tag) for tag in each.question.expected.tags]


def _tag(tag: str) -> str:
    """Return a class for a tag, whatever its characters."""
    return f"tag-{tag.encode().hex()}"


def _tags(tags: dict[str, AnswersEvaluation]) -> Table:
    names = ("correct", "supported", "cite_recall")
    rows = [
        (tag, str(len(each.questions)), *(f"{each.metrics[name].mean:.3f}" if name in each.metrics else "-"
                                          for name in names))
        for tag, each in tags.items()
    ]  # fmt: skip
    return Table("means of the questions with each tag", ("tag", "questions", *names), rows)


def _verdict(each: AnswerScored) -> str:
    if each.error:
        return "failed"
    if each.correct:
        return "correct" if each.values.get("supported", 1.0) == 1 else "unsupported"
    refused = each.answer is not None and not each.answer.answered
    return "refused" if refused else "not correct"


def _details(each: AnswerScored, index: str) -> Iterator[str]:
    question, answer = each.question, each.answer
    if question.expected.answer or not question.answerable:
        yield f"<h3>Gold answer</h3>{page.paragraphs([question.expected.answer or 'none: it should refuse'])}"
    if question.expected.turns:
        yield f"<h3>Asked before</h3>{page.paragraphs(question.expected.turns)}"
    yield f"<h3>Answer</h3>{_said(each)}"
    if each.faults:
        yield "<h3>Checks that fail</h3><ul>" + "".join(
            f"<li>{page.shown(line)}</li>" for line in each.faults
        )
        yield "</ul>"
    if each.where:
        yield f"<h3>Filter</h3><p><code>{page.shown(each.where)}</code></p>"
    if answer is not None:
        yield _citations(answer) + _context(question, answer)
        yield f'<p class="dim">{page.shown(" · ".join(_facts(each, answer)))}</p>'
    commands = _explaining(each, index)
    if commands:
        yield "<h3>Where evidence was lost</h3>" + "".join(
            f"<p><code>{page.shown(line)}</code></p>" for line in commands
        )


def _said(each: AnswerScored) -> str:
    answer = each.answer
    if answer is None:
        return page.paragraphs([each.error], "bad")
    doubts = () if answer.support is None else answer.support.doubts
    text = page.highlighted(answer.text, [(one.start, one.end, f"doubt: {one.why}") for one in doubts])
    lines = text.replace("\n", "<br>")
    return f"<p>{lines}</p>" + page.paragraphs(answer.remarks, "warn")


def _citations(answer: Answer) -> str:
    if not answer.citations:
        return ""
    items = "".join(
        f'<li value="{each.number}"><q>{page.shown(each.text)}</q><br><span class="dim">'
        f"{page.shown(each.place if each.verified else '')}</span>"
        + (f' <span class="bad">{page.shown(each.verdict)}</span>' if each.verdict else "") + "</li>"
        for each in answer.citations
    )  # fmt: skip
    return f"<h3>Citations</h3><ol>{items}</ol>"


def _context(question: Question, answer: Answer) -> str:
    hits = answer.context.hits
    if not hits:
        return "<h3>Context</h3><p>No passage was sent.</p>"
    passages = "".join(
        f'<div class="passage"><p class="dim">{number}. {page.shown(place_of(hit))}</p>'
        f"<div>{page.highlighted(hit.text, _marks(hit, question, answer))}</div></div>"
        for number, hit in enumerate(hits, 1)
    )
    size = page.shown(answer.context.size)
    return (
        f"<details><summary>Context: {len(hits)} passages, {size}; <mark>evidence</mark> and "
        f'<mark class="quoted">quotes</mark> are marked</summary>{passages}</details>'
    )


def _marks(hit: Hit, question: Question, answer: Answer) -> list[tuple[int, int, str]]:
    """Return evidence and quotes in a passage, by their places in its text."""
    gold = [
        (each.start, each.end, "") for each in should_cite(question)
        if each.source == hit.source and each.start is not None and each.end is not None
    ]  # fmt: skip
    quotes = [
        (each.start, each.end, "quoted") for each in answer.citations
        if each.verified and each.source == hit.source
    ]  # fmt: skip
    if hit.end - hit.start != len(hit.text):  # joined from parts: offsets do not hold in its text
        return []
    return [
        (start - hit.start, end - hit.start, kind) for start, end, kind in (*gold, *quotes)
        if start < hit.end and hit.start < end
    ]  # fmt: skip


def _facts(each: AnswerScored, answer: Answer) -> Sequence[str]:
    seconds = each.values.get("seconds")
    return [
        answer.generator, f"prompt {answer.prompt}", answer.spent,
        *([f"{seconds:.2f} s"] if seconds is not None else []),
    ]  # fmt: skip


def _explaining(each: AnswerScored, index: str) -> list[str]:
    """Return a command for each piece of evidence of which nothing is in the context."""
    if each.answer is None or each.correct:
        return []
    sent = [(hit.source, hit.start, hit.end) for hit in each.answer.context.hits]
    lost = [
        f"{span.source}:{span.start}-{span.end}" for span in each.question.evidence
        if not any(name == span.source and a < span.end and span.start < b for name, a, b in sent)
    ]  # fmt: skip
    where = ["--where", each.where] if each.where else []
    return [
        shlex.join(["rag", "explain", index, each.question.question, "--expect", place, *where])
        for place in lost[:3]
    ]
