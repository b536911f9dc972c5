"""A review queue in a SQLite file, which the threads and processes of one machine share."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rag.core.answers import Answer
from rag.core.errors import ReviewConflictError, UsageError
from rag.core.ids import begins_at
from rag.core.sqlite import Database, Format, give_back
from rag.review.packing import unpack
from rag.review.records import Decision, Item
from rag.review.store import Selection, changed

#: The file's name in an index's folder.
NAME = "reviews.sqlite"
#: Items that are read at once; no other thread waits for more than these.
_PAGE = 200


def _create(file: sqlite3.Connection) -> None:
    file.execute(
        "CREATE TABLE items (id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, state TEXT NOT NULL, "
        "expires REAL NOT NULL, item TEXT NOT NULL, answer BLOB NOT NULL)"
    )
    file.execute("CREATE UNIQUE INDEX by_fingerprint ON items (fingerprint)")
    file.execute("CREATE INDEX by_state ON items (state, id)")
    file.execute("CREATE INDEX items_by_expiry ON items (expires)")
    file.execute(
        "CREATE TABLE decisions (id TEXT NOT NULL, number INTEGER NOT NULL, decision TEXT NOT NULL, "
        "PRIMARY KEY (id, number))"
    )


def _upgrade(file: sqlite3.Connection, version: int) -> None:
    """There is no earlier version."""


_FORMAT = Format("review queue", "decisions", 1, _create, _upgrade, private=True)


class SqliteReviews:
    """A review queue in a file that only its owner can read.

    Parameters
    ----------
    path : str or Path
    timeout_s : float
        How long to wait for another process's transaction.
    """

    def __init__(self, path: str | Path, *, timeout_s: float = 5.0) -> None:
        self.path = Path(path)
        # What a person decided must not be lost with the power.
        self._database = Database(self.path, _FORMAT, synchronous="FULL", timeout_s=timeout_s)

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self.path)

    def add(self, item: Item, answer: bytes, expires: float) -> Item:
        """Keep an item, unless there is one of the same fingerprint, which is returned."""
        if (known := self._known(item.fingerprint)) is not None:
            return known
        with self._database.writing() as file:
            now = time.time()
            self._erase(file, [
                row[0] for row in file.execute("SELECT id FROM items WHERE expires <= ?", (now,))
            ])  # fmt: skip
            added = file.execute(
                "INSERT INTO items VALUES (?, ?, 'open', ?, ?, ?) ON CONFLICT (fingerprint) DO NOTHING",
                (item.id, item.fingerprint, expires, _text(item), answer),
            ).rowcount
            if added:
                return item
        # Another process added it meanwhile.
        return self._known(item.fingerprint) or item

    def get(self, id: str) -> Item | None:
        """Return an item that has not expired."""
        rows = self._rows("id = ? AND expires > ?", (id, time.time()), 1)
        return rows[0] if rows else None

    def answer(self, id: str) -> bytes | None:
        """Return the answer of an item."""
        if not self.path.exists():
            return None
        with self._database.reading() as file:
            row = file.execute("SELECT answer FROM items WHERE id = ?", (id,)).fetchone()
        return None if row is None else bytes(row[0])

    def items(self, selection: Selection) -> Iterator[Item]:
        """Yield the items of a selection, newest first."""
        condition, values = "id >= ? AND expires > ?", [begins_at(selection.since), time.time()]
        if selection.state is not None:
            condition, values = f"{condition} AND state = ?", [*values, selection.state]
        before: list[Any] = []
        while rows := self._rows(
            condition + (" AND id < ?" if before else ""), (*values, *before), _PAGE
        ):  # fmt: skip
            yield from (item for item in rows if item in selection)
            before = [rows[-1].id]

    def decide(self, id: str, decision: Decision, seen: int) -> Item:
        """Add a decision, if the item still has `seen` decisions."""
        self._refuse_missing(id)
        with self._database.writing() as file:
            rows = _read(file, "id = ? AND expires > ?", (id, time.time()), 1)
            if not rows:
                raise UsageError(f"there is no item {id} in {self.place}: see `rag review list`")
            item = rows[0].after(decision)
            if len(rows[0].decisions) != seen:
                raise ReviewConflictError(changed(id))
            file.execute(
                "INSERT INTO decisions VALUES (?, ?, ?)",
                (id, seen, json.dumps(decision.to_dict())),
            )
            file.execute("UPDATE items SET state = ? WHERE id = ?", (item.state, id))
        return item

    def remove(self, which: Callable[[Item, Answer], bool]) -> int:
        """Erase the items that a function picks, and give the room back."""
        picked = []
        for item in self.items(Selection()):
            data = self.answer(item.id)
            if data is not None and which(item, unpack(data)):
                picked.append(item.id)
        return self._erased(picked)

    def prune(self) -> int:
        """Erase what has expired, and give the room back."""
        if not self.path.exists():
            return 0
        with self._database.reading() as file:
            rows = file.execute("SELECT id FROM items WHERE expires <= ?", (time.time(),)).fetchall()
        return self._erased([row[0] for row in rows])  # also what `add` erased is overwritten

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        self._database.close()

    def _known(self, fingerprint: str) -> Item | None:
        rows = self._rows("fingerprint = ? AND expires > ?", (fingerprint, time.time()), 1)
        return rows[0] if rows else None

    def _rows(self, condition: str, values: Sequence[Any], most: int) -> list[Item]:
        if not self.path.exists():
            return []
        with self._database.reading() as file:
            return _read(file, condition, values, most)

    def _refuse_missing(self, id: str) -> None:
        if not self.path.exists():
            raise UsageError(f"there is no item {id}: {self.place} does not exist")

    def _erased(self, ids: Sequence[str]) -> int:
        if not self.path.exists():
            return 0
        with self._database.writing() as file:
            count = self._erase(file, ids)
        self.give_back()
        return count

    def give_back(self) -> bool:
        """Overwrite what was erased; False while another process reads from before."""
        with self._database.reading() as file:  # what was erased must not stay in free pages
            return give_back(file)

    @staticmethod
    def _erase(file: sqlite3.Connection, ids: Sequence[str]) -> int:
        count = 0
        for each in ids:
            count += file.execute("DELETE FROM items WHERE id = ?", (each,)).rowcount
            file.execute("DELETE FROM decisions WHERE id = ?", (each,))
        return count


def _read(file: sqlite3.Connection, condition: str, values: Sequence[Any], most: int) -> list[Item]:
    """Return items that meet a condition, newest first, with their decisions."""
    rows = file.execute(
        f"SELECT id, item FROM items WHERE {condition} ORDER BY id DESC LIMIT {most}", tuple(values)
    ).fetchall()
    made = [
        tuple(
            Decision.from_dict(json.loads(row[0]))
            for row in file.execute("SELECT decision FROM decisions WHERE id = ? ORDER BY number", (id,))
        )
        for id, _ in rows
    ]
    return [
        replace(Item.from_dict(json.loads(text)), decisions=decisions)
        for (_, text), decisions in zip(rows, made, strict=True)
    ]


def _text(item: Item) -> str:
    return json.dumps(item.to_dict())
