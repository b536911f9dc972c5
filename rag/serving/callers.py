"""Who calls the service, and what each caller may see and spend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from rag.core.errors import UsageError
from rag.index.filters.parse import WhereLike, parse
from rag.index.filters.where import Where


@dataclass(frozen=True, slots=True)
class Limits:
    """What a caller may ask for; None is no limit.

    Attributes
    ----------
    requests_per_minute : int or None
    tokens_per_day : int or None
        Input and output tokens of all models.
    usd_per_day : float or None
        US dollars.

    Raises
    ------
    UsageError
        A limit is no number from 1, or of dollars from 0: a comparison with it would let everything pass.
    """

    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    usd_per_day: float | None = None

    def __post_init__(self) -> None:
        counts = (self.requests_per_minute, self.tokens_per_day)
        usd = self.usd_per_day
        if any(each is not None and each < 1 for each in counts):
            raise UsageError("a limit of requests or tokens is a whole number from 1")
        if usd is not None and not 0 <= usd < math.inf:
            raise UsageError(f"a limit of dollars is a number from 0, not {usd}")


#: Of a caller that may ask for anything.
NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes
    ----------
    name : str
        For records and limits: the key's id, or the token's subject. Never a secret.
    tenant : str
        Whose answers the response cache, conversations and receipts keep apart; by default the name.
    where : Where or None
        The filter that every query of the caller has besides its own; None lets it see everything.
    limits : Limits
    """

    name: str
    tenant: str = ""
    where: Where | None = None
    limits: Limits = NO_LIMITS

    def narrowed(self, where: WhereLike | None = None) -> Where | None:
        """Return the caller's filter and one of a request together: never more than the caller may see.

        Raises
        ------
        WhereError
            The request's filter cannot be read.
        """
        asked = None if where is None else parse(where)
        if self.where is None or asked is None:
            return self.where if asked is None else asked
        return self.where & asked


class Authenticator(Protocol):
    """Tells who calls."""

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Return who sent a request with these headers (names in lower case).

        Raises
        ------
        AuthError
            The credentials are missing, unknown, expired or revoked; its text says no more than a caller
            may know.
        """
