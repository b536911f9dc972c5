"""Sheets of OpenDocument files (ods): cells as they are displayed, which the file keeps beside the values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from rag.loading.formats.archive import local_name
from rag.loading.formats.cell_tables import Cell, Row, write_rows
from rag.loading.formats.number_format import format_number, general
from rag.loading.formats.opendocument_styles import Styles, attribute, number
from rag.loading.formats.sheet_texts import Formulas, SheetTexts
from rag.loading.formats.workbook_cells import letters_of
from rag.loading.structure import Text

#: A cell, and a row that holds something, says how often it is repeated: to the sheet's edge, at worst.
_MOST_CELLS, _MOST_ROWS = 64, 10_000
_CELLS = ("table-cell", "covered-table-cell")
_NUMBERS = ("float", "percentage", "currency", "date", "time")
_REFERENCE = re.compile(r"\[([^\]]*)\]")
_DURATION = re.compile(r"P(?:(\d+)D)?T?(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?\Z")

#: Returns the text of an element's paragraphs.
Reader = Callable[[Any], str]


def write_sheets(
    body: Any, styles: Styles, read: Reader, write_drawn: Callable[[Any, Text], None], kind: str, out: Text
) -> None:
    """Write the sheets of a workbook, each under its name.

    Parameters
    ----------
    read
        Returns what the paragraphs of a cell say.
    write_drawn
        Writes the shapes and charts that stand in an element.
    kind : str
        What the file should be, for errors.

    Raises
    ------
    LoadError
        Its sheets are empty, or none can be read.
    """
    texts = SheetTexts(out, kind)
    for table in body:
        if local_name(table) != "table":
            continue
        name = attribute(table, "name") or ""
        hidden = (attribute(table, "style-name") or "") in styles.hidden_tables
        with texts.sheet(name, hidden=hidden) as inner:
            comments: list[str] = []
            write_rows(_rows(table, name, read, comments, texts.formulas, inner), inner)
            write_drawn(table, inner)
            for comment in comments:
                inner.block(comment)
    texts.end()


def rows_of(table: Any) -> Iterator[Any]:
    """Yield the rows of a table in their order, those of its groups and none of tables inside it."""
    for element in table:
        name = local_name(element)
        if name == "table-row":
            yield element
        elif name != "table":
            yield from rows_of(element)


def _rows(
    table: Any, sheet: str, read: Reader, comments: list[str], formulas: Formulas, out: Text
) -> Iterator[Row]:
    at = 0
    for row in rows_of(table):
        again = number(attribute(row, "number-rows-repeated"), 1)
        cells: list[Cell] = []
        column = 0
        for element in row:
            if local_name(element) not in _CELLS:
                continue
            wide = number(attribute(element, "number-columns-repeated"), 1)
            place = f"{letters_of(column)}{at + 1}"
            text, is_number = _shown(element, read) if local_name(element) == "table-cell" else ("", False)
            if not text and attribute(element, "formula") and attribute(element, "value-type") is None:
                text, is_number = _formula(attribute(element, "formula") or ""), True
                formulas.add(f"{sheet}!{place}")
            if text.strip():
                cells += [
                    Cell(each, text, is_number) for each in range(column, column + min(wide, _MOST_CELLS))
                ]
            for note in element.iterchildren("{*}annotation"):
                words = " ".join(read(note).split())
                comments += [f"Comment on {place}: {words}"] * bool(words)
            column += wide
        if cells:
            yield from ((at + each + 1, cells) for each in range(min(again, _MOST_ROWS)))
            if again > _MOST_ROWS:
                out.parsed.notes.append(
                    f"a row of sheet {sheet!r} is repeated {again} times: read {_MOST_ROWS} times"
                )
        at += again


def _formula(code: str) -> str:
    """Return a formula as it is typed: ``of:=[.B2]*[.C2]`` is ``=B2*C2``."""
    formula = code.partition(":=")[2] or code.lstrip("=")
    return "=" + _REFERENCE.sub(lambda match: match[1].replace(":.", ":").lstrip("."), formula)


def _shown(cell: Any, read: Reader) -> tuple[str, bool]:
    """Return what a cell displays; of its value, where a program left out the text."""
    kind = attribute(cell, "value-type") or ""
    text = read(cell)
    if text or not kind:
        return text, kind in _NUMBERS
    if kind == "string":
        return attribute(cell, "string-value") or "", False
    if kind == "boolean":
        return (attribute(cell, "boolean-value") or "").upper(), False
    if kind == "date":
        return (attribute(cell, "date-value") or "").replace("T", " ").removesuffix(" 00:00:00"), True
    if kind == "time":
        duration = _DURATION.match(attribute(cell, "time-value") or "")
        if duration is None:
            return attribute(cell, "time-value") or "", True
        days, hours, minutes, seconds = (float(part or 0) for part in duration.groups())
        return format_number(days + hours / 24 + minutes / 1440 + seconds / 86_400, "[h]:mm:ss"), True
    try:
        value = float(attribute(cell, "value") or "")
    except ValueError:
        return "", False
    if kind == "percentage":
        return general(value * 100) + "%", True
    return general(value) + (f" {attribute(cell, 'currency') or ''}" if kind == "currency" else ""), True
