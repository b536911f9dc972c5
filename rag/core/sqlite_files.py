"""Which SQLite files are rag's own: plain files, with the tables of one of rag's stores and nothing else.

A file may come from elsewhere, in the folder of an index. SQLite would follow links beside it, and runs what
its schema says: a view or trigger can take for ever, and a journal can name a file to delete.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: What SQLite keeps beside a file, under the file's name with this ending.
_BESIDE = ("-wal", "-shm", "-journal")
#: The last bytes of a rollback journal that names another one, which SQLite would read and delete. rag
#: attaches no files, so that none of its journals does ("Database File Format", section 3.1, sqlite.org).
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")
#: More objects than any of rag's files has, and few enough to look at.
_MOST = 100
#: Words of a table's or index's SQL that make SQLite compute something with every row.
_COMPUTES = re.compile(r"\b(check|generated|as|collate|where|references|virtual)\b", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of each table, and the SQL of each index (None for one that SQLite makes itself)."""

    tables: Mapping[str, frozenset[str]]
    indexes: Mapping[str, str | None]


def odd_file(path: Path) -> tuple[Path, str] | None:
    """Return a file that SQLite must not open, the one at `path` or one beside it, and what it is.

    To open a pipe waits for ever. None where all are plain files, or missing.
    """
    for file in (path, *(Path(f"{path}{ending}") for ending in _BESIDE)):
        try:
            state = file.lstat()
        except OSError:
            continue  # missing, or not to be looked at: SQLite says which
        if stat.S_ISLNK(state.st_mode):
            return file, "is a link"
        if not stat.S_ISREG(state.st_mode):
            return file, "is a folder" if stat.S_ISDIR(state.st_mode) else "is no ordinary file"
        if state.st_nlink > 1:
            # Processes that open a file by two names corrupt it (sqlite.org, "How to corrupt", 2.5).
            return file, "has a second name (a hard link)"
    journal = Path(f"{path}-journal")
    with (
        contextlib.suppress(FileNotFoundError),
        journal.open("rb") as content,
    ):  # it ends with its transaction
        size = content.seek(0, os.SEEK_END)
        content.seek(max(size - len(_NAMES_ANOTHER), 0))
        if content.read() == _NAMES_ANOTHER:
            return journal, "is the journal of several files"
    return None


def schema(file: sqlite3.Connection) -> Schema:
    """Read the schema of one of rag's own files."""
    objects = file.execute("SELECT type, name, sql FROM main.sqlite_master").fetchall()
    tables = {name: frozenset(_columns(file, name)) for kind, name, _ in objects if kind == "table"}
    return Schema(tables, {name: _plain(sql) for kind, name, sql in objects if kind == "index"})


def foreign(file: sqlite3.Connection, own: Schema) -> str:
    """Say what a file's schema holds that rag does not make; empty for one of rag's own.

    `own` is the schema of a new file; an older one may lack some of it.
    """
    objects = file.execute("SELECT type, name, sql FROM main.sqlite_master LIMIT ?", [_MOST]).fetchall()
    for kind, name, sql in objects:
        if kind == "table" and name in own.tables:
            odd = _COMPUTES.search(_plain(sql) or "") or not set(_columns(file, name)) <= own.tables[name]
        elif kind == "table":
            odd = not name.startswith("sqlite_stat")  # of ANALYZE
        elif kind == "index":
            automatic = sql is None and name.startswith("sqlite_autoindex_")
            odd = not automatic and (name not in own.indexes or _plain(sql) != own.indexes[name])
        else:
            odd = True
        if odd:
            return f"its {kind} {name!r:.60} is foreign"
    return ""


def _columns(file: sqlite3.Connection, table: str) -> list[str]:
    """Return a table's columns; one that is generated or hidden is marked, so that it is nobody's."""
    rows = file.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", [table]).fetchall()
    return [f"{name} (hidden)" if hidden else name for name, hidden in rows]


def _plain(sql: str | None) -> str | None:
    return None if sql is None else " ".join(_COMMENT.sub(" ", sql).replace("IF NOT EXISTS ", "").split())
