"""``[deploy]`` of ``rag.toml``: how an index is served from AWS Lambda and containers (`rag.deployment`).

::

    [deploy]
    index = "s3://my-bucket/indexes/handbook"     # or a folder: of the image, or of a file system
    stream = true
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from rag.core.errors import ConfigError
from rag.usage.settings import Settings, checked


class DeploySettings(Settings):
    """How an index is served from AWS Lambda and containers.

    Attributes
    ----------
    index : str
        The folder of the index, or its URL on Amazon S3, ``s3://bucket/prefix``; the variable ``RAG_INDEX``
        replaces it.
    folder : str
        Where the copy of one on Amazon S3 stands; by default below `state`. A folder of an Amazon EFS file
        system is shared by all containers.
    state : str
        A folder that can be written to, for the ledger and what else has no path of its own where the
        index's folder cannot.
    open : bool
        Whether everyone who reaches the function may call it without a key or token.
    stream : bool
        Whether replies are streamed: that of the function URL's or the API's setting.
    limits : {"refuse", "container"}
        What holds for limits of callers and of the ledger that are counted in files of one container:
        the service does not start with any, or each container counts for itself.
    refresh_s : float
        Seconds between looks for a new version of the index on Amazon S3.
    """

    index: str = Field(default="", description="a folder or URL")
    folder: str = Field(default="", description="a folder")
    state: str = Field(default="/tmp/rag", description="a folder")
    open: bool = Field(default=False, description="true or false")
    stream: bool = Field(default=True, description="true or false")
    limits: Literal["refuse", "container"] = Field(default="refuse", description='"refuse" or "container"')
    refresh_s: float = Field(default=60.0, gt=0, le=86_400, description="a number of seconds up to 86,400")


def settings(value: Any) -> DeploySettings:
    """Return the settings of a deployment.

    Raises
    ------
    ConfigError
        A name is unknown, or a value is refused.
    """
    if not isinstance(value, Mapping):
        raise ConfigError("[deploy] is a table")
    return checked(DeploySettings, value, "[deploy]")
