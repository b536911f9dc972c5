"""Responses in a SQLite file, which the threads and processes of one machine share."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rag.core.sqlite import Database, Format, give_back
from rag.response_cache.store import Holdings

#: The file's name in an index's folder.
NAME = "responses.sqlite"
#: The share of the limit that is left when old entries are deleted, so that not every write deletes some.
_LEFT = 0.9
#: Seconds after which reading an entry marks it as used again: not every read is a write.
_FRESH_S = 3600


def _create(file: sqlite3.Connection) -> None:
    file.execute(
        "CREATE TABLE responses (key TEXT PRIMARY KEY, value BLOB NOT NULL, bytes INTEGER NOT NULL, "
        "expires REAL NOT NULL, used REAL NOT NULL)"
    )
    file.execute("CREATE INDEX by_use ON responses (used, bytes)")
    file.execute("CREATE INDEX by_expiry ON responses (expires)")
    file.execute(
        "CREATE TABLE leases (key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL) WITHOUT ROWID"
    )


def _upgrade(file: sqlite3.Connection, version: int) -> None:
    """There is no earlier version."""


_FORMAT = Format("response cache", "responses", 1, _create, _upgrade)


class SqliteStore:
    """Responses in a file.

    Parameters
    ----------
    path : str or Path
    max_mb : float
        Megabytes of values; beyond them the least recently used ones are deleted.
    timeout_s : float
        How long to wait for another process's transaction.
    """

    def __init__(self, path: str | Path, *, max_mb: float = 500.0, timeout_s: float = 5.0) -> None:
        self.path, self.max_bytes = Path(path), int(max_mb * 1e6)
        self._database = Database(self.path, _FORMAT, timeout_s=timeout_s)
        self._lock = threading.Lock()
        self._unchecked: int | None = None  # bytes written since the size was checked

    def get(self, key: str) -> bytes | None:
        """Return a value that has not expired."""
        if not self.path.exists():
            return None
        now = time.time()
        with self._database.reading() as file:
            row = file.execute(
                "SELECT value, used FROM responses WHERE key = ? AND expires > ?", (key, now)
            ).fetchone()
        if row is None:
            return None
        if row[1] < now - _FRESH_S:
            with self._database.writing() as file:
                file.execute("UPDATE responses SET used = ? WHERE key = ?", (now, key))
        return bytes(row[0])

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep a value; one that is larger than the store's limit is not kept."""
        if len(value) > self.max_bytes:
            return
        now = time.time()
        with self._database.writing() as file:
            file.execute(
                "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?)",
                (key, value, len(value), now + ttl_s, now),
            )
            if self._is_due(len(value)):
                file.execute("DELETE FROM responses WHERE expires <= ?", (now,))
                file.execute("DELETE FROM leases WHERE expires <= ?", (now,))
                self._shrink(file)

    def acquire(self, key: str, owner: str, ttl_s: float) -> bool:
        """Take or renew a lease."""
        now = time.time()
        with self._database.writing() as file:
            return bool(
                file.execute(
                    "INSERT INTO leases VALUES (?1, ?2, ?3) ON CONFLICT (key) DO UPDATE SET owner = ?2, "
                    "expires = ?3 WHERE owner = ?2 OR expires <= ?4",
                    (key, owner, now + ttl_s, now),
                ).rowcount
            )

    def release(self, key: str, owner: str) -> None:
        """End a lease."""
        with self._database.writing() as file:
            file.execute("DELETE FROM leases WHERE key = ? AND owner = ?", (key, owner))

    def holdings(self) -> Holdings:
        """Return what the file holds."""
        if not self.path.exists():
            return Holdings(str(self.path), 0, 0, self.max_bytes)
        with self._database.reading() as file:
            count, size = file.execute(
                "SELECT COUNT(*), TOTAL(bytes) FROM responses WHERE expires > ?", (time.time(),)
            ).fetchone()
        return Holdings(str(self.path), count, int(size), self.max_bytes)

    def clear(self) -> int:
        """Delete everything, and give the room back."""
        if not self.path.exists():
            return 0
        with self._database.writing() as file:
            count = file.execute("DELETE FROM responses").rowcount
            file.execute("DELETE FROM leases")
        with self._database.reading() as file:  # what was deleted must not stay in free pages
            give_back(file)
        return int(count)

    def remove(self, which: Callable[[str, bytes], bool]) -> int:
        """Delete the values that a function picks, expired ones too, and give the room back."""
        if not self.path.exists():
            return 0
        with self._database.reading() as file:
            keys = [row[0] for row in file.execute("SELECT key FROM responses").fetchall()]
            picked = []
            for key in keys:
                row = file.execute("SELECT value FROM responses WHERE key = ?", (key,)).fetchone()
                if row is not None and which(key, bytes(row[0])):
                    picked.append((key,))
        if picked:
            with self._database.writing() as file:
                file.executemany("DELETE FROM responses WHERE key = ?", picked)
        return len(picked)

    def give_back(self) -> bool:
        """Overwrite what was deleted; False while another process reads from before."""
        with self._database.reading() as file:
            return give_back(file)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        self._database.close()

    def _is_due(self, size: int) -> bool:
        """Tell whether to check the size: at first, and after each hundredth of the limit."""
        with self._lock:
            written = self._unchecked
            due = written is None or written + size > self.max_bytes // 100
            self._unchecked = 0 if due else (written or 0) + size
            return due

    def _shrink(self, file: sqlite3.Connection) -> None:
        (total,) = file.execute("SELECT TOTAL(bytes) FROM responses").fetchone()
        if total <= self.max_bytes:
            return
        rows = file.execute("SELECT rowid, bytes FROM responses ORDER BY used, rowid").fetchall()
        gone = []
        for number, size in rows:
            if total <= self.max_bytes * _LEFT:
                break
            gone.append((number,))
            total -= size
        file.executemany("DELETE FROM responses WHERE rowid = ?", gone)
