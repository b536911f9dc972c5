"""What the browser may ask: every message is checked, and names no file, class or chunk.

A hit is named by its rank in the results that are shown; where a file is written is decided in Python alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from rag.notebook.messages import PageMessage, wrong

Side = Literal["A", "B"]
#: Most characters of a question, of a filter (as `rag.index.filters.parse` has it) and of a pasted passage.
QUESTION, WHERE, PASSAGE = 4_000, 20_000, 20_000


class Row(PageMessage):
    """A test of the filter's form: one field, one operator, and a value as it was typed.

    Attributes
    ----------
    op : str
        A name of `rag.notebook.explorer.filter_form.OPERATORS`.
    upto : str
        The upper end, of ``between``.
    """

    field: str = Field(max_length=1000)
    op: str = Field(max_length=20)
    value: str = Field("", max_length=2000)
    upto: str = Field("", max_length=200)


class Settings(PageMessage):
    """The settings of one side.

    Attributes
    ----------
    where : str
        The filter as a string; empty for none.
    rows : tuple of Row, optional
        The filter as the form has it, in place of `where`.
    k, budget : int, optional
        By default what the pipeline takes.
    lexical_weight : float, optional
        By default the retriever's.
    rerank : bool
        Whether the retriever's reranker is asked; without one nothing changes.
    """

    question: str = Field("", max_length=QUESTION)
    where: str = Field(default="", max_length=WHERE)
    rows: Annotated[tuple[Row, ...] | None, Field(max_length=30, strict=False)] = None
    k: int | None = Field(None, ge=1, le=1000)
    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    budget: int | None = Field(None, ge=1, le=1_000_000)
    unit: Literal["chars", "tokens"] = "chars"
    lexical_weight: float | None = Field(None, ge=0, le=10)
    rerank: bool = True


class Hello(PageMessage):
    """A view was opened: it needs the form, and results."""

    do: Literal["hello"]


class Look(PageMessage):
    """Search with these settings.

    Attributes
    ----------
    serial : int
        Ascending; replies bear it, and later messages name results by it.
    pay : bool
        Whether a search that costs money is wanted: Enter or the button was pressed.
    """

    do: Literal["look"]
    side: Side
    serial: int = Field(ge=0)
    settings: Settings
    pay: bool = False


class Drop(PageMessage):
    """A side was closed."""

    do: Literal["drop"]
    side: Literal["B"]


class _OfResults(PageMessage):
    side: Side
    serial: int = Field(ge=0)


class Answering(_OfResults):
    """Answer from these results, free of charge."""

    do: Literal["answer"]


class Ask(_OfResults):
    """Ask the paid model about these results."""

    do: Literal["ask"]


class Why(_OfResults):
    """Explain what became of a hit, or of a passage whose text was pasted."""

    do: Literal["why"]
    rank: int | None = Field(None, ge=1, le=1000)
    text: str = Field("", max_length=PASSAGE)


class Evidence(PageMessage):
    """A hit that answers the question, or words of it."""

    rank: int = Field(ge=1, le=1000)
    quote: str = Field("", max_length=PASSAGE)


class Golden(_OfResults):
    """Add the question to the golden set; without evidence that of the answer's citations."""

    do: Literal["golden"]
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=100, strict=False)] = ()


Message = Hello | Look | Drop | Answering | Ask | Why | Golden
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="do")])


def message_of(value: Any) -> Message:
    """Return a checked message.

    Raises
    ------
    UsageError
        It is none; the error names the first field that is wrong.

    Examples
    --------
    >>> message_of({"do": "hello"})
    Hello(do='hello')
    """
    try:
        return _MESSAGE.validate_python(value)
    except ValidationError as error:
        raise wrong(error, 1) from None


def settings_of(values: Any) -> Settings:
    """Return checked settings.

    Raises
    ------
    UsageError
        One is wrong, and named.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise wrong(error, 0) from None
