"""The opener of SQLite files: what it makes, upgrades, refuses at once, and only reads."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from rag.core import sqlite
from rag.core.errors import RagError
from rag.core.sqlite import Database, Format, open_file
from rag.usage.ledger import Ledger
from tests.usage.test_ledger import version_1


def make(file: sqlite3.Connection) -> None:
    file.execute("CREATE TABLE things (name TEXT, size INTEGER)")


def upgrade(file: sqlite3.Connection, version: int) -> None:
    file.execute("ALTER TABLE things ADD COLUMN size INTEGER")
    file.execute("UPDATE things SET size = LENGTH(name)")


THINGS = Format("store of things", "things", 2, make, upgrade)


def old(path: Path, version: int = 1) -> Path:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE things (name TEXT)")
        file.execute("INSERT INTO things VALUES ('abc')")
        file.execute(f"PRAGMA user_version = {version}")
    file.close()
    return path


def test_a_new_file_has_tables_version_and_wal(tmp_path: Path) -> None:
    file = open_file(tmp_path / "deep" / "x.sqlite", THINGS)
    assert file.execute("PRAGMA user_version").fetchone() == (2,)
    assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert file.execute("SELECT * FROM things").fetchall() == []
    file.close()


def test_many_threads_make_one_file(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with Database(tmp_path / "x.sqlite", THINGS).writing() as file:
                file.execute("INSERT INTO things VALUES ('a', 1)")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with Database(tmp_path / "x.sqlite", THINGS).reading() as file:
        assert file.execute("SELECT COUNT(*) FROM things").fetchone() == (16,)


def test_an_older_file_is_upgraded_once_and_a_failed_upgrade_changes_nothing(tmp_path: Path) -> None:
    path = old(tmp_path / "x.sqlite")

    def fail(file: sqlite3.Connection, version: int) -> None:
        upgrade(file, version)
        raise OSError("no room")

    with pytest.raises(OSError):
        open_file(path, Format("store", "things", 2, make, fail))
    for _ in range(2):
        file = open_file(path, THINGS)
        assert file.execute("SELECT name, size FROM things").fetchall() == [("abc", 3)]
        file.close()


@pytest.mark.parametrize(
    ("kind", "message"),
    [("folder", "is a folder"), ("pipe", "is no ordinary file"), ("theirs", "is no store of things"),
     ("versioned", "is no store of things"), ("newer", "is a store of things of a newer version of rag"),
     ("before", "is no store of things")],
)  # fmt: skip
def test_what_is_not_ours_is_refused_at_once_and_left_as_it_is(tmp_path, kind: str, message: str) -> None:
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("theirs", "versioned"):
        with sqlite3.connect(path) as file:
            file.execute("CREATE TABLE theirs (x)")
            file.execute(f"PRAGMA user_version = {2 * (kind == 'versioned')}")
        file.close()
    else:
        old(path, 3 if kind == "newer" else 0)
    before = path.read_bytes() if path.is_file() else None
    started = time.monotonic()
    with pytest.raises(RagError) as error:
        open_file(path, THINGS)
    assert time.monotonic() - started < 2
    assert str(error.value) == f"{path} {message}: name another file for the store of things"
    assert [each.name for each in tmp_path.iterdir()] == ["x"]
    assert before is None or path.read_bytes() == before


def test_a_file_of_text_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("some text " * 500)
    with pytest.raises(sqlite3.DatabaseError, match="file is not a database"):
        open_file(path, THINGS)
    assert path.read_text() == "some text " * 500


def test_an_error_takes_the_transaction_back(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite", THINGS)
    with pytest.raises(KeyError), database.writing() as file:
        file.execute("INSERT INTO things VALUES ('a', 1)")
        raise KeyError
    with database.reading() as file:
        assert file.execute("SELECT COUNT(*) FROM things").fetchone() == (0,)


def test_a_file_that_was_replaced_while_open_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    database = Database(path, THINGS)
    for name in ("a", "b"):
        with database.writing() as file:
            file.execute("INSERT INTO things VALUES (?, 1)", (name,))
            assert file.execute("SELECT name FROM things").fetchall() == [(name,)]
        path.unlink()
    with pytest.raises(sqlite3.OperationalError), database.reading():
        pass


def test_a_fork_has_a_connection_of_its_own(tmp_path: Path) -> None:
    database = Database(tmp_path / "x.sqlite", THINGS)
    with database.writing() as file:
        file.execute("INSERT INTO things VALUES ('parent', 1)")
    child = os.fork()
    if not child:
        with database.writing() as file:
            file.execute("INSERT INTO things VALUES ('child', 1)")
        database.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with database.writing() as file:
        file.execute("INSERT INTO things VALUES ('parent again', 1)")
        assert file.execute("SELECT COUNT(*) FROM things").fetchone() == (3,)


def test_what_cannot_be_written_is_read_and_nothing_is_made_beside_it(tmp_path, monkeypatch) -> None:
    path = version_1(tmp_path / "ledger.sqlite")
    monkeypatch.setattr(sqlite.os, "access", lambda path, mode: mode != os.W_OK)
    ledger = Ledger(path)
    assert (ledger.spent(), ledger.spent(account="a")) == (3.0, 2.0)
    assert {row.group: row.calls for row in ledger.rows(("account",))} == {("",): 1, ("a",): 2}
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.sqlite"]
    with pytest.raises(RagError, match="can only be read, and was made by an older version"):
        open_file(old(tmp_path / "x.sqlite"), THINGS)
