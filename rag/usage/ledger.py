"""The ledger: every call that cost money, and what is set aside for calls under way, in one SQLite file.

What is written survives a killed process; a power failure may lose the last rows, never the file. A call
whose model has no known price is counted, but not as 0 dollars.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rag.core.calls import Call
from rag.core.displayable import Displayable
from rag.core.errors import ConfigError, RagError, near_miss
from rag.core.frames import frame
from rag.core.sqlite import Database
from rag.usage.budget import Outcome, Request
from rag.usage.ledger_tables import CACHED, LEDGER
from rag.usage.processes import Process, this_process
from rag.usage.spending import Spending, in_order, is_more

if TYPE_CHECKING:
    import pandas as pd

By = Literal["model", "prompt", "tag", "account", "index", "day", "purpose"]
#: The file's name in an index's folder.
NAME = "ledger.sqlite"
#: Age at which a reservation no longer counts, though nobody settled it: one of this machine whose process
#: still runs (a build may embed for hours), and one of another machine, whose process cannot be seen.
HOURS_HERE, HOURS_ELSEWHERE = 24, 6
#: Rows that are kept in memory while the file cannot be written; of older ones only the dollars are.
MOST_WAITING = 1000
_ROW = (
    'INSERT INTO calls (at, model, purpose, "index", prompt, tag, input, output, cache_read, cache_write, '
    "cache_write_1h, usd, account, held, saved) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_COLUMNS: Mapping[str, str] = {
    **{name: f'"{name}"' for name in get_args(By)}, "day": "date(at / 1000000, 'unixepoch')"
}  # fmt: skip
#: The columns of `Ledger.to_pandas`, a row for each call.
CALL_COLUMNS = (
    "at", "model", "purpose", "index", "prompt", "tag", "account", "input_tokens", "output_tokens",
    "cache_read_tokens", "cache_write_tokens", "usd", "saved_usd",
)  # fmt: skip
_CALLS = (
    'SELECT at, model, purpose, "index", prompt, tag, account, input, output, cache_read, cache_write, usd, '
    "saved FROM calls WHERE at >= ? ORDER BY at, rowid"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: Microseconds.
_DAY = 24 * 3600 * 1_000_000


class Ledger(Displayable):
    """The calls that cost money, in a file that threads and processes may share.

    Parameters
    ----------
    path : Path
        Made with the first call that is recorded or reserved.
    private : bool
        Let only the owner read and write a new file.

    Examples
    --------
    >>> ledger = Ledger(Path("indexes/handbook/ledger.sqlite"))                # doctest: +SKIP
    >>> ledger.record(Call("amazon.titan-embed-text-v2:0", "embed", usage))    # doctest: +SKIP
    >>> ledger.spent(dt.date(2026, 11, 1))                                     # doctest: +SKIP
    0.0314
    """

    def __init__(self, path: Path, *, private: bool = False) -> None:
        self.path = Path(path)
        self._database = Database(self.path, replace(LEDGER, private=private))
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._failing = False
        #: What could not be written yet: rows, and the reservations that they settle.
        self._waiting: list[tuple[tuple[Any, ...] | None, int | None]] = []
        #: Dollars of rows that are no longer kept, by moment (the start of a day) and account.
        self._dollars: dict[tuple[int, str], float] = {}
        #: For a start and an account: the file's generation, the last row that was added up, and the sum.
        self._sums: dict[tuple[int, str | None], tuple[int, int, float]] = {}

    def record(
        self,
        call: Call,
        *,
        index: str = "",
        prompt: str = "",
        tag: str = "",
        account: str = "",
        when: dt.datetime | None = None,
        held_usd: float | None = None,
        reservation: int | None = None,
    ) -> str | None:
        """Write a call down, and end its reservation in the same transaction.

        Parameters
        ----------
        call : Call
        index, prompt, tag : str
            What it was for: names to group by.
        account : str
            Whose budget it counts in.
        when : datetime, optional
            By default now; without a time zone it is taken as UTC.
        held_usd : float, optional
            What a budget counts for it where its price is unknown.
        reservation : int, optional
            From `reserve`.

        Returns
        -------
        str or None
            A note, the first time that the file cannot be written. The row is then kept in memory, counts
            for the budgets of this process, and is written as soon as the file can be again.
        """
        usage = call.usage
        row = (
            _micros(_utc(when or dt.datetime.now(dt.UTC))), call.model, call.purpose, index, prompt, tag,
            usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens,
            usage.cache_write_input_tokens, usage.cache_write_1h_input_tokens, usage.cost_usd, account,
            held_usd if usage.cost_usd is None else None, call.saved_usd,
        )  # fmt: skip
        return self._write(row, reservation)

    def release(self, reservation: int) -> str | None:
        """End a reservation without a call; returns what `record` returns."""
        return self._write(None, reservation)

    def reserve(self, request: Request, now: dt.datetime | None = None) -> Outcome:
        """Set dollars aside for a call, unless what is spent and set aside leaves no room for it.

        One transaction, so that no two threads or processes are given the same room. Reservations of
        processes that no longer run are dropped first.

        Raises
        ------
        RagError
            The file cannot be read or written.
        """
        with self._reporting(), self._writing() as file:
            now = _utc(now or dt.datetime.now(dt.UTC))
            at = _micros(now)
            _drop_dead(file, at)
            account = request.account or None
            start = _start(request.since)
            spent = self._sum(file, start, account) + self._unrecorded(start, account)
            reserved: float = file.execute(
                "SELECT TOTAL(usd) FROM reservations WHERE ?1 IS NULL OR account = ?1", (account,)
            ).fetchone()[0]
            total = spent + reserved + request.usd

            def is_new(kind: str, usd: float) -> bool:
                return _note(file, request.period, request.account, kind, repr(usd), at)

            stop = request.stop_usd
            if stop is not None and is_more(total, stop):
                outcome = Outcome(None, spent, reserved, (stop,) if is_new("stop", stop) else ())
            else:
                passed = tuple(usd for usd in request.warn_usd if is_more(total, usd) and is_new("warn", usd))
                process = this_process()
                number = file.execute(
                    "INSERT INTO reservations (at, account, usd, machine, pid, started) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (at, request.account, request.usd, process.machine, process.pid, process.started),
                ).lastrowid
                outcome = Outcome(number, spent, reserved, passed)
        return outcome

    def is_first(self, period: str, account: str, kind: str, subject: str) -> bool:
        """Tell whether a notice is the first of its kind in a period, and remember it.

        Raises
        ------
        RagError
            The file cannot be read or written.
        """
        with self._reporting(), self._writing() as file:
            return _note(file, period, account, kind, subject, _micros(dt.datetime.now(dt.UTC)))

    def spent(self, since: dt.datetime | dt.date | None = None, *, account: str | None = None) -> float:
        """Return the dollars spent; for a call without a known price, those that a budget held for it.

        Parameters
        ----------
        since : datetime or date, optional
            A moment, or the start of a day in UTC; by default since ever.
        account : str, optional
            Only calls of this account.

        Raises
        ------
        RagError
            The file is there and cannot be read.
        """
        start = _start(since)
        self._after_fork()
        with self._lock:
            lost = self._unrecorded(start, account) + sum(
                row[11] if row[11] is not None else row[13] or 0.0
                for row, _ in self._waiting
                if row is not None and row[0] >= start and account in (None, row[12])
            )
        if not self.path.exists():
            return lost
        with self._reading() as file:
            return self._sum(file, start, account) + lost

    def rows(
        self,
        by: Sequence[By] = (),
        since: dt.datetime | dt.date | None = None,
        *,
        index: str | None = None,
    ) -> list[Spending]:
        """Return what was spent, by groups: the dearest first, or by day where days are among them.

        Parameters
        ----------
        by : sequence of {"model", "prompt", "tag", "account", "index", "day", "purpose"}
            What the calls of a group share; nothing makes one group of all. Days are UTC.
        since : datetime or date, optional
        index : str, optional
            Only calls for this index.

        Raises
        ------
        ConfigError
            There is no such column.
        RagError
            The file is there and cannot be read.
        """
        for name in by:
            if name not in _COLUMNS:
                raise ConfigError(f"a ledger has no {name!r} to group by: {near_miss(name, _COLUMNS)}")
        if not self.path.exists():
            return []
        keys = ", ".join(_COLUMNS[name] for name in by)
        query = (
            f"SELECT {keys + ', ' if keys else ''} SUM(purpose <> '{CACHED}'), SUM(usd IS NULL), SUM(input), "
            "SUM(output), SUM(cache_read), SUM(cache_write), SUM(usd) FILTER (WHERE purpose <> "
            f"'{CACHED}'), SUM(purpose = '{CACHED}'), SUM(saved) FROM calls "
            'WHERE at >= ? AND (? IS NULL OR "index" = ?) ' + (f"GROUP BY {keys}" if keys else "")
        )
        with self._reading() as file:
            rows = file.execute(query, (_start(since), index, index)).fetchall()
        width = len(by)
        groups = (Spending(tuple(row[:width]), *row[width:]) for row in rows if row[width] is not None)
        return in_order(groups, by)

    def to_pandas(self, by: Sequence[By] = (), since: dt.datetime | dt.date | None = None) -> pd.DataFrame:
        """Return a row for each call, or for each group of `rows`; needs pandas."""
        if by:
            return frame(
                {**dict(zip(by, each.group, strict=True)), **each.amounts} for each in self.rows(by, since)
            )
        calls: list[tuple[Any, ...]] = []
        if self.path.exists():
            with self._reading() as file:
                calls = file.execute(_CALLS, (_start(since),)).fetchall()
        of = ([_EPOCH + dt.timedelta(microseconds=row[0]), *row[1:]] for row in calls)
        return frame((dict(zip(CALL_COLUMNS, row, strict=True)) for row in of), CALL_COLUMNS)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        self._database.close()

    # --------------------------------------------------------------------------- the file

    def _write(self, row: tuple[Any, ...] | None, reservation: int | None) -> str | None:
        self._after_fork()
        with self._lock:
            self._waiting.append((row, reservation))
            try:
                with self._writing():
                    return None
            except (sqlite3.Error, OSError, RagError) as error:
                failing, self._failing = self._failing, True
                self._fold()
                return None if failing else _unwritable(self.path, error)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction that first writes what waits."""
        self._after_fork()
        with self._lock:
            try:
                with self._database.writing() as file:
                    for row, reservation in self._waiting:
                        if reservation is not None:
                            file.execute("DELETE FROM reservations WHERE id = ?", (reservation,))
                        if row is not None:
                            file.execute(_ROW, row)
                    yield file
            except BaseException:
                self._sums.clear()  # they may hold rows that were taken back
                raise
            self._waiting.clear()
            self._failing = False

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._database.reading() as file:
                yield file
        except (sqlite3.Error, OSError) as error:
            raise RagError(
                f"cannot read the ledger {self.path} ({_flat(error)}): move it away to start anew"
            ) from None

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise RagError(
                f"cannot read and write the ledger {self.path} ({_flat(error)}): make room, or set path in "
                "[ledger] to a file that can be written"
            ) from None

    def _after_fork(self) -> None:
        """Leave to the parent what it has not written, and its lock, which another thread may have held."""
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.RLock()
            self._waiting, self._dollars = [], {}

    def _fold(self) -> None:
        """Keep no more rows than `MOST_WAITING`; of older ones only their dollars."""
        while len(self._waiting) > MOST_WAITING:
            row, _ = self._waiting.pop(0)
            if row is not None:
                usd = row[11] if row[11] is not None else row[13] or 0.0
                key = row[0] - row[0] % _DAY, row[12]
                self._dollars[key] = self._dollars.get(key, 0.0) + usd

    def _unrecorded(self, start: int, account: str | None) -> float:
        return sum(
            usd for (at, whose), usd in self._dollars.items() if at >= start and account in (None, whose)
        )

    def _sum(self, file: sqlite3.Connection, start: int, account: str | None) -> float:
        """Return the dollars since a moment: rows are only added, so only the new ones are read."""
        generation, last, total = self._sums.get((start, account), (0, 0, 0.0))
        if generation != self._database.generation:
            last, total = 0, 0.0
        row = file.execute(
            "SELECT MAX(rowid), SUM(COALESCE(usd, held)) "
            "FILTER (WHERE at >= ?1 AND (?2 IS NULL OR account = ?2)) FROM calls WHERE rowid > ?3",
            (start, account, last),
        ).fetchone()
        total += row[1] or 0.0
        self._sums = {key: kept for key, kept in self._sums.items() if key[1] != account}
        self._sums[start, account] = (self._database.generation, row[0] or last, total)
        return total


