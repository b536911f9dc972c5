"""Draft questions from the form of documents: sentences, questions with answers, headings, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rag.core.quantities import figures
from rag.core.text import words
from rag.evaluation.drafting.draft import Draft
from rag.evaluation.drafting.units import Documents, Row, Sentence
from rag.evaluation.drafting.wording import asked, names
from rag.evaluation.golden_set import Span

_FEWEST_WORDS, _MOST_WORDS = 5, 40
_LONGEST_CELL = 60
_FAQ = re.compile(
    r"^(?:Q\s?[:.]\s*|Question\s?\d*\s?[:.]\s*)?(?P<question>[A-Z][^?\n]{12,160}\?)(?P<rest>.*)$", re.DOTALL
)
#: How a whole question begins: "A deploy in the last hours?" can be understood on its page alone.
_ASKS = re.compile(
    r"(?:how|what|when|where|which|who|whom|whose|why|can|could|may|must|should|shall|will|would|do|does|did|is|"
    r"are|was|were|has|have|had|am|(?:in|for|to|by|from|at|on) (?:what|which|whom|how|when))\b",
    re.IGNORECASE,
)
_INLINE_HEADING = 40  # a line that ends so early is a heading that a PDF's text runs into the sentence
#: A table's first column is what its rows are about, unless it only counts them or tells when.
_NO_LABEL = frozenset("# no nr number ref step time date when week day".split())
#: Heads of a first column whose rows are properties of what the other columns name; of an empty corner, too.
_PROPERTIES = frozenset("property properties topic feature parameter aspect characteristic".split())
#: Heads that say nothing but that something stands below.
_VALUES = frozenset("value values detail details what amount figure limit".split())
#: Words of heads that are no names of things.
_NO_COLUMN = frozenset(
    "does do may must can what how who whom when where why is are and example examples note notes "
    "remark remarks comment comments happened kept due meaning applies above below filled within under over "
    "by".split()
)
_QUALIFIED = re.compile(r"^\d{1,2}(?:\.\d+)*\.?\s+|^Section\s\d+\W*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Drafter:
    """Drafts from the documents of an index, without a model.

    Attributes
    ----------
    documents : Documents
    """

    documents: Documents

    def drafts(self) -> Iterator[Draft]:
        """Yield all drafts, document by document."""
        plain = {source: list(self.documents.sentences(source)) for source in self.documents.sources}
        known = names(each.plain for sentences in plain.values() for each in sentences)
        for source, sentences in plain.items():
            for sentence in sentences:
                yield from _of_sentence(sentence, known)
                yield from _of_question(sentence)
            yield from _of_headings(sentences)
            for row in self.documents.rows(source):
                yield from _of_row(row)


def _of_sentence(sentence: Sentence, known: frozenset[str]) -> Iterator[Draft]:
    text = sentence.plain
    if not _FEWEST_WORDS <= len(text.split()) <= _MOST_WORDS or "\n" in sentence.text[:_INLINE_HEADING]:
        return
    for each in asked(text, known):
        yield Draft(
            each.question, each.kind, sentence.span, sentence.text, text, each.numbers, each.must_include,
            sentence.section, sentence.title, sentence.tags,
        )  # fmt: skip


def _of_question(sentence: Sentence) -> Iterator[Draft]:
    """Take a question that the document asks and answers itself."""
    match = _FAQ.match(sentence.text)
    if match is None or match["rest"].strip() or not sentence.following or not _ASKS.match(match["question"]):
        return
    answer = sentence.following
    span = Span(sentence.span.source, sentence.following_end - len(answer), sentence.following_end)
    plain = " ".join(answer.split())
    if len(plain.split()) < _FEWEST_WORDS or answer.rstrip().endswith("?"):
        return
    question = " ".join(match["question"].split())
    yield Draft(
        question, "faq", span, answer, plain, _numbers(plain), (), sentence.section, sentence.title,
        sentence.tags,
    )  # fmt: skip


def _of_headings(sentences: list[Sentence]) -> Iterator[Draft]:
    """Ask what a document says on the subject of each section; its first sentence is the evidence."""
    seen = set()
    for sentence in sentences:
        if len(sentence.section) < 2 or sentence.section in seen:
            continue
        seen.add(sentence.section)
        text, heading = sentence.plain, _QUALIFIED.sub("", sentence.section[-1]).strip(" .:#*`")
        named = words(heading)
        if not 1 < len(named) <= 8 or len(text.split()) < 8 or not text.endswith("."):
            continue
        if heading.endswith("?") and not _ASKS.match(heading):
            continue
        title = sentence.title or sentence.section[0]
        question = heading if heading.endswith("?") else f"What does “{title}” say about {_inside(heading)}?"
        yield Draft(
            question, "heading", sentence.span, sentence.text, text, (), (), sentence.section, title,
            sentence.tags,
        )  # fmt: skip


def _of_row(row: Row) -> Iterator[Draft]:
    """Ask for a cell by its row and its column."""
    label, of = row.cells[0], row.head[0]
    if not re.search(r"[A-Za-z]{3}", label) or len(label) > _LONGEST_CELL or "," in label:
        return
    if set(words(of)) & _NO_LABEL:
        return
    for column, cell in zip(row.head[1:], row.cells[1:], strict=True):
        named = words(column)
        if not _is_value(cell) or not named or len(column) > 40 or _NO_COLUMN & {*named}:
            continue
        question = _asking_for(of, label, column)
        numbers = _numbers(cell)
        said: tuple[tuple[str, ...], ...] = () if numbers else ((cell,),)
        if not numbers and len(cell.split()) > 4:
            said = ()
        yield Draft(
            question, "table", row.span, row.text, f"{label}, {column}: {cell}", numbers, said,
            row.section, row.title, row.tags,
        )  # fmt: skip


def _asking_for(head: str, label: str, column: str) -> str:
    """Return the question for a cell: by its row's label, its column and the first column's head."""
    named = {*words(column)}
    if named <= _VALUES:
        subject, where = _inside(label), ""
    elif column.isdigit() and len(column) == 4:
        subject, where = _inside(label), f" in {column}"
    elif {*words(head)} <= _PROPERTIES:
        subject, where = _inside(label), f" of {column}"
    else:
        subject, where = _inside(column), f" for {_inside(label)}"
    several = re.search(r"[^s]s$", subject) is not None
    return f"What {'are' if several else 'is'} the {subject}{where}?"


def _is_value(cell: str) -> bool:
    return 2 <= len(cell) <= _LONGEST_CELL and cell.lower() not in (
        "n/a",
        "none",
        "yes",
        "no",
        "–",
        "-",
        "--",
    )


def _numbers(text: str) -> tuple[dict[str, Any], ...]:
    """Return the number of a text that states a single one, with its unit where that is plain."""
    stated = [each for each in figures(text) if each.needs]
    if len(stated) != 1:
        return ()
    figure = stated[0]
    plain = [
        re.fullmatch(r"(?P<before>[$€£¥]?)(?P<value>\d+(?:\.\d+)?)(?P<after>%?)", form)
        for form in figure.needs
    ]
    match = next((each for each in plain if each is not None), None)
    if match is None:
        return ()
    value = float(match["value"])
    number: dict[str, Any] = {"value": int(value) if value == int(value) else value}
    unit = match["before"] or match["after"]
    if not unit:
        after = re.match(r"\s?([a-z]{3,})\b", text[figure.end :])
        unit = after[1] if after and after[1] not in ("and", "for", "the", "per", "are", "with") else ""
    return ({**number, "unit": unit} if unit else number,)


def _inside(heading: str) -> str:
    """Return a heading as it stands inside a sentence: only its first letter changes, if it is no name."""
    first, _, rest = heading.partition(" ")
    plain = first.isalpha() and first[1:] == first[1:].lower() and len(first) > 1
    return f"{first.lower() if plain and not rest[:1].isupper() else first} {rest}".strip()
