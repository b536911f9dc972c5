"""The ledger: every call that cost money, in one SQLite file.

What is written survives a killed process; a power failure may lose the last rows, never the file.
A call whose model has no known price is counted, but not as 0 dollars.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import quote

from rag.core.answers import Call
from rag.core.errors import ConfigError, RagError, near_miss

By = Literal["model", "prompt", "tag", "index", "day", "purpose"]
#: The file's name in an index's folder.
NAME = "ledger.sqlite"
#: Version of the tables, in the file's ``user_version``.
VERSION = 1
_TABLE = """CREATE TABLE calls (
    at INTEGER NOT NULL,  -- microseconds since 1970, UTC
    model TEXT NOT NULL, purpose TEXT NOT NULL, "index" TEXT NOT NULL, prompt TEXT NOT NULL,
    tag TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, usd REAL
)"""
_ROW = (
    'INSERT INTO calls (at, model, purpose, "index", prompt, tag, input, output, cache_read, '
    "cache_write, cache_write_1h, usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_COLUMNS: Mapping[str, str] = {
    **{name: f'"{name}"' for name in get_args(By)}, "day": "date(at / 1000000, 'unixepoch')"
}  # fmt: skip
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: Connections of a parent process: one that is closed in the child would end the parent's locks.
_INHERITED: list[sqlite3.Connection] = []


@dataclass(frozen=True, slots=True)
class Spending:
    """What the calls of one group cost; groups add up with ``+``.

    Attributes
    ----------
    group : tuple of str
        The values that the calls share, in the order in which they were asked for.
    calls, unpriced : int
        All calls, and those of them whose model has no known price.
    input_tokens : int
        Without those of the prompt cache, which are `cache_read_tokens` and `cache_write_tokens`.
    usd : float or None
        Of the calls with a price; None where no call has one.
    """

    group: tuple[str, ...] = ()
    calls: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    usd: float | None = None

    def __add__(self, other: Spending) -> Spending:
        known = [usd for usd in (self.usd, other.usd) if usd is not None]
        return Spending(
            self.group, self.calls + other.calls, self.unpriced + other.unpriced,
            self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens, sum(known) if known else None,
        )  # fmt: skip


class Ledger:
    """The calls that cost money, in a file that threads and processes may share.

    Parameters
    ----------
    path : Path
        Made with the first call that is recorded.

    Examples
    --------
    >>> ledger = Ledger(Path("indexes/handbook/ledger.sqlite"))                # doctest: +SKIP
    >>> ledger.record(Call("amazon.titan-embed-text-v2:0", "embed", usage))    # doctest: +SKIP
    >>> ledger.spent(dt.date(2026, 11, 1))                                     # doctest: +SKIP
    0.0314
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._told = False
        #: Dollars by day and tag that could not be written: a budget of this process counts them still.
        self._unwritten: dict[tuple[dt.date, str], float] = {}
        #: For a start and a tag: the last row that was added up, and the sum.
        self._sums: dict[tuple[int, str | None], tuple[int, float]] = {}

    def record(
        self, call: Call, *, index: str = "", prompt: str = "", tag: str = "", when: dt.datetime | None = None
    ) -> str | None:
        """Write a call down.

        Parameters
        ----------
        call : Call
        index, prompt, tag : str
            What it was for: names to group by.
        when : datetime, optional
            By default now; without a time zone it is taken as UTC.

        Returns
        -------
        str or None
            What went wrong, the first time that something does: a ledger that cannot be written never
            stops a question.
        """
        when = _utc(when or dt.datetime.now(dt.UTC))
        usage = call.usage
        row = (
            _micros(when), call.model, call.purpose, index, prompt, tag, usage.input_tokens,
            usage.output_tokens, usage.cache_read_input_tokens, usage.cache_write_input_tokens,
            usage.cache_write_1h_input_tokens, usage.cost_usd,
        )  # fmt: skip
        try:
            with self._opened(make=True) as file:
                file.execute(_ROW, row)
        except (sqlite3.Error, OSError, RagError) as error:
            with self._lock:
                day = when.date(), tag
                self._unwritten[day] = self._unwritten.get(day, 0.0) + (usage.cost_usd or 0.0)
                told, self._told = self._told, True
            return None if told else _unwritable(self.path, error)
        return None

    def spent(self, since: dt.datetime | dt.date | None = None, *, tag: str | None = None) -> float:
        """Return the dollars spent; a call without a known price adds none.

        Parameters
        ----------
        since : datetime or date, optional
            A moment, or the start of a day in UTC; by default since ever.
        tag : str, optional
            Only calls of this tag.

        Raises
        ------
        RagError
            The file is there and cannot be read.
        """
        start = _start(since)
        lost = sum(
            (usd for (day, own), usd in list(self._unwritten.items())
             if tag in (None, own) and (since is None or day >= _utc(since).date())), 0.0,
        )  # fmt: skip
        if not self.path.exists():
            return lost
        with self._reading() as file:
            last, total = self._sums.get((start, tag), (0, 0.0))
            # Rows are only added, one writer at a time, so only those behind the last one are new.
            found = file.execute(
                "SELECT MAX(rowid), SUM(usd) FILTER (WHERE at >= ? AND (? IS NULL OR tag = ?)) "
                "FROM calls WHERE rowid > ?",
                (start, tag, tag, last),
            ).fetchone()
            total += found[1] or 0.0
            self._sums = {key: kept for key, kept in self._sums.items() if key[1] != tag}
            self._sums[start, tag] = (found[0] or last, total)
        return total + lost

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
        by : sequence of {"model", "prompt", "tag", "index", "day", "purpose"}
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
            f"SELECT {keys + ', ' if keys else ''} COUNT(*), SUM(usd IS NULL), SUM(input), SUM(output), "
            "SUM(cache_read), SUM(cache_write), SUM(usd) FROM calls "
            'WHERE at >= ? AND (? IS NULL OR "index" = ?) ' + (f"GROUP BY {keys}" if keys else "")
        )
        with self._reading() as file:
            found = file.execute(query, (_start(since), index, index)).fetchall()
        width = len(by)
        return in_order((Spending(tuple(row[:width]), *row[width:]) for row in found if row[width]), by)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            if self._file is not None and self._process == os.getpid():
                self._file.close()
            self._file = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._opened(make=False) as file:
                yield file
        except (sqlite3.Error, OSError) as error:
            raise RagError(
                f"cannot read the ledger {self.path} ({error}): move it away to start anew"
            ) from None

    @contextmanager
    def _opened(self, *, make: bool) -> Iterator[sqlite3.Connection]:
        if self._process != os.getpid():  # a fork: neither the lock nor the connection is ours
            if self._file is not None:
                _INHERITED.append(self._file)
            self._lock, self._file, self._process = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._file is None:
                self._file = _connect(self.path, make=make)
            yield self._file


