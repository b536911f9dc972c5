"""``[cache.responses]`` of rag.toml: how long answers are kept, and whose they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from rag.core.errors import ConfigError
from rag.response_cache.store import ResponseStore
from rag.usage.settings import Settings, checked

#: What it is called in errors.
KIND = "response cache"
_HOURS = "a number of hours above 0"
_COSINE = "a cosine, above 0 and up to 1"
_SECONDS = "a number of seconds above 0"


class ResponseSettings(Settings):
    """The settings of a cache; its store has settings of its own.

    Parameters
    ----------
    ttl_hours : float
        Hours for which an answer is given again.
    tenant : str
        Whose answers they are, for questions that name no tenant.
    salt : str
        Another one makes all answers unknown: change it with code that the key cannot see.
    semantic : float, optional
        The cosine in (0, 1] from which a similar question counts as the same; by default none does.
    lease_s : float
        Seconds without a piece of the answer after which the one who asks for it is no longer waited for.
    wait_s : float
        The most seconds that a question waits for an equal one.
    """

    ttl_hours: float = Field(default=168.0, strict=True, gt=0, allow_inf_nan=False, description=_HOURS)
    tenant: str = Field(default="", description="a string")
    salt: str = Field(default="", description="a string")
    semantic: float | None = Field(default=None, strict=True, gt=0, le=1, description=_COSINE)
    lease_s: float = Field(default=60.0, strict=True, gt=0, allow_inf_nan=False, description=_SECONDS)
    wait_s: float = Field(default=120.0, strict=True, gt=0, allow_inf_nan=False, description=_SECONDS)


def split(value: Any) -> tuple[Any, ResponseSettings, dict[str, Any]]:
    """Return a store's name or object, the settings of the cache, and the arguments of the store.

    Parameters
    ----------
    value : mapping, str, Path, True or ResponseStore
        ``[cache.responses]``, the name of a store, the path of a file, True for a file in the index's
        folder, or a store.

    Raises
    ------
    ConfigError
        A value is refused.
    """
    if isinstance(value, ResponseStore):
        return value, ResponseSettings(), {}
    if value is True:
        value = {}
    if isinstance(value, str | Path):
        is_path = isinstance(value, Path) or os.sep in value or (Path(value).suffix and ":" not in value)
        value = {"path": value} if is_path else {"use": value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"the {KIND} is a table of settings, a name or the path of a file, not {value!r}")
    own = ResponseSettings.model_fields
    kept = {name: each for name, each in value.items() if name in own}
    arguments = {name: each for name, each in value.items() if name not in own}
    use = arguments.pop("use", "sqlite")
    if not isinstance(use, str | ResponseStore):
        raise ConfigError(f"the {KIND}'s use is a name or a store, not {use!r}")
    return use, checked(ResponseSettings, kept, f"the {KIND}"), arguments
