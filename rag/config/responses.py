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
    from rag.response_cache.cache import ResponseCache

    return value if isinstance(value, ResponseCache) else _made(value, folder)


def _made(value: Any, folder: Path) -> ResponseCache:
    from rag.config.settings import store_of_responses
    from rag.response_cache.cache import ResponseCache
    from rag.response_cache.sqlite_store import NAME

    use, kept, arguments, factory = store_of_responses(value)
    if factory is None:
        return ResponseCache(use, kept)
    try:
        store = factory(**({"path": folder / NAME, **arguments} if use == "sqlite" else arguments))
    except RagError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the response cache {use!r}: {' '.join(str(error).split())}") from None
    return ResponseCache(store, kept)
