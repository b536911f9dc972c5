"""Guardrails of Amazon Bedrock: which one to apply, and what it did."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rag.core.errors import ConfigError, near_miss

#: The service model's patterns of a guardrail's identifier and version (botocore 1.44.5).
_IDENTIFIER = re.compile(r"[a-z0-9]+|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:guardrail/[a-z0-9]+")
_VERSION = re.compile(r"[1-9][0-9]{0,7}|DRAFT")
#: Members of ConverseStream's guardrailConfig; the first two are needed, Converse lacks the last.
_SETTINGS = ("guardrailIdentifier", "guardrailVersion", "trace", "streamProcessingMode")


def guardrail_config(guardrail: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return Converse's ``guardrailConfig``.

    Parameters
    ----------
    guardrail : str or mapping
        ``"identifier:version"`` (or an ARN and version), or the configuration itself. The trace is
        asked for unless the mapping says otherwise: without it, blocked and masked answers cannot be
        told apart.

    Raises
    ------
    ConfigError
        The identifier or the version is not one, or there is no such setting.

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
            raise ConfigError(f"the guardrail has no {missing[0]}: name it")
        return {"trace": "enabled", **guardrail}
    identifier, _, version = guardrail.rpartition(":")
    if not _IDENTIFIER.fullmatch(identifier) or not _VERSION.fullmatch(version):
        raise ConfigError(
            f"the guardrail {guardrail!r} is not identifier:version: write e.g. 'gr1a2b3c:2', or "
            "'gr1a2b3c:DRAFT'"
        )
    return {"guardrailIdentifier": identifier, "guardrailVersion": version, "trace": "enabled"}


def not_streamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ``guardrailConfig`` without what only a streamed reply can have."""
    return {name: value for name, value in settings.items() if name != _SETTINGS[-1]}
