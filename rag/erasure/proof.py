"""Looking for what is left of erased documents, in every file of an index's folder and in the stores.

Files are read as bytes, whatever they are: Arrow's buffers are written uncompressed, and SQLite's pages are
read with those that are free, and with the WAL file. What is compressed is unpacked: values in SQLite's
tables, and files packed by gzip, bzip2 or xz. Names are looked for where the index and the stores keep names.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import itertools
import lzma
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from rag.core.errors import RagError
from rag.core.sqlite_files import odd_file
from rag.erasure.report import Remnant
from rag.erasure.runs import Runs
from rag.index.storage.columns import without_advice
from rag.index.storage.forgotten import UNDER_WAY
from rag.index.storage.segment import open_segment
from rag.index.storage.selection import Selection, Versions
from rag.index.storage.sources import open_sources, read_sources

_PIECE = 8 << 20
_MOST_VALUE = 64 << 20
#: The first bytes of packed files, and what unpacks them.
_PACKED: Mapping[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_SQLITE = b"SQLite format 3\x00"
#: Beside a SQLite file: its WAL is read with it, and the index of the WAL holds numbers alone.
_BESIDE = ("-wal", "-shm")
_READ = "import shutil, sys; shutil.copyfileobj(open(sys.argv[1], 'rb'), sys.stdout.buffer, 1 << 20)"


def in_files(folder: Path, others: Iterable[Path], runs: Runs) -> list[Remnant]:
    """Look for runs in every file of a folder, and in files elsewhere."""
    if not runs:
        return []
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    stores = dict.fromkeys(others)
    files += [path for path in stores if path.is_file() and path not in files]
    found = []
    for path in files:
        if path.name in (UNDER_WAY, f"{UNDER_WAY}.new") or path.name.endswith(_BESIDE):
            continue
        try:
            found += [Remnant(str(path), what) for what in _in_file(path, runs, path in stores)]
        except (OSError, EOFError, sqlite3.Error, lzma.LZMAError, zlib.error, RagError) as error:
            found.append(Remnant(str(path), f"it cannot be read ({error}), so that nothing is known of it"))
    return found


def in_names(folder: Path, versions: Versions, selection: Selection) -> list[Remnant]:
    """Look for documents by name and id in every version's tables and segments."""
    found = [
        Remnant(f"version {number}", f"it cannot be read: {why}")
        for number, why in versions.unreadable.items()
    ]
    for manifest in versions.readable:
        records = read_sources(open_sources(folder / manifest.sources.path))
        if any(record.source in selection.sources for record in records):
            found.append(Remnant(f"version {manifest.version}", "a document is in its table of sources"))
    for manifest, entry in versions.entries:
        try:
            segment = open_segment(folder, entry, manifest.embedder.dimensions)
            count = int(selection.of(segment).sum())
        except RagError as error:
            found.append(Remnant(f"segments/{entry.id}", without_advice(error)))
            continue
        if count:
            found.append(Remnant(f"segments/{entry.id}", f"{count} of the documents are in it"))
    return found


def _in_file(path: Path, runs: Runs, is_store: bool) -> Iterator[str]:
    if is_store or path.suffix == ".sqlite":
        with _elsewhere(path) as stream:
            head, found = _searched(stream, runs)
        if head.startswith(_SQLITE):
            yield from _in_sqlite(path, runs)
    else:
        with path.open("rb") as stream:
            head, found = _searched(stream, runs)
    if found:
        yield "a piece of a text is in it"
    for begin, unpack in _PACKED.items():
        if head.startswith(begin):
            with unpack(path, "rb") as unpacked:
                if runs.in_stream(_pieces(unpacked)):
                    yield "a piece of a text is in it, packed"


def _searched(stream: IO[bytes], runs: Runs) -> tuple[bytes, bool]:
    """Return the beginning of a file, and whether a run is in it."""
    head = stream.read(_PIECE)
    return head, runs.in_stream(itertools.chain([head], _pieces(stream)))


@contextlib.contextmanager
def _elsewhere(path: Path) -> Iterator[IO[bytes]]:
    """Read a file in a process of its own.

    It may be one of SQLite's that this process has open, and to close a second descriptor of one drops the
    locks that it holds there (sqlite.org, "How to corrupt", 2.2).
    """
    command = [sys.executable, "-I", "-S", "-c", _READ, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reading:
        assert reading.stdout is not None
        yield reading.stdout
        left = reading.stdout.read(1)  # what was found may stand before the end
        if left:
            reading.kill()
    if reading.returncode and not left:
        raise OSError(f"reading it ended with {reading.returncode}")


def _in_sqlite(path: Path, runs: Runs) -> Iterator[str]:
    wal = Path(f"{path}-wal")
    if wal.exists() and runs.find(wal.read_bytes()) is not None:
        yield "a piece of a text is in the WAL file beside it: another process reads from before"
    if odd := odd_file(path):
        raise RagError(f"{odd[0].name} {odd[1]}")
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as file:
        if any(_unpacked(value, runs) for value in _blobs(file)):
            yield "a piece of a text is in a compressed value"


def _blobs(file: sqlite3.Connection) -> Iterator[bytes]:
    file.execute("PRAGMA trusted_schema = OFF")
    tables = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    for table, sql in tables:
        if "VIRTUAL" in (sql or "").upper():
            continue
        quoted = table.replace('"', '""')
        for row in file.execute(f'SELECT * FROM "{quoted}"'):
            yield from (value for value in row if isinstance(value, bytes) and value[:1] == b"\x78")


def _unpacked(value: bytes, runs: Runs) -> bool:
    try:
        return runs.find(zlib.decompressobj().decompress(value, _MOST_VALUE)) is not None
    except zlib.error:
        return False


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
