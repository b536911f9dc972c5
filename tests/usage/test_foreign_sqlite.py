"""A SQLite file with a schema of its own, or links beside it, is refused at once and left as it is."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rag.core.errors import RagError
from rag.core.sqlite import Format, open_file
from rag.embedding.cache import CachedEmbeddings, connect, info
from rag.embedding.static import StaticEmbeddings
from rag.usage.ledger import Ledger
from rag.usage.ledger_tables import LEDGER

FOR_EVER = "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n)"


def ledger(path: Path) -> sqlite3.Connection:
    open_file(path, LEDGER).close()
    return sqlite3.connect(path, isolation_level=None)


def cache(path: Path) -> sqlite3.Connection:
    connect(path).close()
    return sqlite3.connect(path, isolation_level=None)


#: What somebody did to a file of ours, or made in place of one.
SCHEMAS: dict[str, tuple[str, ...]] = {
    "view for ever": (
        "DROP TABLE {table}",
        f"CREATE VIEW {{table}} AS {FOR_EVER} SELECT i AS key, i AS vector FROM n",
    ),
    "another view": (f"CREATE VIEW more AS {FOR_EVER} SELECT i FROM n",),
    "trigger": (
        f"CREATE TRIGGER t AFTER INSERT ON {{table}} BEGIN SELECT max(i) FROM ({FOR_EVER} SELECT i FROM n); END",
    ),
    "generated column": ("ALTER TABLE {table} ADD COLUMN x AS (hex(zeroblob(1000000000)))",),
    "check": ("DROP TABLE {table}", "CREATE TABLE {table} (at INTEGER CHECK (length(randomblob(at)) > 0))"),
    "column": ("ALTER TABLE {table} ADD COLUMN theirs TEXT",),
    "expression in an index": ("CREATE INDEX theirs ON {table} (hex(zeroblob(100)))",),
    "part of an index": ("CREATE INDEX theirs ON {table} (model) WHERE model > ''",),
    "virtual table": ("CREATE VIRTUAL TABLE words USING fts5(word)",),
    "another table": ("CREATE TABLE theirs (x)",),
    "many tables": tuple(f"CREATE TABLE theirs_{n} (x)" for n in range(200)),
    "application id": ("PRAGMA application_id = 1196444487",),
    "no table of ours": ("DROP TABLE {table}", "CREATE TABLE theirs (x)"),
}


@pytest.fixture(autouse=True)
def hurry() -> Iterator[None]:
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("what", list(SCHEMAS))
@pytest.mark.parametrize(("make", "table"), [(ledger, "calls"), (cache, "embeddings")])
def test_a_foreign_schema_is_refused(
    tmp_path: Path, make: Callable[[Path], sqlite3.Connection], table: str, what: str
) -> None:
    path = tmp_path / "x.sqlite"
    file = make(path)
    for statement in SCHEMAS[what]:
        file.execute(statement.format(table=table))
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()
    before = path.read_bytes()
    uses: list[Callable[[], Any]] = (
        [lambda: connect(path), lambda: info(path), lambda: CachedEmbeddings(StaticEmbeddings(), path)]
        if make is cache
        else [
            lambda: open_file(path, LEDGER),
            lambda: Ledger(path).spent(),
            lambda: Ledger(path).rows(("day",)),
        ]
    )
    for use in uses:
        with pytest.raises(RagError, match=r"is no (ledger|embedding cache)") as caught:
            use()
        assert len(str(caught.value).splitlines()) == 1
    assert path.read_bytes() == before


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("how", ["link", "dangling", "hard link", "pipe", "folder"])
def test_nothing_beside_a_file_is_a_link(tmp_path: Path, ending: str, how: str) -> None:
    path, theirs = tmp_path / "x.sqlite", tmp_path / "theirs"
    if ending:
        cache(path).close()
    theirs.write_text("years of work")
    place = Path(f"{path}{ending}")
    place.unlink(missing_ok=True)
    {
        "link": lambda: place.symlink_to(theirs), "dangling": lambda: place.symlink_to(tmp_path / "nowhere"),
        "hard link": lambda: place.hardlink_to(theirs), "pipe": lambda: os.mkfifo(place), "folder": place.mkdir,
    }[how]()  # fmt: skip
    with pytest.raises(RagError, match=r"is a link|hard link|no ordinary file|is a folder"):
        connect(path)
    assert theirs.read_text() == "years of work"
    assert not (tmp_path / "nowhere").exists()


def test_a_journal_that_names_another_file_is_refused(tmp_path: Path) -> None:
    """SQLite would read that file as a list of journals, and delete it."""
    path, theirs = tmp_path / "x.sqlite", tmp_path / "theirs"
    file = cache(path)
    file.execute("PRAGMA journal_mode = DELETE")
    file.close()
    theirs.write_text("years of work")
    name = str(theirs).encode()
    record = (1).to_bytes(4, "big") + name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big")
    magic = bytes.fromhex("d9d505f920a163d7")
    head = magic + bytes(20) + bytes(512 - 28)
    Path(f"{path}-journal").write_bytes(head + record + magic)
    with pytest.raises(RagError, match="is the journal of several files"):
        connect(path)
    assert theirs.read_text() == "years of work"


def test_our_own_files_of_every_version_are_opened(tmp_path: Path) -> None:
    """Also with what ANALYZE adds, and after an upgrade, whose columns are appended."""
    for make, check in ((ledger, lambda path: open_file(path, LEDGER)), (cache, connect)):
        path = tmp_path / f"{make.__name__}.sqlite"
        file = make(path)
        file.execute("ANALYZE")
        file.close()
        check(path).close()
    older = tmp_path / "older.sqlite"
    with sqlite3.connect(older) as file:
        file.execute(
            "CREATE TABLE embeddings (key BLOB PRIMARY KEY, vector BLOB NOT NULL, model BLOB NOT NULL, "
            "used INTEGER NOT NULL) WITHOUT ROWID"
        )
        file.execute("CREATE TABLE models (model BLOB PRIMARY KEY, fingerprint TEXT)")
    file.close()
    for _ in range(2):
        connect(older).close()
    commented = Format(
        "store", "t", 1, lambda f: f.execute("CREATE TABLE t (x INTEGER -- as it was\n)"), lambda f, v: None
    )  # type: ignore[arg-type, return-value]
    for _ in range(2):
        open_file(tmp_path / "t.sqlite", commented).close()
