"""Cells of Open XML sheets: values by their formats, formulas where there is no value."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rag.loading.formats.archive import local_name
from rag.loading.formats.cell_tables import Cell
from rag.loading.formats.number_format import format_number, format_text, general
from rag.loading.formats.scripts import Piece, flat
from rag.loading.formats.sheet_texts import Formulas

_REFERENCE = re.compile(
    r"\"[^\"]*\"|'[^']*'!?|(?<![\w.$])(\$?)([A-Z]{1,3})(\$?)(\d{1,7})(?![\w(.])"
)  # texts and names of sheets stay as they are
_COLUMNS = 16_384
_FUTURE = re.compile(r"_xl(?:fn|ws|pm|udf)\.")
#: A character that XML cannot hold, or an underscore that would begin one (ECMA-376, Part 1, 22.9.2.19).
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_BOOLEANS = {"1": "TRUE", "true": "TRUE", "0": "FALSE", "false": "FALSE"}


@dataclass
class Book:
    """What the cells of a workbook share, and what was met in them.

    Attributes
    ----------
    codes, bold
        Number format of each cell style (empty for General), and whether it is bold.
    computed : bool
        False where a program has written zeros for the values of formulas that nobody has computed.
    formulas : Formulas
        Takes those that have no value.
    """

    strings: list[str]
    codes: list[str]
    bold: list[bool]
    since_1904: bool
    computed: bool
    formulas: Formulas
    shared: dict[str, tuple[int, int, str]] = field(default_factory=dict)


def cells_of(row: Any, number: int, sheet: str, book: Book) -> Iterator[Cell]:
    """Yield the cells of a row (counted from 1) that show something."""
    column = -1
    space = row.tag.rpartition("}")[0] + "}" if row.tag.startswith("{") else ""
    names = (space + "v", space + "f", space + "is")
    for element in row:
        place = element.get("r")
        at = column_of(place) if place else -1
        column = at if at >= 0 else column + 1
        if column >= _COLUMNS or not len(element):
            continue
        style = element.get("s") or "0"
        index = int(style) if style.isdecimal() and int(style) < len(book.codes) else -1
        code = book.codes[index] if index >= 0 else ""
        text, is_number = _shown(element, names, code, book, (sheet, number, column))
        if text and not text.isspace():
            yield Cell(column, text, is_number, index >= 0 and book.bold[index])


@functools.lru_cache(maxsize=20_000)
def _column(letters: str) -> int:
    if not letters.isascii() or not letters.isalpha() or len(letters) > 3:
        return -1
    value = 0
    for letter in letters.upper():
        value = value * 26 + ord(letter) - 64
    return value - 1


def column_of(place: str) -> int:
    """Return the column, from 0, of a place such as ``B12``; -1 for none."""
    return _column(place.rstrip("0123456789"))


def letters_of(column: int) -> str:
    """Return the letters of a column, from 0."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _shown(
    cell: Any, names: tuple[str, str, str], code: str, book: Book, place: tuple[str, int, int]
) -> tuple[str, bool]:
    """Return what a cell shows, and whether that is a number."""
    stored = formula = inside = None
    for element in cell:
        tag = element.tag
        if tag == names[0]:
            stored = element.text or ""
        elif tag == names[1]:
            formula = element
        elif tag == names[2]:
            inside = element
    kind = cell.get("t") or "n"
    value = "" if stored is None else stored.strip()
    if formula is not None:
        written = _formula(formula, place[1], place[2], book)
        blank = value == "" and not (kind == "str" and stored is not None)
        if written and (blank or (value == "0" and kind == "n" and not book.computed)):
            book.formulas.add(f"{place[0]}!{letters_of(place[2])}{place[1]}")
            return f"={written}", True
    if kind == "n":
        return _number(value, code, book) if value else ("", False)
    if kind == "s":
        at = int(value) if value.isdecimal() else -1
        return (_text(book.strings[at], code) if 0 <= at < len(book.strings) else ""), False
    if kind == "inlineStr":
        return ("" if inside is None else _text(rich_text(inside), code)), False
    if kind == "str":
        return _text(_unescaped(stored or ""), code), False
    if kind == "d" and value:
        return _number(_serial(value, book), code or "yyyy-mm-dd hh:mm:ss", book)
    return _BOOLEANS.get(value, value) if kind == "b" else value, False


def _text(value: str, code: str) -> str:
    return format_text(value, code) if code else value


def _number(value: str, code: str, book: Book) -> tuple[str, bool]:
    if not code and value.isdecimal() and len(value) < 16:
        return value, True
    try:
        number = float(value)
        shown = format_number(number, code, since_1904=book.since_1904) if code else general(number)
    except (ValueError, OverflowError, ArithmeticError):
        return value, False
    return shown, True


def _serial(text: str, book: Book) -> str:
    """Return a date in ISO 8601 as the number of days that it is otherwise stored as."""
    try:
        moment = dt.datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        return text
    first = dt.datetime(1904, 1, 1) if book.since_1904 else dt.datetime(1899, 12, 30)
    return repr((moment - first) / dt.timedelta(days=1))


def rich_text(item: Any) -> str:
    """Return the text of a string, without the readings of its characters."""
    pieces: list[Piece] = []
    for element in item:
        name = local_name(element)
        if name == "t":
            pieces.append((_unescaped(element.text or ""), 0))
        elif name == "r":
            raised = element.find("{*}rPr/{*}vertAlign")
            height = "" if raised is None else raised.get("val")
            place = {"superscript": 1, "subscript": -1}.get(height or "", 0)
            pieces += [(_unescaped(text.text or ""), place) for text in element.iterchildren("{*}t")]
    return pieces[0][0] if len(pieces) == 1 else flat(pieces)


def _unescaped(text: str) -> str:
    if "_x" not in text:
        return text
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def _formula(element: Any, row: int, column: int, book: Book) -> str:
    """Return a cell's formula; one that it shares with others, for its own place."""
    text = _FUTURE.sub("", element.text or "")
    if element.get("t") != "shared":
        return text
    key = element.get("si") or ""
    if text:
        book.shared[key] = (row, column, text)
        return text
    origin = book.shared.get(key)
    if origin is None:
        return ""
    down, right = row - origin[0], column - origin[1]

    def moved(match: re.Match[str]) -> str:
        if match[2] is None:
            return match[0]
        letters = match[2] if match[1] else letters_of(max(_column(match[2]) + right, 0))
        return f"{match[1]}{letters}{match[3]}{match[4] if match[3] else int(match[4]) + down}"

    return _REFERENCE.sub(moved, origin[2])
