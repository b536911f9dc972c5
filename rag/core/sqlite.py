"""Open SQLite files that threads, processes and forks share; the one opener of every store of rag.

A file is in WAL mode: readers do not wait for the writer, and what is committed survives a killed process.
A file of another program is refused at once and left as it is. A file in a folder that cannot be written
is read as it is. A file that was deleted or replaced while it was open is opened anew.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from rag.core.errors import RagError
from rag.core.sqlite_files import Schema, foreign, odd_file, schema

#: Connections of a parent process. SQLite forbids closing them in the child: the close could check-point
#: and delete the WAL file that the parent still writes to (SQLite's "How to corrupt", 2.6).
_INHERITED: list[sqlite3.Connection] = []
#: Milliseconds to wait for readers before a WAL file is emptied; those of rag take a few.
_READER_MS = 2000


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file: its tables, its version, and how an older one is brought up to date.

    Attributes
    ----------
    name : str
        For messages, e.g. ``"ledger"``.
    table : str
        A table that every version has; a file without it is another program's.
    version : int
        Of the tables, kept in the file's ``user_version``.
    create : callable
        Makes the tables in an empty file, inside a transaction.
    upgrade : callable
        Takes the connection and the version of an older file; runs inside a transaction.
    view : callable, optional
        Takes the connection and the version of an older file that can only be read, and makes temporary
        views with the present columns. Without it such a file is refused.
    oldest : int
        The first version; 0 where early files have no ``user_version``.
    private : bool
        Let only the owner read and write a new file (mode 0600), and what SQLite keeps beside it.
    """

    name: str
    table: str
    version: int
    create: Callable[[sqlite3.Connection], None]
    upgrade: Callable[[sqlite3.Connection, int], None]
    view: Callable[[sqlite3.Connection, int], None] | None = None
    oldest: int = 1
    private: bool = False


def open_file(
    path: Path,
    form: Format,
    *,
    make: bool = True,
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
    timeout_s: float = 10.0,
) -> sqlite3.Connection:
    """Open a file in autocommit mode, make it where it is missing, or bring it up to date.

    Parameters
    ----------
    path : Path
    form : Format
    make : bool
        Make a missing file and its folder; else a missing file is an error.
    synchronous : {"NORMAL", "FULL"}
        ``"NORMAL"``: a power failure may lose the last transactions, never the file. ``"FULL"``: each
        transaction is on disk when it ends.
    timeout_s : float
        How long to wait for another connection's transaction.

    Raises
    ------
    RagError
        The file is another program's, or of a newer version of rag.
    sqlite3.Error, OSError
        It cannot be opened, read or written.
    """
    if odd := odd_file(path):
        raise _stranger(odd[0], form, odd[1])
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
        if form.private:
            _reserve(path)
    how = _mode(path, make)
    file = sqlite3.connect(
        f"file:{quote(str(path))}?{how}", uri=True, timeout=timeout_s, isolation_level=None,
        check_same_thread=False,
    )  # fmt: skip
    try:
        if "mode=ro" not in how:
            file.execute("PRAGMA trusted_schema = OFF")
            _prepare(file, path, form, timeout_s)
            file.execute(f"PRAGMA synchronous = {synchronous}")
        elif _checked(file, path, form) < form.version:
            if form.view is None:
                raise _stranger(path, form, "can only be read, and was made by an older version")
            file.execute("PRAGMA temp_store = MEMORY")
            form.view(file, _version(file))
    except BaseException:
        file.close()
        raise
    return file


class Database:
    """A file that threads, processes and forks share, opened when it is first needed.

    Parameters
    ----------
    path : Path
    form : Format
    synchronous, timeout_s : optional
        See `open_file`.

    Examples
    --------
    >>> with database.writing() as file:                                    # doctest: +SKIP
    ...     file.execute("INSERT INTO calls …")
    """

    def __init__(
        self,
        path: Path,
        form: Format,
        *,
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
        timeout_s: float = 10.0,
    ) -> None:
        self.path, self.form = path, form
        self._synchronous: Literal["NORMAL", "FULL"] = synchronous
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._file: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._process = os.getpid()
        #: Counts the files that were opened: what is remembered of one does not hold for the next.
        self.generation = 0

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread at a time; a missing file is an error."""
        with self._opened(make=False) as file:
            yield file

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run one transaction that holds the file's write lock from its beginning (``BEGIN IMMEDIATE``).

        An error takes all of it back.
        """
        with self._opened(make=True) as file:
            file.execute("BEGIN IMMEDIATE")
            try:
                yield file
                file.execute("COMMIT")
            except BaseException:
                if file.in_transaction:
                    file.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        self._after_fork()
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None

    @contextmanager
    def _opened(self, *, make: bool) -> Iterator[sqlite3.Connection]:
        self._after_fork()
        with self._lock:
            if self._file is not None and _identity(self.path) != self._identity:
                self._file.close()
                self._file = None
            if self._file is None:
                self._file = open_file(
                    self.path, self.form, make=make, synchronous=self._synchronous, timeout_s=self._timeout_s
                )
                self._identity = _identity(self.path)
                self.generation += 1
            yield self._file

    def _after_fork(self) -> None:
        if self._process == os.getpid():
            return
        if self._file is not None:
            _INHERITED.append(self._file)
        # Another thread of the parent may have held the lock when it forked.
        self._lock, self._file, self._process = threading.RLock(), None, os.getpid()


