"""What a golden question says that cannot be true together, or that no answer can meet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rag.core.errors import ConfigError
from rag.evaluation.checks import said, states
from rag.evaluation.golden_set import Line, Question

Severity = Literal["error", "warning"]
#: What an answer has that denies, in the words of the sample handbook's questions.
DENIAL = re.compile(
    r"\b(no|not|never|nobody|none|nothing|cannot|without|forbidden|prohibited)\b|n['’]t\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a line of a golden set.

    Attributes
    ----------
    severity : {"error", "warning"}
        An error makes measurements wrong; a warning is for a person to judge.
    kind : str
        ``"invalid"``, ``"contradiction"``, ``"duplicate"``, ``"evidence"``, ``"filter"`` or ``"leak"``.
    file : str
        The golden set; empty if it is no file.
    line : int
        From 1.
    id : str
        The question's; empty where the line has none.
    what : str
        What is wrong.
    advice : str
        What to do about it.
    """

    severity: Severity
    kind: str
    file: str
    line: int
    id: str
    what: str
    advice: str

    def __str__(self) -> str:
        """Return it as one line."""
        place = f"{self.file}, line {self.line}" if self.file else f"line {self.line}"
        return f"{self.severity}: {place}{f' ({self.id})' if self.id else ''}: {self.what}: {self.advice}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A question of a golden set with its line."""

    file: str
    line: Line
    question: Question

    @property
    def quotes(self) -> tuple[str, ...]:
        """The text that the line keeps for each span of evidence; empty where it keeps none."""
        row = self.line.row
        spans = row.get("evidence") if isinstance(row, Mapping) else None
        kept = [each.get("quote") if isinstance(each, Mapping) else None for each in spans or ()]
        return tuple(each if isinstance(each, str) else "" for each in kept) or ("",) * len(
            self.question.evidence
        )

    def finding(self, severity: Severity, kind: str, what: str, advice: str) -> Finding:
        """Return a finding on this line."""
        return Finding(severity, kind, self.file, self.line.number, self.question.id, what, advice)


def contradictions(entry: Entry, evidence: str | None) -> Iterator[Finding]:
    """Yield what contradicts itself in a question.

    Parameters
    ----------
    entry : Entry
    evidence : str or None
        The text of its evidence; None if not all of it is known.
    """
    for severity, what, advice in _contradictions(entry.question, evidence):
        yield entry.finding(severity, "contradiction", what, advice)


def _contradictions(question: Question, evidence: str | None) -> Iterator[tuple[Severity, str, str]]:
    expected = question.expected
    if not question.answerable:
        yield from _unanswerable(question)
        return
    if not question.located and not expected.answer and not any(_texts(question)):
        yield (
            "warning", "it is answerable, but neither evidence, gold nor an answer says how",
            'add "evidence", or set answerable to false',
        )  # fmt: skip
    if expected.answer_schema is not None:
        yield from _schema(expected.answer_schema)
    if expected.answer and expected.answer_schema is None:
        for check in said(expected, expected.answer):
            if check.value < 1:
                yield (
                    "error", f"its own answer fails {check.name}: {check.detail}",
                    f"correct the answer or {check.name}",
                )  # fmt: skip
    yield from _forbidden(question)
    absent = [each for each in expected.numbers if evidence is not None and not states(evidence, each)]
    if evidence and absent:
        yield (
            "warning", f"its evidence does not state {', '.join(map(str, absent))}",
            "correct the number, add the passage that states it, or leave it if it is calculated",
        )  # fmt: skip
    outside = sorted({span.source for span in question.evidence} - set(question.gold))
    if question.gold and outside:
        yield (
            "warning", f"it has evidence in {', '.join(outside)}, which is not among its gold documents",
            'add it to "gold"',
        )  # fmt: skip


def _unanswerable(question: Question) -> Iterator[tuple[Severity, str, str]]:
    expected = question.expected
    advice = "remove it, or set answerable to true"
    has = [name for name, value in (
        ("evidence", question.evidence), ("gold", question.gold), ("cites", expected.cites),
    ) if value]  # fmt: skip
    if has:
        yield "error", f"it is not answerable and has {' and '.join(has)}", advice
    if expected.answer and not DENIAL.search(expected.answer):
        yield "error", "it is not answerable and has an answer that does not deny", advice
    ignored = [name for name in _texts(question) if name]
    if ignored:
        yield (
            "warning", f"it is not answerable: {', '.join(ignored)} are checked of no answer", advice,
        )  # fmt: skip


def _texts(question: Question) -> Iterator[str]:
    """Yield the names of what an answer must say."""
    expected = question.expected
    for name in ("must_include", "must_not_include", "regex", "numbers"):
        if getattr(expected, name):
            yield name


def _schema(schema: Mapping[str, Any]) -> Iterator[tuple[Severity, str, str]]:
    from rag.generation.structured.schemas import target

    try:
        target(schema)
    except ConfigError as error:
        yield "error", f"its schema is no JSON Schema: {error}", "correct the schema"


def _forbidden(question: Question) -> Iterator[tuple[Severity, str, str]]:
    """Yield what must and must not be said."""
    expected = question.expected
    for forbidden in expected.must_not_include:
        flat = _flat(forbidden)
        for either in expected.must_include:
            having = [text for text in either if flat in _flat(text)]
            if having:
                every = len(having) == len(either)
                what = f"must_not_include forbids {forbidden!r}, which is in must_include's {having[0]!r}"
                yield "error" if every else "warning", what, "remove one of them"
        for number in expected.numbers:
            if states(forbidden, number):
                what = f"must_not_include forbids {forbidden!r}, which states the expected {number}"
                yield "error", what, "remove one of them"


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())
