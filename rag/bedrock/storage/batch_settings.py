"""``[batch]`` of rag.toml: where and how batch jobs run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from rag.core.errors import ConfigError
from rag.usage.settings import Settings, checked

_URI = re.compile(r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](?:/[-!_*'().a-z0-9A-Z]+)*/?")
_ROLE = re.compile(r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+")


class BatchSettings(Settings):
    """Where and how batch jobs run.

    Attributes
    ----------
    s3 : str
        ``s3://bucket/prefix`` for the files of the jobs.
    role_arn : str
        The role that Bedrock assumes to read and write them.
    min_records : int
        Fewer are not sent as a job, since AWS would refuse them (a quota of the account and model).
    timeout_hours : int
        In [24, 168]: a job that has not started by then expires.
    region : str
        Bedrock's; by default the embedder's, or that of the environment.
    """

    s3: str = Field("", strict=True, description="a string")
    role_arn: str = Field("", strict=True, description="a string")
    min_records: int = Field(100, strict=True, ge=1, description="a whole number of at least 1")
    timeout_hours: int = Field(24, strict=True, ge=24, le=168, description="a whole number of 24 to 168")
    region: str = Field("", strict=True, description="a string")

    @field_validator("s3")
    @classmethod
    def _is_uri(cls, value: str) -> str:
        if value and not _URI.fullmatch(value):
            raise ValueError(f"write s3://bucket/prefix, without blanks or //, not {value!r}")
        return value

    @field_validator("role_arn")
    @classmethod
    def _is_role(cls, value: str) -> str:
        if value and not _ROLE.fullmatch(value):
            raise ValueError(f"write arn:aws:iam::ACCOUNT:role/NAME, not {value!r}")
        return value


def settings(value: Any) -> BatchSettings:
    """Check ``[batch]``.

    Parameters
    ----------
    value : mapping, str, BatchSettings or None
        Settings as in `BatchSettings`, or `s3` alone; None values count as missing.

    Raises
    ------
    ConfigError
        A name is unknown, or a value is refused.

    Examples
    --------
    >>> settings({"s3": "s3://documents/batch", "min_records": 1000}).min_records
    1000
    """
    if isinstance(value, BatchSettings):
        return value
    if value is not None and not isinstance(value, str | Mapping):
        raise ConfigError(f"batch is a table of settings, or s3://bucket/prefix, not {value!r}")
    table = value if isinstance(value, Mapping) else {"s3": value}
    values = {name: each for name, each in table.items() if each is not None}
    return checked(BatchSettings, values, "the batch")


def required(batch: BatchSettings) -> BatchSettings:
    """Return the settings if they name bucket and role.

    Raises
    ------
    ConfigError
        One is missing; says which permissions the role needs.
    """
    if not batch.s3:
        raise ConfigError(
            "a batch job reads and writes files on S3: give --batch s3://bucket/prefix, or s3 in [batch] "
            "of rag.toml"
        )
    if not batch.role_arn:
        bucket, _, prefix = batch.s3.removeprefix("s3://").rstrip("/").partition("/")
        arn = f"arn:aws:s3:::{bucket}"
        raise ConfigError(
            "a batch job needs a role that Bedrock assumes: give --role-arn arn:aws:iam::ACCOUNT:role/NAME, "
            "or role_arn in [batch] of rag.toml; the role must trust bedrock.amazonaws.com (sts:AssumeRole) "
            "and be allowed s3:GetObject and s3:PutObject on "
            f"{arn}/{prefix and prefix + '/'}* and s3:ListBucket on {arn}; you need iam:PassRole on it"
        )
    return batch
