"""A version's table of sources: every file of the build, its hashes, and why it is not indexed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pyarrow as pa

from rag.core.files import Quarantined
from rag.index.storage.columns import Columns, reading


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One file, as a build saw it.

    Attributes
    ----------
    sha256 : str
        Of the file's bytes.
    metadata_sha256 : str
        Of the metadata that came with the file.
    chunks : int
        Rows in the index; 0 for a quarantined file.
    reason, advice : str
        Why the file is not indexed, and what to do; empty for one that is.
    """

    source: str
    sha256: str
    metadata_sha256: str
    bytes: int
    chunks: int
    reason: str = ""
    advice: str = ""


_TYPES = {"bytes": pa.int64(), "chunks": pa.int64()}
_SCHEMA = pa.schema([(f.name, _TYPES.get(f.name, pa.string())) for f in fields(SourceRecord)])


def write_sources(path: Path, records: Iterable[SourceRecord]) -> None:
    """Write a table of sources, in order of path."""
    rows = [asdict(record) for record in sorted(records, key=lambda record: record.source)]
    with pa.ipc.new_file(str(path), _SCHEMA) as sink:
        sink.write_table(pa.Table.from_pylist(rows, _SCHEMA))


def open_sources(path: Path) -> Columns:
    """Open a table of sources."""
    return Columns(path, _SCHEMA)


def read_sources(columns: Columns) -> list[SourceRecord]:
    """Read a table of sources."""
    with reading(columns.path):
        return [SourceRecord(**row) for row in columns.table().to_pylist()]


def quarantined(records: Iterable[SourceRecord]) -> tuple[Quarantined, ...]:
    """Return the files that could not be indexed, in order of path."""
    return tuple(
        Quarantined(record.source, record.reason, record.advice)
        for record in sorted(records, key=lambda record: record.source) if record.reason
    )  # fmt: skip