def _drop_dead(file: sqlite3.Connection, at: int) -> None:
    """End the reservations of processes that no longer run, and those that are too old."""
    for machine, pid, started in file.execute(
        "SELECT DISTINCT machine, pid, started FROM reservations"
    ).fetchall():
        runs = Process(machine, pid, started).may_run()
        hours = HOURS_ELSEWHERE if runs is None else HOURS_HERE if runs else 0
        if hours:
            file.execute(
                "DELETE FROM reservations WHERE machine = ? AND pid = ? AND started = ? AND at < ?",
                (machine, pid, started, at - hours * 3600 * 1_000_000),
            )
        else:
            file.execute(
                "DELETE FROM reservations WHERE machine = ? AND pid = ? AND started = ?",
                (machine, pid, started),
            )


def _note(file: sqlite3.Connection, period: str, account: str, kind: str, subject: str, at: int) -> bool:
    return (
        file.execute(
            "INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?, ?)", (period, account, kind, subject, at)
        ).rowcount
        == 1
    )


def _utc(moment: dt.datetime | dt.date) -> dt.datetime:
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime(moment.year, moment.month, moment.day)
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _micros(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _start(since: dt.datetime | dt.date | None) -> int:
    return -(1 << 62) if since is None else _micros(_utc(since))


def _unwritable(path: Path, error: Exception) -> str:
    return (
        f"cannot write the ledger {path} ({_flat(error)}): calls are kept in memory until it can be written; "
        "make room, or set path in [ledger] to a file that can be written"
    )


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())
