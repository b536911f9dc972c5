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
        Of the local copy of one on Amazon S3; by default that of ``[remote]``, else `state`. A folder of an
        Amazon EFS file system is shared by all containers.
    state : str
        A folder that can be written to, for the ledger and what else has no path of its own where the
        index's folder cannot, or is on Amazon S3.
    open : bool
        Whether everyone who reaches the function may call it without a key or token.
    stream : bool
        Whether replies are streamed: that of the function URL's or the API's setting.
    limits : {"refuse", "container"}
        What holds for limits of callers and of the ledger that are counted in files of one container:
        the service does not start with any, or each container counts for itself.
    refresh_s : float
        Seconds between looks for a new version of the index on Amazon S3.
    name : str
        Of the function.
    memory_mb : int
        Of the function; from 1,769 on it has a whole processor (Lambda Developer Guide, "Configure Lambda
        function memory").
    timeout_s : int
        Of an invocation.
    storage_mb : int
        Of ``/tmp``.
    provisioned : int
        Containers that are kept started; 0 for none.
    url_auth : {"", "none", "iam"}
        Who may reach the function's URL: everyone, whose keys or tokens the service then asks for, or who
        signs requests (AWS Signature Version 4). By default everyone, or with `open` those who sign.
    log_days : int
        For which CloudWatch keeps the log.
    architecture : {"x86_64", "arm64"}
    """

    index: str = Field(default="", description="a folder or URL")
    folder: str = Field(default="", description="a folder")
    state: str = Field(default="/tmp/rag", description="a folder")
    open: bool = Field(default=False, description="true or false")
    stream: bool = Field(default=True, description="true or false")
    limits: Literal["refuse", "container"] = Field(default="refuse", description='"refuse" or "container"')
    refresh_s: float = Field(default=60.0, gt=0, le=86_400, description="a number of seconds up to 86,400")
    name: str = Field(default="rag", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="a name of a function")
    memory_mb: int = Field(default=1769, ge=512, le=10_240, description="a whole number from 512 to 10,240")
    timeout_s: int = Field(default=120, ge=10, le=900, description="a whole number from 10 to 900")
    storage_mb: int = Field(default=512, ge=512, le=10_240, description="a whole number from 512 to 10,240")
    provisioned: int = Field(default=0, ge=0, le=1000, description="a whole number from 0 to 1,000")
    url_auth: Literal["", "none", "iam"] = Field(default="", description='"none" or "iam"')
    log_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 180, 365, 731] = Field(
        default=30, description="1, 3, 5, 7, 14, 30, 60, 90, 180, 365 or 731"
    )
    architecture: Literal["x86_64", "arm64"] = Field(default="x86_64", description='"x86_64" or "arm64"')


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
