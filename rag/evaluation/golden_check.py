"""Check a golden set before anything is measured on it: contradictions, duplicates, stale evidence, leaks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rag.core.displayable import Displayable
from rag.core.errors import SourceError
from rag.core.table import Table
from rag.evaluation.golden_evidence import Corpus, evidence_findings, filter_findings
from rag.evaluation.golden_rules import Entry, Finding, contradictions
from rag.evaluation.golden_set import Line, Questions, Span, lines, question_of
from rag.evaluation.likeness import Texts

_ORDER = {"error": 0, "warning": 1}
#: Where the message of an invalid line begins to say what to do.
_ADVICE = re.compile(r": (?=write|give|see|did you mean)")


@dataclass(frozen=True, slots=True, repr=False)
class GoldenCheck(Displayable):
    """What is wrong with a golden set.

    Attributes
    ----------
    findings : tuple of Finding
        Errors first, each in the order of the lines.
    questions, unanswerable, drafts : int
        Of the golden set; those held out do not count.
    """

    findings: tuple[Finding, ...]
    questions: int
    unanswerable: int
    drafts: int
    name: str = field(default="")

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What makes measurements wrong."""
        return tuple(each for each in self.findings if each.severity == "error")

    @property
    def summary(self) -> str:
        """All in one line."""
        warnings = len(self.findings) - len(self.errors)
        counts = [
            f"{self.unanswerable} without an answer" if self.unanswerable else "",
            _count(self.drafts, "draft") if self.drafts else "",
        ]
        of = ", ".join(filter(None, counts))
        size = _count(self.questions, "question") + (f" ({of})" if of else "")
        wrong = f"{_count(len(self.errors), 'error')}, {_count(warnings, 'warning')}"
        return f"{self.name or 'the questions'}: {size}: {wrong}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name, "questions": self.questions, "unanswerable": self.unanswerable,
            "drafts": self.drafts, "errors": len(self.errors),
            "findings": [asdict(each) for each in self.findings],
        }  # fmt: skip

    def table(self) -> Table:
        """Return a table with a row for each finding."""
        rows = [
            (each.severity, each.kind, str(each.line), each.id, each.what, each.advice)
            for each in self.findings
        ]
        return Table(self.summary, ("severity", "kind", "line", "id", "what", "what to do"), rows)


def check(
    questions: Questions, index: Any = None, held_out: Questions | None = None, *, embedder: Any = None
) -> GoldenCheck:
    """Find what is wrong with a golden set; drafts are checked, too.

    Parameters
    ----------
    questions : str, Path, or iterable of Question or mapping
        A JSON-lines file, or its rows.
    index : Index, str or Path, optional
        Whose documents the evidence and the filters must fit.
    held_out : optional
        Further questions, on which nothing is chosen: checked in the same way, and for questions and
        evidence that both have.
    embedder : Embeddings, optional
        By which similar questions are found; the local model by default.

    Raises
    ------
    SourceError
        A file cannot be read. An invalid line is a finding.

    Examples
    --------
    >>> rows = [{"id": "a", "question": "How long is leave?", "answer": "28 days", "numbers": [30]}]
    >>> print(check(rows).findings[0])
    error: line 1 (a): its own answer fails numbers: it lacks 30: correct the answer or numbers
    """
    opened = _opened(index)
    own, findings = _entries(questions)
    other, more = _entries(held_out) if held_out is not None else ([], [])
    findings += more
    sources = [span.source for entry in (*own, *other) for span in entry.question.evidence]
    corpus = None if opened is None else Corpus(opened, sources)
    for entry in (*own, *other):
        findings += contradictions(entry, _evidence(entry, corpus))
        findings += filter_findings(entry, corpus)
        if corpus is not None:
            findings += evidence_findings(entry, corpus)
    texts = Texts([entry.question.question for entry in own], embedder)
    findings += _duplicates(own, texts)
    if held_out is not None:
        others = Texts([entry.question.question for entry in other], embedder)
        findings += [*_duplicates(other, others), *_leaks(own, texts, other, others)]
    findings.sort(key=lambda each: (_ORDER[each.severity], each.file != _name(questions), each.line))
    asked = [entry.question for entry in own]
    return GoldenCheck(
        tuple(findings),
        len(asked), sum(not each.answerable for each in asked), sum(each.expected.draft for each in asked),
        _name(questions),
    )  # fmt: skip


