"""Guardrails of Amazon Bedrock: which one to apply, and what it did."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

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


def outcome(metadata: Mapping[str, Any]) -> Literal["blocked", "masked"] | None:
    """Return what a guardrail did, as the trace in a reply's metadata tells.

    A guardrail masks by replacing what it found (action ``ANONYMIZED``) and blocks by replacing the
    whole reply; both end with the stop reason ``guardrail_intervened``. Without a trace, that counts
    as blocked.
    """
    actions = set(_actions(metadata.get("trace") or {}))
    if "BLOCKED" in actions:
        return "blocked"
    if "ANONYMIZED" in actions:
        return "masked"
    stopped = "guardrail_intervened" in (metadata.get("stopReason"), metadata.get("stop_reason"))
    return "blocked" if stopped else None


def _actions(value: Any) -> Iterator[str]:
    """Yield every policy's action in a trace, however deep."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "action" and isinstance(inner, str):
                yield inner
            else:
                yield from _actions(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _actions(inner)
