"""The tables of a ledger's file, and how those of an earlier version become the present ones."""

from __future__ import annotations

import sqlite3

from rag.core.sqlite import Format

#: The purpose of a call that was not made, as the response cache had the answer.
CACHED = "cached"
#: ``held`` is what a budget counts for a call whose price is unknown: the dollars reserved for it. ``saved``
#: is what a call that was not made would have cost, if that is known.
_CALLS = """CREATE TABLE calls (
    at INTEGER NOT NULL,  -- microseconds since 1970, UTC
    model TEXT NOT NULL, purpose TEXT NOT NULL, "index" TEXT NOT NULL, prompt TEXT NOT NULL,
    tag TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL, cache_write_1h INTEGER NOT NULL, usd REAL,
    account TEXT NOT NULL DEFAULT '', held REAL, saved REAL
)"""
#: Money set aside for calls under way. ``machine``, ``pid`` and ``started`` name the process.
_RESERVATIONS = """CREATE TABLE reservations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, account TEXT NOT NULL, usd REAL NOT NULL,
    machine TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL
)"""
#: What users were told, so that each is told once: a threshold passed, a model without a price.
_NOTICES = """CREATE TABLE notices (
    period TEXT NOT NULL, account TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    at INTEGER NOT NULL, PRIMARY KEY (period, account, kind, subject)
) WITHOUT ROWID"""


def _create(file: sqlite3.Connection) -> None:
    for table in (_CALLS, _RESERVATIONS, _NOTICES):
        file.execute(table)


def _upgrade(file: sqlite3.Connection, version: int) -> None:
    """Version 1 had no accounts: its budgets summed up tags, so a row's account is its tag."""
    if version < 2:
        file.execute("ALTER TABLE calls ADD COLUMN account TEXT NOT NULL DEFAULT ''")
        file.execute("ALTER TABLE calls ADD COLUMN held REAL")
        file.execute("UPDATE calls SET account = tag")
        file.execute(_RESERVATIONS)
        file.execute(_NOTICES)
    file.execute("ALTER TABLE calls ADD COLUMN saved REAL")


def _view(file: sqlite3.Connection, version: int) -> None:
    accounts = ", tag AS account, NULL AS held" if version < 2 else ""
    file.execute(
        f"CREATE TEMP VIEW calls AS SELECT rowid AS rowid, *{accounts}, NULL AS saved FROM main.calls"
    )
    if version < 2:
        file.execute("CREATE TEMP VIEW reservations AS SELECT '' AS account, 0.0 AS usd WHERE 0")


#: Version 2 (November 2026) added accounts, reservations and notices; version 3 what was saved.
LEDGER = Format("ledger", "calls", 3, _create, _upgrade, _view)
