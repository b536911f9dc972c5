"""Golden sets: questions with the passages or documents that answer them, and with what an answer must say.

A line of the file is ``{"id", "question", "where"?, "evidence"?, "gold"?}``: `evidence` is a list of
``{"source", "start", "end"}`` (character offsets into the loaded text, end exclusive); `gold` is a
list of sources, or ``{source: grade}``. What an answer must say stands in the keys of
`rag.evaluation.expected.Expected`. Evidence may keep its text, ``"quote"``, by which
`rag.evaluation.golden_check` notices that a document has changed. Other keys are ignored. A question with
neither evidence nor gold nor answer is one that the documents do not answer. `json_schema` describes a line.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rag.core.errors import ConfigError, SourceError, UsageError
from rag.core.json_lines import numbered_lines
from rag.evaluation.expected import Expected
from rag.usage.settings import checked

_EXPECTED = {field.alias or name: name for name, field in Expected.model_fields.items()}
_KEYS = ("id", "question", "where", "evidence", "gold", "accepted_by", "accepted_at", *_EXPECTED)
_LINE = '{"id": …, "question": "…"}'
_SPAN = '{"source": "…", "start": 0, "end": 80}'


class Span(NamedTuple):
    """A piece of a document: character offsets into its loaded text, end exclusive."""

    source: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.source}:{self.start}-{self.end}"


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the passages and documents that answer it.

    Attributes
    ----------
    where : str, dict, Where or None
        The question's filter.
    evidence : tuple of Span
        The passages that answer it.
    gold : mapping of str to float
        The documents that answer it and their grades, all above 0.
    expected : Expected
        What its answer must say.
    """

    id: str
    question: str
    where: Any = None
    evidence: tuple[Span, ...] = ()
    gold: Mapping[str, float] = field(default_factory=dict)
    expected: Expected = field(default_factory=Expected)

    @property
    def located(self) -> bool:
        """Whether it is known where its answer stands: it has evidence or gold."""
        return bool(self.evidence or self.gold)

    @property
    def answerable(self) -> bool:
        """Whether the documents answer it."""
        if self.expected.answerable is not None:
            return self.expected.answerable
        return self.located or bool(self.expected.answer)


#: A file of questions, or questions; a mapping is a line of the file.
Questions = str | Path | Iterable[Question | Mapping[str, Any]]


def read(questions: Questions, *, tags: Sequence[str] = (), drafts: bool = False) -> tuple[Question, ...]:
    """Read a golden set.

    Parameters
    ----------
    questions : str, Path, or iterable of Question or mapping
        A JSON-lines file, or its rows.
    tags : sequence of str
        Return the questions that have one of these tags; by default all.
    drafts : bool
        Return drafts, too.

    Returns
    -------
    tuple of Question
        In the order of the file; ids are strings. Drafts are left out.

    Raises
    ------
    SourceError
        The file cannot be read, a line is invalid, an id occurs twice, or no question has evidence,
        gold or an answer. The message names the file, the line and what to write.
    UsageError
        No question has one of the tags.

    Examples
    --------
    >>> read([{"id": 1, "question": "How long?", "gold": ["leave.md"]}])[0].gold
    {'leave.md': 1.0}
    """
    name = str(questions) if isinstance(questions, str | Path) else "the questions"
    by_id: dict[str, Question] = {}
    for line in lines(questions):
        question = question_of(line)
        if question.id in by_id:
            raise SourceError(
                f"{line.place}: the id {question.id!r} occurs twice: give every question another id"
            )
        by_id[question.id] = question
    if not any(question.answerable for question in by_id.values()):
        what = "no question has evidence, gold or an answer" if by_id else "there are no questions"
        raise SourceError(f'{name}: {what}: write "evidence": [{_SPAN}] or "gold": ["SOURCE"]')
    wanted = {tags} if isinstance(tags, str) else {*tags}
    kept = tuple(
        question
        for question in by_id.values()
        if (drafts or not question.expected.draft) and (not wanted or wanted & {*question.expected.tags})
    )
    if wanted and not kept:
        raise UsageError(f"no question has one of the tags {', '.join(tags)}: see `rag golden check`")
    return kept


class Line(NamedTuple):
    """A line of a golden set.

    Attributes
    ----------
    number : int
        From 1; of questions that are no file, which of them it is.
    place : str
        For messages.
    row : Any
        What JSON says; None if it is none.
    error : str
        Why it is no JSON.
    """

    number: int
    place: str
    row: Any
    error: str = ""


def lines(questions: Questions) -> Iterator[Line]:
    """Yield the lines of a golden set that are not blank, valid or not.

    Raises
    ------
    SourceError
        The file cannot be read.
    """
    if not isinstance(questions, str | Path):
        for number, row in enumerate(questions, 1):
            yield Line(number, f"question {number}", row)
        return
    path = Path(questions)
    for number, text in numbered_lines(path):
        place = f"{path}, line {number}"
        try:
            yield Line(number, place, json.loads(text))
        except (ValueError, RecursionError) as error:
            yield Line(number, place, None, f"{place} is not JSON ({error}): write {_LINE}")


