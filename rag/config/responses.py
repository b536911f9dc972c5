"""Settings to a response cache; its rooms are imported only where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.core.errors import ConfigError, RagError

if TYPE_CHECKING:
    from rag.response_cache.cache import ResponseCache


def response_cache_of(settings: Mapping[str, Any], folder: Path) -> ResponseCache | None:
    """Return the cache of answers that a pipeline's settings name; None where they name none.

    Parameters
    ----------
    settings : mapping
        ``responses``, as passed to the pipeline, else ``cache.responses``, as in rag.toml.
    folder : Path
        The index's, which holds the file of a cache in SQLite that names none.

    Raises
    ------
    ConfigError
        A setting is unknown or refused, or a store cannot be made.
    """
    value = settings.get("responses")
    if value is None:
        table = settings.get("cache")
        value = table.get("responses") if isinstance(table, Mapping) else None
    if value is None or value is False:
        return None
    from rag.config.response_settings import split
    from rag.response_cache.cache import ResponseCache

    if isinstance(value, ResponseCache):
        return value
    use, kept, arguments = split(value)
    return ResponseCache(_store(use, arguments, folder), kept)


def _store(use: Any, arguments: dict[str, Any], folder: Path) -> Any:
    if not isinstance(use, str):
        return use
    from rag.config.registry import factory_of
    from rag.config.response_settings import KIND
    from rag.response_cache.sqlite_store import NAME

    factory = factory_of(KIND, use)
    assert factory is not None
    try:
        return factory(**({"path": folder / NAME, **arguments} if use == "sqlite" else arguments))
    except RagError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the {KIND} {use!r}: {' '.join(str(error).split())}") from None
