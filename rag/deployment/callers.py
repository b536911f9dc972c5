"""Settings and an index's keys to who may call the service."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.config import serving
from rag.serving.authenticators import authenticator, key_store, needs_callers
from rag.serving.callers import NO_LIMITS, Authenticator
from rag.serving.limits import Limiter


@dataclass(frozen=True, slots=True)
class Callers:
    """Who may call.

    Attributes
    ----------
    authenticator : Authenticator
    limiter : Limiter
    most_failures : int
        See `rag.serving.guard.Guard`.
    limited : bool
        Whether a caller has a limit.
    """

    authenticator: Authenticator
    limiter: Limiter
    most_failures: int
    limited: bool


def callers(index: Path, settings: Mapping[str, Any], state: Path | None = None) -> Callers | None:
    """Return who may call by the keys of an index and ``[serving.auth]``; None where they name nobody.

    Parameters
    ----------
    index : Path
        The index's folder.
    settings : mapping
        As `rag.config.settings.read` returns them.
    state : Path, optional
        Where it is counted what callers spend if the folder of the keys cannot be written to.

    Raises
    ------
    ConfigError
        A setting is unknown or refused.
    RagError
        The file of the keys cannot be read.
    """
    table = settings.get("serving", {})
    made = serving.settings(table).auth
    keys = key_store(made, index)
    if not needs_callers(table, keys):
        return None
    if made.use == "tokens":
        limits = (made.requests_per_minute, made.tokens_per_day, made.usd_per_day)
        limited = any(each is not None for each in limits)
    else:
        limited = any(key.limits != NO_LIMITS for key in keys.all() if key.state() == "valid")
    beside = os.access(keys.path.parent, os.W_OK)
    who, limiter = authenticator(made, index, None if beside else state)
    return Callers(who, limiter, made.failures_per_minute, limited)
