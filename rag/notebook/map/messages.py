"""What the map's page may ask; every message is checked, and names chunks by their positions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from rag.core.errors import UsageError
from rag.notebook.messages import PageMessage, wrong


class Hello(PageMessage):
    """A view was opened: it needs the points."""

    do: Literal["hello"]


class Ask(PageMessage):
    """Show a question and its hits."""

    do: Literal["ask"]
    question: str = Field(max_length=4_000)


class Point(PageMessage):
    """Say what stands at a place."""

    do: Literal["point"]
    at: int = Field(ge=0)


class Select(PageMessage):
    """Select what is inside a polygon, the chunks of a colour, or the hits.

    Attributes
    ----------
    lasso : tuple of float
        x and y of its corners, one after the other, in the map's coordinates.
    value : int, optional
        A place of the legend.
    """

    do: Literal["select"]
    lasso: Annotated[tuple[float, ...], Field(max_length=4_000, strict=False)] = ()
    value: int | None = Field(None, ge=0, le=255)
    hits: bool = False


Message = Hello | Ask | Point | Select
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="do")])


def message_of(value: Any) -> Message:
    """Return a checked message.

    Raises
    ------
    UsageError
        It is none; the error names the first field that is wrong.
    """
    try:
        message = _MESSAGE.validate_python(value)
    except ValidationError as error:
        raise wrong(error, 1) from None
    if isinstance(message, Select) and len(message.lasso) % 2:
        raise UsageError("lasso: it has an x without a y")
    return message
