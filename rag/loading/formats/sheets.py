"""Workbooks (xlsx, xls, xlsb and their kin): which reader reads them; old and binary ones are read here."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rag.core.extras import require
from rag.loading.formats.archive import OLE, damaged, unlocked
from rag.loading.formats.cell_tables import Cell, Row, write_rows
from rag.loading.formats.number_format import general
from rag.loading.formats.ooxml import OPEN_DOCUMENT, Package, other_reader
from rag.loading.formats.registry import parse
from rag.loading.formats.sheet_texts import SheetTexts
from rag.loading.formats.workbook import read_workbook
from rag.loading.structure import Options, Parsed, Text

_KIND = "a spreadsheet"


def parse_sheets(path: Path, data: bytes, options: Options) -> Parsed:
    """Read a workbook: each sheet under its name, cells as they were last computed."""
    data = unlocked(data, options, "a workbook (.xlsx)", old=None)
    if not data.startswith(OLE):
        package = Package(data, _KIND)
        if package.is_open_document():
            return parse(OPEN_DOCUMENT, path, data, options)
        if package.main and not package.main.endswith(".bin"):
            root = package.root()
            return other_reader(root, "workbook", path, data, options) or read_workbook(package, root, _KIND)
    return _stored(data)


def _stored(data: bytes) -> Parsed:
    """Read a workbook of the old or the binary format, by calamine: values, and dates in ISO 8601."""
    python_calamine = require("python_calamine", extra="office")
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        sheets = list(zip(book.sheet_names, book.sheets_metadata, strict=True))
    except Exception as error:  # calamine has an exception for each kind of damage
        raise damaged(_KIND, error) from None
    out = Text()
    texts = SheetTexts(out, _KIND)
    for name, facts in sheets:
        hidden = facts.visible != python_calamine.SheetVisibleEnum.Visible
        with texts.sheet(name, hidden=hidden) as inner:
            sheet = book.get_sheet_by_name(name)
            first = sheet.start[1] if sheet.start else 0
            write_rows(_rows_of(sheet.iter_rows(), first), inner)
    texts.end()
    return out.done()


def _rows_of(rows: Iterable[Sequence[Any]], first: int) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        cells = [
            Cell(column, text, not isinstance(value, str | bool))
            for column, value in enumerate(row, first) if value != "" and (text := _cell(value)).strip()
        ]  # fmt: skip
        if cells:
            yield number, cells


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return general(value)
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        return value.date().isoformat()
    if isinstance(value, dt.date | dt.datetime | dt.time):
        return value.isoformat()
    return str(value)
