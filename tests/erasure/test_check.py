"""A check finds what is left of a text or a name in files of any kind, and nothing where nothing is."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import rag
from rag.core.errors import SourceError
from rag.erasure.check import check
from tests.erasure.conftest import SECRET, TEXTS


def sqlite_free_page(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA secure_delete = OFF")
        file.execute("CREATE TABLE t (a TEXT)")
        file.execute("INSERT INTO t VALUES (?)", [SECRET])
        file.execute("DELETE FROM t")
    file.close()


def sqlite_compressed(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE t (a BLOB)")
        file.execute("INSERT INTO t VALUES (?)", [zlib.compress(SECRET.encode())])
    file.close()


HIDING: dict[str, Callable[[Path], object]] = {
    "plain.bin": lambda path: path.write_bytes(b"\0" * 1001 + SECRET.encode()[5:60] + b"\xff" * 99),
    "log.gz": lambda path: path.write_bytes(gzip.compress(SECRET.encode())),
    "log.bz2": lambda path: path.write_bytes(bz2.compress(SECRET.encode())),
    "log.xz": lambda path: path.write_bytes(lzma.compress(SECRET.encode())),
    "free.sqlite": sqlite_free_page,
    "packed.sqlite": sqlite_compressed,
    "segments/x/y.arrow": lambda path: (path.parent.mkdir(), path.write_bytes(b"\0" * 77 + SECRET.encode())),
}


@pytest.mark.parametrize("name", HIDING)
def test_a_piece_is_found_in_files_of_any_kind(path: Path, name: str) -> None:
    rag.forget(path, "jane.md")
    assert check(path, text=SECRET).remains == ()
    HIDING[name](path / name)
    assert [each.place for each in check(path, text=SECRET).remains] == [str(path / name)]


def test_a_text_is_read_from_a_file_of_any_format(path: Path, docs: Path) -> None:
    rag.forget(path, "jane.md")
    (path / "notes.txt").write_text(SECRET)
    (docs / "jane.html").write_text(f"<html><body><h1>Settlement</h1><p>{SECRET}</p></body></html>")
    for file in (docs / "jane.md", docs / "jane.html"):
        assert [each.place for each in check(path, text=file).remains] == [str(path / "notes.txt")]


def test_before_it_is_forgotten_it_is_found_by_name_and_text(path: Path) -> None:
    places = {each.place.removeprefix(f"{path}/").split("/")[0] for each in check(path, "jane.md").remains}
    assert places == {"version 1", "version 2", "version 3", "version 4", "segments"}


def test_a_name_alone_is_looked_for_where_its_file_is_gone(path: Path, docs: Path) -> None:
    rag.forget(path, "jane.md")
    (docs / "jane.md").unlink()
    result = check(path, "jane.md")
    assert (result.remains, result.looked_for) == ((), "the name")
    assert result.notes == (
        "jane.md: its file is not there, so only its name was looked for; --check FILE has a text",
    )
    assert check(path, "leave.md").remains != ()


def test_what_others_have_is_no_trace_with_a_name_but_is_without(path: Path, docs: Path) -> None:
    """leave.md says the same; whoever gives a text alone is shown where it stands."""
    line = "Staff in Europe take 28 days of annual leave each year, says the policy."
    (docs / "jane.md").write_text(TEXTS["jane.md"] + line)
    rag.build(docs, path)
    assert rag.forget(path, "jane.md").remains == ()
    assert check(path, "jane.md").remains == ()
    assert check(path, text=line).remains != ()


def test_stores_are_checked(path: Path, docs: Path) -> None:
    rag.forget(path, "jane.md")
    rag.Pipeline(path, settings={"receipts": True}).ask(f"Is it true that {SECRET}?")
    assert {Path(each.place).name for each in check(path, "jane.md").remains} == {"receipts.sqlite"}
    assert rag.forget(path, "jane.md").remains == () == check(path, "jane.md").remains


def test_a_file_without_a_text_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.md").write_text(" \n")
    with pytest.raises(SourceError, match=r"empty\.md"):
        check(path, text=tmp_path / "empty.md")
    with pytest.raises(SourceError, match=r"nothing\.md"):
        check(path, text=tmp_path / "nothing.md")
