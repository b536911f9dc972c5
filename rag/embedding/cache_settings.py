"""``[cache]`` of rag.toml: where the embedding cache is, and how large it may become."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from rag.core.errors import ConfigError
from rag.usage.settings import Settings, checked

#: The file's name in an index's folder.
NAME = "cache.sqlite"


class CacheSettings(Settings):
    """``[cache]``; without a path every index has a cache in its folder.

    Attributes
    ----------
    responses : Any
        ``[cache.responses]``, the settings of another cache, which `rag.config.settings` checks.
    """

    path: Path | None = Field(None, description="a string")
    max_mb: float = Field(
        8000.0, strict=True, gt=0, allow_inf_nan=False, description="a number of megabytes above 0"
    )

    responses: Any = None

    @property
    def max_bytes(self) -> int:
        """The size that a build prunes the cache to."""
        return int(self.max_mb * 1e6)

    def file(self, folder: Path) -> Path:
        """Return the cache's file for the index in a folder."""
        return self.path or folder / NAME


def settings(value: Any) -> CacheSettings:
    """Check ``[cache]``.

    Parameters
    ----------
    value : mapping, str, Path, CacheSettings or None
        Settings as in `CacheSettings`, or the path alone.

    Raises
    ------
    ConfigError
        A name is unknown, or a value is refused.
    """
    if isinstance(value, CacheSettings):
        return value
    if value is not None and not isinstance(value, str | Path | Mapping):
        raise ConfigError(f"the cache is a table of settings, or the path of a file, not {value!r}")
    table = value if isinstance(value, Mapping) else {} if value is None else {"path": value}
    return checked(CacheSettings, table, "the cache")
