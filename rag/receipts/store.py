"""Receipts in a SQLite file, which only its owner can read and the processes of one machine share."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rag.core.errors import UsageError
from rag.core.ids import begins_at
from rag.core.sqlite import Database, Format, give_back

#: The file's name in an index's folder.
NAME = "receipts.sqlite"


def _create(file: sqlite3.Connection) -> None:
    file.execute(
        "CREATE TABLE receipts (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, expires REAL NOT NULL, "
        "receipt TEXT NOT NULL)"
    )
    file.execute("CREATE TABLE shown (id TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (id, source))")
    file.execute("CREATE INDEX shown_by_source ON shown (source)")
    file.execute("CREATE INDEX receipts_by_expiry ON receipts (expires)")


def _upgrade(file: sqlite3.Connection, version: int) -> None:
    """There is no earlier version."""


_FORMAT = Format("receipts", "receipts", 1, _create, _upgrade, private=True)


class ReceiptStore:
    """Receipts by the ids of their answers.

    Parameters
    ----------
    path : str or Path
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._database = Database(self.path, _FORMAT)

    def add(self, receipt: dict[str, Any], expires: float) -> None:
        """Keep a receipt until a moment, in seconds since 1970; drop those whose time is over."""
        sources = {each["source"] for each in receipt["passages"]}
        text = json.dumps(receipt, ensure_ascii=False, default=str)
        with self._database.writing() as file:
            over = file.execute("SELECT id FROM receipts WHERE expires <= ?", (time.time(),)).fetchall()
            self._drop(file, [row[0] for row in over])
            file.execute(
                "INSERT INTO receipts VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                (receipt["id"], receipt["tenant"], expires, text),
            )
            file.executemany(
                "INSERT INTO shown VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(receipt["id"], source) for source in sources],
            )

    def get(self, id: str, tenant: str | None = None) -> dict[str, Any]:
        """Return a receipt, by its answer's id or the id's beginning.

        Raises
        ------
        UsageError
            There is none, or several begin so.
        """
        found = self._rows("id >= ? AND id < ?", (id, f"{id}~"), tenant, 2)
        if len(found) != 1:
            what = "there is no receipt" if not found else "several receipts begin with"
            raise UsageError(f"{what} {id!r} in {self.path}: `rag answer list` has their ids")
        return found[0]

    def latest(self, count: int, *, tenant: str | None = None, since: float = 0.0) -> list[dict[str, Any]]:
        """Return receipts, the newest first."""
        return self._rows("id >= ?", (begins_at(since),), tenant, count)

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield all receipts that the file holds, expired ones too."""
        if not self.path.exists():
            return
        with self._database.reading() as file:
            ids = file.execute("SELECT id FROM receipts").fetchall()
            for id in ids:
                row = file.execute("SELECT receipt FROM receipts WHERE id = ?", id).fetchone()
                if row is not None:
                    yield json.loads(row[0])

    def give_back(self) -> bool:
        """Overwrite what was erased; False while another process reads from before."""
        with self._database.reading() as file:
            return give_back(file)

    def forget(
        self,
        *,
        id: str | None = None,
        before: float | None = None,
        sources: Iterable[str] = (),
        ids: Iterable[str] = (),
    ) -> int:
        """Erase receipts: one or several, those before a moment, or those that show passages of sources.

        Returns
        -------
        int
            How many they were.
        """
        if not self.path.exists():
            return 0
        with self._database.writing() as file:
            file.execute("PRAGMA secure_delete = ON")
            found: list[str] = [*ids]
            if id is not None:
                found += [row[0] for row in file.execute("SELECT id FROM receipts WHERE id = ?", (id,))]
            if before is not None:
                rows = file.execute("SELECT id FROM receipts WHERE id < ?", (begins_at(before),))
                found += [row[0] for row in rows]
            for source in sources:
                found += [row[0] for row in file.execute("SELECT id FROM shown WHERE source = ?", (source,))]
            return self._drop(file, list(dict.fromkeys(found)))

    @staticmethod
    def _drop(file: sqlite3.Connection, ids: list[str]) -> int:
        for table in ("receipts", "shown"):
            file.executemany(f"DELETE FROM {table} WHERE id = ?", [(id,) for id in ids])
        return len(ids)

    def _rows(
        self, condition: str, values: tuple[Any, ...], tenant: str | None, count: int
    ) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        if tenant is not None:
            condition, values = f"{condition} AND tenant = ?", (*values, tenant)
        with self._database.reading() as file:
            rows = file.execute(
                f"SELECT receipt FROM receipts WHERE {condition} AND expires > ? ORDER BY id DESC LIMIT ?",
                (*values, time.time(), count),
            ).fetchall()
        return [json.loads(row[0]) for row in rows]
