"""What the map's page may ask; every message is checked, and names chunks by their positions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from rag.core.errors import UsageError


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Hello(_Message):
    """A view was opened: it needs the points."""

    do: Literal["hello"]


class Ask(_Message):
    """Show a question and its hits."""

    do: Literal["ask"]
    question: str = Field(max_length=4_000)


class Point(_Message):
    """Say what stands at a place."""

    do: Literal["point"]
    at: int = Field(ge=0)


class Select(_Message):
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
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or "the message"
        raise UsageError(f"{name}: {first['msg']}") from None
    if isinstance(message, Select) and len(message.lasso) % 2:
        raise UsageError("lasso: it has an x without a y")
    return message
