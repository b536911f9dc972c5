"""``[remote]`` of rag.toml: indexes on object stores, and the local cache of those that are opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from rag.core.errors import ConfigError
from rag.index.remote.cache_folder import default_folder
from rag.usage.settings import Settings, checked

#: The environment's names of the cache's folder and size.
FOLDER, MOST_MB = "RAG_CACHE_DIR", "RAG_CACHE_MB"
_MOST_MB = 10_000.0


class RemoteSettings(Settings):
    """How indexes on object stores are reached.

    Attributes
    ----------
    cache : str
        The folder of local copies; by default that of RAG_CACHE_DIR, else ``rag`` in the user's cache folder.
    cache_mb : float
        Most megabytes (of 1,000,000 bytes) of all copies; by default RAG_CACHE_MB, else 10,000.
    region, endpoint_url : str
        Of S3; by default the environment's.
    kms_key : str
        The id or ARN of the KMS key that encrypts what is pushed; by default the bucket's own setting.
    timeout_s : float
        Most seconds between two reads of a reply.
    """

    cache: str = Field("", strict=True, description="a folder")
    cache_mb: float | None = Field(None, gt=0, allow_inf_nan=False, description="a number of megabytes")
    region: str = Field("", strict=True, description="a string")
    endpoint_url: str = Field("", strict=True, pattern="^(https?://.+)?$", description="a URL")
    kms_key: str = Field("", strict=True, description="a string")
    timeout_s: float = Field(60.0, gt=0, le=3600, description="a number of seconds of at most 3600")

    def folder(self) -> Path:
        """Return the folder of local copies; it may not be there yet."""
        given = self.cache or os.environ.get(FOLDER, "")
        return Path(given).expanduser() if given else default_folder()

    def most_bytes(self) -> int:
        """Return the most bytes of all local copies.

        Raises
        ------
        ConfigError
            RAG_CACHE_MB is no number.
        """
        if self.cache_mb is not None:
            return int(self.cache_mb * 1e6)
        text = os.environ.get(MOST_MB, "")
        try:
            value = float(text) if text else _MOST_MB
        except ValueError:
            value = 0.0
        if not 0 < value < 1e9:
            raise ConfigError(f"{MOST_MB} is {text!r}: write a number of megabytes")
        return int(value * 1e6)


def settings(value: Any) -> RemoteSettings:
    """Check ``[remote]``.

    Raises
    ------
    ConfigError
        A name is unknown, or a value is refused.

    Examples
    --------
    >>> settings({"cache": "/var/cache/rag", "cache_mb": 2000}).most_bytes()
    2000000000
    """
    if isinstance(value, RemoteSettings):
        return value
    if value is not None and not isinstance(value, Mapping):
        raise ConfigError(f"[remote] is a table of settings, not {value!r}")
    return checked(RemoteSettings, value or {}, "[remote]")
