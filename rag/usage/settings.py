"""Check tables of settings with pydantic, and report the first mistake in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rag.core.errors import ConfigError, near_miss

#: An amount of US dollars: a finite number from 0; neither a string nor a truth value.
Dollars = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """A table of settings: immutable, and closed to names that it does not list."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


S = TypeVar("S", bound=Settings)


def checked(kind: type[S], values: Mapping[str, Any], what: str) -> S:
    """Check settings.

    Parameters
    ----------
    kind : type
        The pydantic model that lists the settings. A field's description completes "… is …" in the
        error, e.g. "a number of dollars from 0".
    values : mapping
    what : str
        Whose settings they are, e.g. ``"the ledger"``.

    Raises
    ------
    ConfigError
        A name is unknown (the nearest one is named), or a value is refused.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_line(kind, error, what)) from None


def _line(kind: type[Settings], error: ValidationError, what: str) -> str:
    problems = error.errors()
    unknown = [each for each in problems if each["type"] == "extra_forbidden"]
    first = (unknown or problems)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if unknown:
        return f"{what} has no setting {name!r}: {near_miss(name, kind.model_fields)}"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, Exception):
        return f"{what}'s {name}: {cause}" if name else f"{what}: {cause}"
    expected = kind.model_fields[name].description if name in kind.model_fields else None
    if first["type"] == "missing":
        return f"{what} lacks {name}: {expected}" if expected else f"{what} lacks {name}"
    return f"{what}'s {name} is {expected or first['msg']}, not {first['input']!r}"
