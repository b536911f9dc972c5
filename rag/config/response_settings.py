"""``[cache.responses]``: the settings of a response cache, and of its store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rag.config.registry import PARTS, factory_of, parameters
from rag.core.errors import ConfigError, near_miss
from rag.response_cache.settings import ResponseSettings
from rag.response_cache.store import ResponseStore
from rag.usage.settings import checked

KIND = "response cache"


def split(value: Any) -> tuple[Any, ResponseSettings, dict[str, Any]]:
    """Check settings; return the store's name or object, those of the cache, and the store's arguments.

    Parameters
    ----------
    value : mapping, str, Path, True or ResponseStore
        ``[cache.responses]``, the name of a store, the path of a file, True for a file in the index's
        folder, or a store.

    Raises
    ------
    ConfigError
        A name is unknown, or a value refused.
    """
    if isinstance(value, ResponseStore):
        return value, ResponseSettings(), {}
    if value is True:
        value = {}
    if isinstance(value, str | Path):
        value = {"use": value} if value in PARTS[KIND] else {"path": value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"the {KIND} is a table of settings, a name or the path of a file, not {value!r}")
    own = ResponseSettings.model_fields
    kept = {name: each for name, each in value.items() if name in own}
    arguments = {name: each for name, each in value.items() if name not in own}
    use = arguments.pop("use", "sqlite")
    if isinstance(use, str):
        factory = factory_of(KIND, use)
        named = parameters(factory) if factory is not None else None
        unknown = [] if named is None else [name for name in arguments if name not in named]
        if unknown:
            known = (*(named or ()), *own)
            raise ConfigError(
                f"the {KIND} {use!r} has no setting {unknown[0]!r}: {near_miss(unknown[0], known)}"
            )
    elif not isinstance(use, ResponseStore):
        raise ConfigError(f"the {KIND}'s use is a name or a store, not {use!r}")
    return use, checked(ResponseSettings, kept, f"the {KIND}"), arguments
