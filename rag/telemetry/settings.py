"""``[telemetry]`` of rag.toml: where records of questions go, and what is in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from rag.core.errors import ConfigError
from rag.usage.settings import Settings, checked


class TelemetrySettings(Settings):
    """Where records go, and what is in them.

    Attributes
    ----------
    path : str
        A file; by default none. It rotates at `max_mb`, and `keep` older ones are kept.
    stdout : bool
        Write them to standard output, as Lambda and containers are read.
    format : {"json", "emf"}
        With ``"emf"``, records have what makes CloudWatch read metrics from them (Embedded Metric Format).
    namespace : str
        Of these metrics.
    texts : bool
        Whether a record has the question and the answer, with personal data masked.
    most_chars : int
        The most characters of each.
    otel : bool
        Trace questions with OpenTelemetry, and measure models' calls (`rag.telemetry.spans`).
    otel_endpoint : str
        The collector's URL, for applications without providers of their own; by default OpenTelemetry's.
    cloudwatch : str
        The log group of Amazon CloudWatch Logs to which records go; by default none.
    cloudwatch_region : str
        By default the environment's.
    spool : str
        The file for what could not be sent there; by default ``cloudwatch-spool.jsonl`` in the index's
        folder.
    spool_mb : float
        Its most; the oldest records are dropped above it.
    """

    path: str = Field(default="", description="the path of a file")
    stdout: bool = Field(default=False, strict=True, description="true or false")
    format: Literal["json", "emf"] = Field(default="json", description='"json" or "emf"')
    namespace: str = Field(default="rag", min_length=1, max_length=255, description="a text")
    texts: bool = Field(default=False, strict=True, description="true or false")
    most_chars: int = Field(default=2000, ge=1, description="a whole number from 1")
    otel: bool = Field(default=False, strict=True, description="true or false")
    otel_endpoint: str = Field(default="", pattern=r"^(https?://\S+)?$", description="a URL, http://…")
    cloudwatch: str = Field(
        default="", pattern=r"^[A-Za-z0-9_/.#-]{0,512}$", description="the name of a log group"
    )
    cloudwatch_region: str = Field(default="", pattern=r"^[a-z0-9-]*$", description="a region")
    spool: str = Field(default="", description="the path of a file")
    spool_mb: float = Field(default=50.0, gt=0, description="a number above 0")
    max_mb: float = Field(default=100.0, gt=0, description="a number above 0")
    keep: int = Field(default=5, ge=0, le=1000, description="a whole number from 0 to 1000")


def settings(value: Any) -> TelemetrySettings:
    """Return the settings of telemetry; True is standard output, a text the path of a file.

    Raises
    ------
    ConfigError
        A name is unknown, a value is refused, or records have nowhere to go.
    """
    if value is True:
        value = {"stdout": True}
    elif isinstance(value, str | os.PathLike):
        value = {"path": str(value)}
    if not isinstance(value, Mapping):
        raise ConfigError("telemetry is a table, a path, or true for standard output")
    made = checked(TelemetrySettings, value, "telemetry")
    if made.otel_endpoint and not made.otel:
        raise ConfigError("telemetry has otel_endpoint without otel = true: set both, or neither")
    if not made.cloudwatch and (made.spool or made.cloudwatch_region):
        name = "spool" if made.spool else "cloudwatch_region"
        raise ConfigError(f"telemetry has {name} without cloudwatch: name a log group, or leave it out")
    if not (made.path or made.stdout or made.otel or made.cloudwatch):
        raise ConfigError("telemetry has nowhere to go: set path, stdout = true, otel = true or cloudwatch")
    if made.path and Path(made.path).is_dir():
        raise ConfigError(f"telemetry's path {made.path} is a folder: name a file in it")
    return made
