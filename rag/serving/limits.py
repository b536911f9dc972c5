"""What a caller may ask for and spend: requests a minute, and tokens and dollars a day.

They are counted in the file of the keys, so that all processes of a machine count together. A request is
admitted while its caller has not yet reached a limit; what it spends is added when it ends. So a limit is
passed by no more than the requests that are under way. A model without a known price cannot be counted in
dollars: a caller with such a limit is then refused for the rest of the day.
"""

from __future__ import annotations

import math
import sqlite3
import time
from dataclasses import dataclass

from rag.core.errors import RagError
from rag.core.sqlite import Database
from rag.serving.callers import NO_LIMITS, Caller

_DAY_S = 86_400


class TooManyError(RagError):
    """A caller has reached a limit.

    Attributes
    ----------
    retry_after_s : int
        Seconds until there is room again.
    """

    def __init__(self, text: str, retry_after_s: float) -> None:
        super().__init__(text)
        self.retry_after_s = max(math.ceil(retry_after_s), 1)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a caller has spent on a day (UTC)."""

    tokens: int = 0
    usd: float = 0.0


class Limiter:
    """Holds the limits of callers.

    Parameters
    ----------
    database : Database
        That of a `rag.serving.keys.KeyStore`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def admit(self, caller: Caller) -> None:
        """Count a request, if the caller has room for it.

        Raises
        ------
        TooManyError
            It has not.
        """
        limits, now = caller.limits, time.time()
        if limits == NO_LIMITS:
            return
        with self._database.writing() as file:
            self._check_spent(file, caller, now)
            if limits.requests_per_minute is not None:
                self._take(file, caller.name, limits.requests_per_minute, now)

    def _check_spent(self, file: sqlite3.Connection, caller: Caller, now: float) -> None:
        limits, spent = caller.limits, _spent(file, caller.name, now)
        left_s = _DAY_S - now % _DAY_S
        if limits.tokens_per_day is not None and spent.tokens >= limits.tokens_per_day:
            raise TooManyError(f"the limit of {limits.tokens_per_day:,} tokens a day is reached", left_s)
        if limits.usd_per_day is not None and spent.usd >= limits.usd_per_day:
            raise TooManyError(f"the limit of ${limits.usd_per_day:g} a day is reached", left_s)

    @staticmethod
    def _take(file: sqlite3.Connection, name: str, per_minute: int, now: float) -> None:
        """Take a request from the caller's bucket, which holds a minute's and fills steadily."""
        row = file.execute("SELECT level, at FROM buckets WHERE caller = ?", (name,)).fetchone()
        level, at = (float(per_minute), now) if row is None else row
        level = min(level + max(now - at, 0.0) * per_minute / 60, float(per_minute))
        if level < 1:
            wait_s = (1 - level) * 60 / per_minute
            raise TooManyError(f"the limit of {per_minute} requests a minute is reached", wait_s)
        file.execute(
            "INSERT INTO buckets VALUES (?, ?, ?) ON CONFLICT (caller) DO UPDATE SET "
            "level = excluded.level, at = excluded.at",
            (name, level - 1, now),
        )

    def settle(self, caller: Caller, tokens: int, usd: float | None) -> None:
        """Add what a request spent.

        Parameters
        ----------
        caller : Caller
        tokens : int
            Read and written, of all its calls.
        usd : float or None
            US dollars; None where a price is not known.
        """
        if caller.limits.tokens_per_day is None and caller.limits.usd_per_day is None:
            return
        if usd is None:
            usd = caller.limits.usd_per_day or 0.0  # fail closed: the day's limit is reached
        day = int(time.time() // _DAY_S)
        with self._database.writing() as file:
            file.execute(
                "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT (caller, day) DO UPDATE SET "
                "tokens = tokens + excluded.tokens, usd = usd + excluded.usd",
                (caller.name, day, tokens, usd),
            )
            file.execute("DELETE FROM spent WHERE day < ?", (day - 400,))

    def spent(self, caller: Caller) -> Spent:
        """Return what a caller has spent today."""
        if not self._database.path.exists():
            return Spent()
        with self._database.reading() as file:
            return _spent(file, caller.name, time.time())


def _spent(file: sqlite3.Connection, name: str, now: float) -> Spent:
    day = int(now // _DAY_S)
    row = file.execute("SELECT tokens, usd FROM spent WHERE caller = ? AND day = ?", (name, day)).fetchone()
    return Spent() if row is None else Spent(*row)
