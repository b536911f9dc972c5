"""What a caller may ask for and spend: requests a minute, and tokens and dollars a day (UTC).

All processes of a machine count together, in two files beside the keys:

- ``limits.sqlite``: requests and tokens. A request is admitted while its caller has room, and its tokens are
  added when it ends, so the limit of tokens is passed by no more than the requests under way.
- ``callers.sqlite``: dollars, a ledger with an account for each caller. What a call may cost at most is set
  aside before it is made, so the limit is not passed. A model without a known price is refused.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rag.core.calls import Call, Usage
from rag.core.errors import BudgetError, RagError, TooManyError
from rag.core.format import dollars
from rag.core.sqlite import Database, Format
from rag.serving.callers import NO_LIMITS, Caller
from rag.usage.budget import Budget, Request
from rag.usage.collector import Collector
from rag.usage.ledger import Ledger
from rag.usage.ledger_tables import CACHED

#: The files' names, beside that of the keys.
NAME, LEDGER_NAME = "limits.sqlite", "callers.sqlite"
_DAY_S, _HOUR_S = 86_400, 3600
#: Days for which tokens are kept.
_KEPT_DAYS = 31
#: Seconds until calls under way may have ended, and left room.
_SOON_S = 5.0


class OverBudgetError(TooManyError, BudgetError):
    """A call could bring a caller above its dollars of the day; it was not made."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a caller has spent on a day (UTC)."""

    tokens: int = 0
    usd: float = 0.0


def _create(file: sqlite3.Connection) -> None:
    file.execute(
        "CREATE TABLE tokens (caller TEXT NOT NULL, day INTEGER NOT NULL, tokens INTEGER NOT NULL, "
        "PRIMARY KEY (caller, day)) WITHOUT ROWID"
    )
    file.execute("CREATE TABLE buckets (caller TEXT PRIMARY KEY, level REAL NOT NULL, at REAL NOT NULL)")


def _upgrade(file: sqlite3.Connection, version: int) -> None:
    """There is no earlier version."""


FORMAT = Format("file of limits", "buckets", 1, _create, _upgrade, private=True)


