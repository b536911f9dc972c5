"""What the messages of pages have in common: unknown parts and wrong types are refused, and named."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from rag.core.errors import UsageError


class PageMessage(BaseModel):
    """A message of a page, or a part of one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def wrong(error: ValidationError, skipped: int) -> UsageError:
    """Return an error that names the first field that is wrong.

    Parameters
    ----------
    error : ValidationError
    skipped : int
        Leading parts of the field's place that are no field, such as the tag of a union.
    """
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"][skipped:]) or "the message"
    return UsageError(f"{name}: {first['msg']}")