def question_of(line: Line) -> Question:
    """Return the question of a line.

    Raises
    ------
    SourceError
        The line is invalid; the message names it and what to write.
    """
    if line.error:
        raise SourceError(line.error)
    row, place = line.row, line.place
    if isinstance(row, Question):
        return row
    if not isinstance(row, Mapping):
        raise SourceError(f"{place} is not an object: write {_LINE}")
    for key in row:
        meant = difflib.get_close_matches(str(key), _KEYS, n=1, cutoff=0.85)
        if key not in _KEYS and meant:
            raise SourceError(f"{place} has a key {key!r}: did you mean {meant[0]!r}?")
    name, text = row.get("id"), row.get("question")
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        raise SourceError(f'{place} has no id: write "id": "…", a string or a whole number')
    if not isinstance(text, str) or not text.strip():
        raise SourceError(f'{place} has no question: write "question": "…"')
    where = row.get("where")
    if where is not None and isinstance(where, int | float | list):
        raise SourceError(f'{place}: where is {where!r}: write a filter, e.g. "where": "year >= 2024"')
    evidence, gold = _evidence(row.get("evidence"), place), _gold(row.get("gold"), place)
    return Question(str(name), text, where, evidence, gold, _expected(row, place))


def _expected(row: Mapping[str, Any], place: str) -> Expected:
    values = {key: row[key] for key in _EXPECTED if row.get(key) is not None}
    try:
        return checked(Expected, values, place)
    except ConfigError as error:
        raise SourceError(f"{error}: see `rag golden schema`") from None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a line of a golden set (draft 2020-12)."""
    span = {
        "type": "object", "required": ["source", "start", "end"],
        "properties": {
            "source": {"type": "string", "minLength": 1},
            "start": {"type": "integer", "minimum": 0}, "end": {"type": "integer", "minimum": 1},
            "quote": {"type": "string"},
        },
    }  # fmt: skip
    grades = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}}
    expected = Expected.model_json_schema()
    texts = {"anyOf": [{"type": "string", "minLength": 1},
                       {"type": "array", "items": {"type": "string", "minLength": 1}}]}  # fmt: skip
    either = {"must_include": {"type": "array", "items": texts}, "must_not_include": texts, "regex": texts,
              "tags": texts, "turns": texts}  # fmt: skip
    number, cites = {"type": "number"}, {"type": "string", "minLength": 1}
    shorthand = {"numbers": number, "cites": cites}
    for name, short in shorthand.items():
        items = expected["properties"][name]["items"]
        expected["properties"][name] = {"type": "array", "items": {"anyOf": [short, items]}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A question of a golden set", "type": "object", "required": ["id", "question"],
        "properties": {
            "id": {"type": ["string", "integer"]}, "question": {"type": "string", "pattern": "\\S"},
            "where": {"type": ["string", "object", "null"]},
            "evidence": {"type": "array", "items": span},
            "gold": {"anyOf": [{"type": "array", "items": {"type": "string", "minLength": 1}}, grades]},
            **expected["properties"], **either,
            "accepted_by": {"type": "string"}, "accepted_at": {"type": "string", "format": "date-time"},
        },
        "$defs": expected.get("$defs", {}),
    }  # fmt: skip


def _evidence(value: Any, place: str) -> tuple[Span, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise SourceError(f"{place}: evidence is not a list: write [{_SPAN}]")
    return tuple(_span(item, place) for item in value)


def _span(item: Any, place: str) -> Span:
    if isinstance(item, Span):
        item = item._asdict()
    source, *ends = [item.get(key) for key in Span._fields] if isinstance(item, Mapping) else [None]
    whole = len(ends) == 2 and all(isinstance(at, int) and not isinstance(at, bool) for at in ends)
    if not isinstance(source, str) or not source or not whole:
        raise SourceError(
            f"{place}: the evidence {json.dumps(item, default=str)} is not a span: write {_SPAN}"
        )
    span = Span(source, *ends)
    if not 0 <= span.start < span.end:
        raise SourceError(f"{place}: the evidence {span} is empty: write 0 <= start < end, in characters")
    return span


def _gold(value: Any, place: str) -> dict[str, float]:
    if value is None:
        return {}
    if isinstance(value, list | tuple):
        value = {source: 1 for source in value if isinstance(source, str)} if _strings(value) else None
    if not isinstance(value, Mapping) or not _strings(value):
        raise SourceError(f'{place}: gold is wrong: write ["SOURCE", …] or {{"SOURCE": 1, …}}')
    for source, grade in value.items():
        if isinstance(grade, bool) or not isinstance(grade, int | float) or not 0 <= grade < float("inf"):
            raise SourceError(f"{place}: the grade of {source} is {grade!r}: write a number, 0 or more")
    return {source: float(grade) for source, grade in value.items() if grade}


def _strings(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) and value for value in values)