class Limiter:
    """Holds the limits of callers; threads and processes share its files.

    Parameters
    ----------
    folder : str or Path
        That of the keys.

    Examples
    --------
    >>> limiter.admit(caller)                                                      # doctest: +SKIP
    >>> with limiter.spending(caller) as spending:                                 # doctest: +SKIP
    ...     answer = spending.run(pipe.ask, question, where=caller.narrowed(where), tenant=caller.tenant)
    """

    def __init__(self, folder: str | Path) -> None:
        self._database = Database(Path(folder) / NAME, FORMAT)
        self._ledger = Ledger(Path(folder) / LEDGER_NAME, private=True)

    def admit(self, caller: Caller) -> None:
        """Count a request, if the caller has room for it.

        Raises
        ------
        TooManyError
            It has not.
        RagError
            The limits cannot be read or written.
        """
        limits, now = caller.limits, time.time()
        if limits == NO_LIMITS:
            return
        over = f"a day is reached by {caller.name}"
        if limits.usd_per_day is not None and self.spent(caller).usd >= limits.usd_per_day:
            raise OverBudgetError(f"the limit of {dollars(limits.usd_per_day)} {over}", _rest_of_day_s(now))
        with _reporting(), self._database.writing() as file:
            if limits.tokens_per_day is not None and _tokens(file, caller, now) >= limits.tokens_per_day:
                raise TooManyError(
                    f"the limit of {limits.tokens_per_day:,} tokens {over}", _rest_of_day_s(now)
                )
            if limits.requests_per_minute is not None:
                _take(file, caller.name, limits.requests_per_minute, now)

    @contextmanager
    def spending(self, caller: Caller) -> Iterator[Collector]:
        """Give the collector of a caller's questions: what is asked in it is held to the caller's limits.

        Ask by ``spending.run(pipe.ask, …)``; begin a stream by ``spending.run(pipe.stream, …)``, and take its
        events inside of the context. A call that could bring the caller above its dollars raises an
        `OverBudgetError`. At the end the tokens of all calls are added to the caller's.
        """
        limited = caller.limits.usd_per_day is not None
        collector = Collector(limits=[CallerLimit(self._ledger, caller)] if limited else [])
        try:
            yield collector
        finally:
            self._add_tokens(caller, collector.calls)

    def _add_tokens(self, caller: Caller, calls: tuple[Call, ...]) -> None:
        tokens = sum(sum(call.usage.counts) for call in calls if call.purpose != CACHED)
        if not tokens or caller.limits.tokens_per_day is None:
            return
        day = int(time.time() // _DAY_S)
        with _reporting(), self._database.writing() as file:
            file.execute(
                "INSERT INTO tokens VALUES (?, ?, ?) ON CONFLICT (caller, day) DO UPDATE SET "
                "tokens = tokens + excluded.tokens",
                (caller.name, day, tokens),
            )
            file.execute("DELETE FROM tokens WHERE caller = ? AND day < ?", (caller.name, day - _KEPT_DAYS))

    def spent(self, caller: Caller) -> Spent:
        """Return what a caller with limits has spent today.

        Raises
        ------
        RagError
            The limits cannot be read.
        """
        now = time.time()
        tokens = 0
        if self._database.path.exists():
            with _reporting(), self._database.reading() as file:
                tokens = _tokens(file, caller, now)
        return Spent(tokens, self._ledger.spent(_today(now)[1], account=caller.name))


class CallerLimit:
    """A caller's dollars of a day, as a limit of the calls that are made for it.

    Parameters
    ----------
    ledger : Ledger
    caller : Caller
    """

    def __init__(self, ledger: Ledger, caller: Caller) -> None:
        self._ledger, self._caller = ledger, caller
        self._lock = threading.Lock()
        self._held: list[tuple[float, int | None]] = []

    def hold(self, usd: float) -> None:
        """Set aside what a call may cost.

        Raises
        ------
        OverBudgetError
            There is no room for it.
        BudgetError
            Whether there is room cannot be known.
        """
        limit, now = self._caller.limits.usd_per_day, time.time()
        period, since = _today(now)
        request = Request(usd, self._caller.name, since, period, limit)
        try:
            outcome = self._ledger.reserve(request, dt.datetime.fromtimestamp(now, dt.UTC))
        except RagError as error:
            raise BudgetError("a caller's limit in dollars cannot be checked at present") from error
        if outcome.id is None:
            full = outcome.spent + usd > (limit or 0.0)
            raise OverBudgetError(
                f"this call could bring {self._caller.name} above its limit of {dollars(limit or 0.0)} a day",
                _rest_of_day_s(now) if full else _SOON_S,
            )
        with self._lock:
            self._held.append((usd, outcome.id))

    def settle(self, held: float, usd: float | None) -> None:
        """Replace what was set aside by what the call cost; None leaves it, as the cost is not known."""
        with self._lock:  # of several calls that may cost the same, any one will do
            at = next(n for n, (each, _) in enumerate(self._held) if each == held)
            _, number = self._held.pop(at)
        if usd == 0 and number is not None:
            self._ledger.release(number)
        else:
            self._ledger.record(
                Call("", "call", Usage(cost_usd=usd)),
                account=self._caller.name,
                held_usd=held,
                reservation=number,
            )


def _take(file: sqlite3.Connection, name: str, per_minute: int, now: float) -> None:
    """Take a request from the caller's bucket, which holds a minute's and fills steadily."""
    row = file.execute("SELECT level, at FROM buckets WHERE caller = ?", (name,)).fetchone()
    if row is None:  # those that nobody has used for long are full again
        file.execute("DELETE FROM buckets WHERE at < ?", (now - _HOUR_S,))
    level, at = (float(per_minute), now) if row is None else row
    level = min(level + max(now - at, 0.0) * per_minute / 60, float(per_minute))
    if level < 1:
        wait_s = (1 - level) * 60 / per_minute
        raise TooManyError(f"the limit of {per_minute} requests a minute is reached by {name}", wait_s)
    file.execute(
        "INSERT INTO buckets VALUES (?, ?, ?) ON CONFLICT (caller) DO UPDATE SET "
        "level = excluded.level, at = excluded.at",
        (name, level - 1, now),
    )


def _tokens(file: sqlite3.Connection, caller: Caller, now: float) -> int:
    query = "SELECT tokens FROM tokens WHERE caller = ? AND day = ?"
    row = file.execute(query, (caller.name, int(now // _DAY_S))).fetchone()
    return 0 if row is None else int(row[0])


def _today(now: float) -> tuple[str, dt.datetime]:
    period, since = Budget(per="day").period(dt.datetime.fromtimestamp(now, dt.UTC))
    assert since is not None
    return period, since


def _rest_of_day_s(now: float) -> float:
    return _DAY_S - now % _DAY_S


@contextmanager
def _reporting() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise RagError(f"the limits of callers cannot be read and written: {error}") from error