def _opened(index: Any) -> Any:
    if isinstance(index, str | Path):
        from rag.index.index import Index

        return Index.open(index)
    return index


def _name(questions: Questions | None) -> str:
    return str(questions) if isinstance(questions, str | Path) else ""


def _entries(questions: Questions) -> tuple[list[Entry], list[Finding]]:
    file, entries, findings = _name(questions), list[Entry](), list[Finding]()
    first: dict[str, int] = {}
    for line in lines(questions):
        try:
            question = question_of(line)
        except SourceError as error:
            findings.append(_invalid(file, line, str(error)))
            continue
        if question.id in first:
            what = f"the id is that of line {first[question.id]}, too"
            advice = "give every question another id"
            findings.append(Finding("error", "invalid", file, line.number, question.id, what, advice))
        first.setdefault(question.id, line.number)
        entries.append(Entry(file, line, question))
    if not entries and not findings:
        raise SourceError(f"{file or 'the questions'}: there are no questions: see `rag golden schema`")
    return entries, findings


def _invalid(file: str, line: Line, message: str) -> Finding:
    reason = message.removeprefix(line.place).lstrip(":' ").removeprefix("s ")
    parts = _ADVICE.split(reason, maxsplit=1)
    what, advice = parts if len(parts) == 2 else (reason, "")
    name = line.row.get("id", "") if isinstance(line.row, dict) else ""
    shown = str(name) if isinstance(name, str | int) else ""
    return Finding("error", "invalid", file, line.number, shown, what, advice or "correct it")


def _evidence(entry: Entry, corpus: Corpus | None) -> str | None:
    """Return the text of a question's evidence, from index or quotes; None if not all is known."""
    texts = [
        (None if corpus is None else corpus.text(span)) or quote or None
        for span, quote in zip(entry.question.evidence, entry.quotes, strict=True)
    ]
    return None if not texts or None in texts else "\n".join(text for text in texts if text)


def _duplicates(entries: Sequence[Entry], texts: Texts) -> Iterator[Finding]:
    """Yield questions that are asked twice; under two filters, or after other turns, they are two."""
    for pair in texts.pairs():
        before, entry = entries[pair.first], entries[pair.second]
        if _asked_of(before) != _asked_of(entry):
            continue
        same = f"line {before.line.number} ({before.question.id})"
        if pair.equal:
            what, advice = f"it asks what {same} asks", "remove one of them"
            yield entry.finding("error", "duplicate", what, advice)
        else:
            what = (
                f"it asks nearly what {same} asks (cosine {pair.cosine:.2f}, {pair.terms:.0%} of the terms)"
            )
            yield entry.finding("warning", "duplicate", what, "remove one of them if the answer is the same")


def _asked_of(entry: Entry) -> tuple[str, tuple[str, ...]]:
    where = entry.question.where
    return ("" if where is None else str(where), entry.question.expected.turns)


def _leaks(own: Sequence[Entry], texts: Texts, other: Sequence[Entry], others: Texts) -> Iterator[Finding]:
    advice = "move it, or its like, so that both are in the same half"
    linked = set()
    for pair in texts.pairs(others):
        before, entry = own[pair.first], other[pair.second]
        if _asked_of(before) != _asked_of(entry):
            continue
        linked.add((pair.first, pair.second))
        how = "" if pair.equal else f" nearly (cosine {pair.cosine:.2f}, {pair.terms:.0%} of the terms)"
        what = f"it asks{how} what {_place(before)} asks"
        yield entry.finding("error" if pair.equal else "warning", "leak", what, advice)
    by_source: dict[str, list[tuple[int, Span]]] = {}
    for number, entry in enumerate(own):
        for span in entry.question.evidence:
            by_source.setdefault(span.source, []).append((number, span))
    for second, entry in enumerate(other):
        for span in entry.question.evidence:
            for number, known in by_source.get(span.source, ()):
                if (number, second) not in linked and known.start < span.end and span.start < known.end:
                    linked.add((number, second))
                    what = f"its evidence {span} is evidence of {_place(own[number])}, too"
                    yield entry.finding("error", "leak", what, advice)


def _place(entry: Entry) -> str:
    file = f"{entry.file}, " if entry.file else ""
    return f"{file}line {entry.line.number} ({entry.question.id})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