def give_back(file: sqlite3.Connection) -> bool:
    """Rewrite a file without its free pages and what they held, and empty the WAL file beside it.

    Returns
    -------
    bool
        False while another connection reads from an older state, which the WAL file then still holds.
    """
    file.execute("VACUUM")
    (wait_ms,) = file.execute("PRAGMA busy_timeout").fetchone()
    file.execute(f"PRAGMA busy_timeout = {min(wait_ms, _READER_MS)}")
    try:
        return bool(file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
    finally:
        file.execute(f"PRAGMA busy_timeout = {wait_ms}")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; never by opening it.

    To close a second descriptor of a file drops the locks that SQLite holds on it (its "How to corrupt",
    2.2).
    """
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _reserve(path: Path) -> None:
    """Make an empty file for its owner alone; SQLite gives those beside it the same mode."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _mode(path: Path, make: bool) -> str:
    try:
        exists = path.exists()
    except OSError:
        exists = False
    if not exists:
        return "mode=rwc" if make else "mode=rw"
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return "mode=rw"
    # Even to read, SQLite makes files beside a WAL file; without any, it reads one that nobody writes.
    return "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"


def _prepare(file: sqlite3.Connection, path: Path, form: Format, timeout_s: float) -> None:
    """Make or upgrade the tables; several processes may try at once, and one of them does it."""
    if _checked(file, path, form) == form.version:
        return
    _use_wal(file, timeout_s)
    file.execute("BEGIN IMMEDIATE")
    try:
        version = _checked(file, path, form)  # another process may have been first
        if version < 0:
            form.create(file)
        elif version < form.version:
            form.upgrade(file, version)
        file.execute(f"PRAGMA user_version = {form.version}")
        file.execute("COMMIT")
    except BaseException:
        if file.in_transaction:
            file.execute("ROLLBACK")
        raise


def _use_wal(file: sqlite3.Connection, timeout_s: float) -> None:
    # SQLite does not wait its busy timeout where two connections change the mode at once.
    until = time.monotonic() + timeout_s
    while True:
        try:
            file.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _checked(file: sqlite3.Connection, path: Path, form: Format) -> int:
    """Return the version of a file's tables, -1 for an empty file; refuse a stranger's."""
    if file.in_transaction:
        return _version_of(file, path, form)
    file.execute("BEGIN")  # one snapshot for all questions
    try:
        return _version_of(file, path, form)
    finally:
        file.execute("COMMIT")


def _version_of(file: sqlite3.Connection, path: Path, form: Format) -> int:
    version = _version(file)
    application = file.execute("PRAGMA application_id").fetchone()[0]
    empty = not file.execute("SELECT 1 FROM main.sqlite_master LIMIT 1").fetchall()
    named = file.execute("SELECT 1 FROM main.sqlite_master WHERE name = ?", [form.table]).fetchall()
    if application or (version if empty else version < form.oldest or not named):
        raise _stranger(path, form, f"is no {form.name}")
    if empty:
        return -1
    if version > form.version:
        raise _stranger(path, form, f"is a {form.name} of a newer version of rag")
    if odd := foreign(file, _expected(form.create)):
        raise _stranger(path, form, f"is no {form.name} ({odd})")
    return version


@functools.cache
def _expected(create: Callable[[sqlite3.Connection], None]) -> Schema:
    """Return the schema that a new file has."""
    with contextlib.closing(sqlite3.connect(":memory:")) as file:
        create(file)
        return schema(file)


def _version(file: sqlite3.Connection) -> int:
    return int(file.execute("PRAGMA user_version").fetchone()[0])


def _stranger(path: Path, form: Format, what: str) -> RagError:
    return RagError(f"{path} {what}: name another file for the {form.name}")