def _connect(path: Path, *, make: bool) -> sqlite3.Connection:
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
    how = "mode=rwc" if make else "mode=rw"
    if not make and not os.access(path.parent, os.W_OK) and not Path(f"{path}-wal").exists():
        how = "mode=ro&immutable=1"  # even to read, SQLite would make files beside this one
    file = sqlite3.connect(
        f"file:{quote(str(path))}?{how}", uri=True, timeout=5, isolation_level=None, check_same_thread=False
    )
    try:
        if _is_empty(file):
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("BEGIN IMMEDIATE")
            if _is_empty(file):  # another process may have been first
                file.execute(_TABLE)
                file.execute(f"PRAGMA user_version = {VERSION}")
            file.execute("COMMIT")
        if _version(file) != VERSION:
            raise RagError(f"{path} is no ledger that this version of rag knows: name another file")
        file.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        file.close()
        raise
    return file


def _version(file: sqlite3.Connection) -> int:
    return int(file.execute("PRAGMA user_version").fetchone()[0])


def _is_empty(file: sqlite3.Connection) -> bool:
    return file.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def in_order(groups: Iterable[Spending], by: Sequence[str]) -> list[Spending]:
    """Return groups, equal ones added up: the dearest first, or by day where days are among them."""
    found: dict[tuple[str, ...], Spending] = {}
    for each in groups:
        found[each.group] = found[each.group] + each if each.group in found else each
    if "day" in by:
        at = list(by).index("day")
        return sorted(found.values(), key=lambda each: (each.group[at], each.group))
    return sorted(found.values(), key=lambda each: (-(each.usd or 0.0), each.group))


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
        f"cannot write the ledger {path} ({' '.join(str(error).split())}): what is spent is not recorded; "
        "make room, or set path in [ledger] to a file that can be written"
    )
