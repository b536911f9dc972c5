"""A drafted question, and the line of a golden set that it becomes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag.evaluation.golden_set import Span


@dataclass(frozen=True, slots=True)
class Draft:
    """A question that nobody has accepted yet.

    Attributes
    ----------
    question : str
    kind : str
        How it came about: ``"number"``, ``"date"``, ``"who"``, ``"definition"``, ``"table"``, ``"faq"``,
        ``"heading"``, ``"model"`` or ``"log"``.
    span : Span or None
        Its evidence; None where none is known.
    quote : str
        The text of the evidence.
    answer : str
    numbers : tuple of mapping
        Numbers that an answer must state, as a golden set writes them.
    must_include : tuple of tuple of str
        Texts that an answer must have; of each tuple one is enough.
    section : tuple of str
        The headings over the evidence.
    title : str
        The document's.
    tags : tuple of str
    further : tuple of (Span, str)
        Further evidence, each with its text.
    extra : tuple of (str, value)
        Further keys of the line.
    """

    question: str
    kind: str
    span: Span | None
    quote: str
    answer: str
    numbers: tuple[Mapping[str, Any], ...] = ()
    must_include: tuple[Sequence[str], ...] = ()
    section: tuple[str, ...] = ()
    title: str = ""
    tags: tuple[str, ...] = ()
    further: tuple[tuple[Span, str], ...] = ()
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def id(self) -> str:
        """The same for the same question on the same evidence."""
        return "draft-" + hashlib.sha256(f"{self.question}\n{self.span}".encode()).hexdigest()[:10]

    def row(self) -> dict[str, Any]:
        """Return the line of a golden set."""
        places = [] if self.span is None else [(self.span, self.quote), *self.further]
        evidence = [{**span._asdict(), "quote": quote} for span, quote in places]
        said = {
            "evidence": evidence, "answer": self.answer, "numbers": list(self.numbers),
            "must_include": [each[0] if len(each) == 1 else list(each) for each in self.must_include],
        }  # fmt: skip
        return {
            "id": self.id, "question": self.question,
            **{key: value for key, value in said.items() if value},
            "tags": list(dict.fromkeys((*self.tags, self.kind))), "draft": True, **dict(self.extra),
        }  # fmt: skip
