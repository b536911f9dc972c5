"""Guardrails of Amazon Bedrock: the setting as Converse takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rag.core.errors import ConfigError, near_miss

#: Patterns of a guardrail's identifier and version, from botocore 1.44.5's service model.
_IDENTIFIER = re.compile(r"[a-z0-9]+|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+")
_VERSION = re.compile(r"[1-9][0-9]{0,7}|DRAFT")
#: Members of ConverseStream's guardrailConfig. The first two are required; Converse lacks the last.
_SETTINGS = ("guardrailIdentifier", "guardrailVersion", "trace", "streamProcessingMode")


def guardrail_config(guardrail: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return Converse's ``guardrailConfig``.

    Parameters
    ----------
    guardrail : str or mapping
        ``"identifier:version"`` (or an ARN and version), or the configuration itself. The trace is
        enabled unless the mapping disables it: without a trace, a masked answer cannot be distinguished
        from a blocked one.

    Raises
    ------
    ConfigError
        The identifier or version is invalid, or a setting is unknown.

    Examples
    --------
    >>> guardrail_config("gr1a2b3c:2")["guardrailVersion"]
    '2'
    """
    if not isinstance(guardrail, str):
        for name in guardrail:
            if name not in _SETTINGS:
                raise ConfigError(f"a guardrail has no setting {name!r}: {near_miss(name, _SETTINGS)}")
        if missing := [name for name in _SETTINGS[:2] if name not in guardrail]:
            raise ConfigError(f"the guardrail has no {missing[0]}: add it")
        return {"trace": "enabled", **guardrail}
    identifier, _, version = guardrail.rpartition(":")
    if not _IDENTIFIER.fullmatch(identifier) or not _VERSION.fullmatch(version):
        raise ConfigError(
            f"the guardrail {guardrail!r} is not identifier:version: write e.g. 'gr1a2b3c:2', or "
            "'gr1a2b3c:DRAFT'"
        )
    return {"guardrailIdentifier": identifier, "guardrailVersion": version, "trace": "enabled"}


def not_streamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``guardrailConfig`` without the setting that only ConverseStream has."""
    return {name: value for name, value in settings.items() if name != _SETTINGS[-1]}
