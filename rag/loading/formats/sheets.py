"""Spreadsheets (xlsx, xls, xlsb, ods): every block of cells a Markdown table."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rag.core.errors import LoadError
from rag.core.extras import require
from rag.loading.formats.archive import OLE, damaged, open_zip, unlocked
from rag.loading.structure import Options, Parsed, Text

_KIND = "a spreadsheet"


def parse_sheets(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a workbook: each sheet under its name, cells as they were last computed."""
    python_calamine = require("python_calamine", extra="office")
    data = unlocked(data, options, "a workbook (.xlsx)", old=None)
    if not data.startswith(OLE):
        open_zip(data, _KIND)
    out = Text()
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        names = book.sheet_names
    except Exception as error:  # calamine has an exception for each kind of damage
        raise damaged(_KIND, error) from None
    failed: Exception | None = None
    hidden = [
        one.name for one in book.sheets_metadata if one.visible != python_calamine.SheetVisibleEnum.Visible
    ]
    if hidden:
        out.parsed.notes.append(f"read with its hidden sheets: {', '.join(hidden[:5])}")
    for name in names:
        try:
            rows = book.get_sheet_by_name(name).to_python(skip_empty_area=True)
        except Exception as error:
            failed = error
            out.parsed.notes.append(f"sheet {name!r} was not read ({type(error).__name__})")
            continue
        blocks = list(_blocks([[_cell(value) for value in row] for row in rows]))
        if blocks:
            out.heading(1, name)
        for block in blocks:
            write_block(block, out)
    if failed is not None and not out.length:
        raise damaged(_KIND, failed) from None
    if not out.length:
        raise LoadError("holds no text (all its sheets are empty)", "fill it, or leave it out")
    return out.done()


def _blocks(rows: Iterable[Sequence[str]]) -> Iterable[list[Sequence[str]]]:
    """Part the rows at blank ones: a sheet often holds several tables."""
    block: list[Sequence[str]] = []
    for row in rows:
        if any(cell.strip() for cell in row):
            block.append(row)
        elif block:
            yield block
            block = []
    if block:
        yield block


def write_block(block: Sequence[Sequence[str]], out: Text) -> None:
    """Write a block as a table; a single column, or a caption above a table, as lines."""
    first = min(next(at for at, cell in enumerate(row) if cell.strip()) for row in block)
    rows = [list(row[first:]) for row in block]
    while len(rows) > 1 and _filled(rows[0]) == 1 and max(map(_filled, rows)) > 1:
        out.block(" ".join(" ".join(rows.pop(0)).split()))
    if max(map(_filled, rows)) <= 1:
        for number, row in enumerate(rows):
            (out.line if number else out.block)(" ".join(" ".join(row).split()))
    else:
        out.table(rows)


def _filled(row: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in row)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    if isinstance(value, dt.date | dt.datetime | dt.time):
        return value.isoformat()
    return str(value)
