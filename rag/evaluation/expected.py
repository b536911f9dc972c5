"""What a golden set says of an answer: words, numbers, citations, a schema, criteria for a judge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from rag.usage.settings import Settings


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str | Mapping) else value


_Text = Annotated[str, Field(min_length=1)]
#: A text, or a list of texts of which one is enough.
_Either = Annotated[tuple[_Text, ...], BeforeValidator(_several), Field(min_length=1)]
_Texts = Annotated[tuple[_Text, ...], BeforeValidator(_several)]


class Number(Settings):
    """A number that the answer must state.

    Attributes
    ----------
    value : float
    unit : str
        What follows or precedes it: ``%``, a currency (``$``, ``EUR``), or a word such as ``days``; empty
        for any.
    tolerance : float
        The most that the stated number may differ, in the same unit.
    """

    value: float = Field(allow_inf_nan=False)
    unit: str = ""
    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    def __str__(self) -> str:
        """Return it as in ``28 days ± 1``."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.value:g}{unit}" + (f" ± {self.tolerance:g}" if self.tolerance else "")


def _number(value: Any) -> Any:
    return {"value": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class Cites(Settings):
    """What the answer must cite: a source, or a span of its loaded text in characters, end exclusive."""

    source: str = Field(min_length=1)
    start: int | None = Field(default=None, ge=0)
    end: int | None = None

    @model_validator(mode="after")
    def _is_a_span(self) -> Cites:
        if (self.start is None) != (self.end is None) or (self.start or 0) >= (self.end or 1):
            raise ValueError("write both start and end, 0 <= start < end, or neither")
        return self


def _cites(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class Expected(Settings):
    """The answer side of a golden question; all of it is optional.

    Attributes
    ----------
    answer : str
        A right answer, in a person's words.
    must_include : tuple of tuple of str
        Texts that the answer must contain, whatever their case and blanks; of a list in it, one is enough.
    must_not_include : tuple of str
    regex : tuple of str
        Regular expressions that must be found in the answer, whatever the case.
    numbers : tuple of Number
    answer_schema : mapping or None
        ``schema`` in the file: a JSON Schema that the answer, or its data, must fit. The question is then
        asked with it.
    cites : tuple of Cites
        By default the question's evidence, else its gold documents.
    answerable : bool or None
        False: the right answer is that the documents hold none. By default whether the question has
        evidence, gold documents or an answer.
    criteria : str
        What else makes an answer good, for a judge.
    tags : tuple of str
        To select questions by, and to report by.
    weight : float
        How much the question counts in means.
    turns : tuple of str
        The questions that were asked before it in its conversation.
    draft : bool
        Whether nobody has accepted the question yet; drafts are left out of every measurement.
    """

    answer: str = ""
    must_include: tuple[_Either, ...] = ()
    must_not_include: _Texts = ()
    regex: _Texts = ()
    numbers: tuple[Annotated[Number, BeforeValidator(_number)], ...] = ()
    answer_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    cites: tuple[Annotated[Cites, BeforeValidator(_cites)], ...] = ()
    answerable: bool | None = Field(default=None, strict=True)
    criteria: str = ""
    tags: _Texts = ()
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    turns: _Texts = ()
    draft: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _can_be_met(self) -> Expected:
        for pattern in self.regex:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"regex: {pattern!r} is no regular expression: {error}") from None
        return self
