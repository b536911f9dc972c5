"""Workbooks in Open XML (xlsx and its kin): cells as a person sees them, comments, text boxes, charts."""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from rag.core.errors import LoadError
from rag.loading.formats.archive import damaged, local_name
from rag.loading.formats.cell_tables import Cell, Row, write_rows
from rag.loading.formats.drawing import body_text, write_graphics
from rag.loading.formats.number_format import BUILT_IN, format_number, format_text
from rag.loading.formats.ooxml import Package, relation_id
from rag.loading.formats.scripts import Piece, flat
from rag.loading.structure import Parsed, Text

_PLACE = re.compile(r"([A-Za-z]{1,3})(\d{1,7})\Z")
_REFERENCE = re.compile(
    r"\"[^\"]*\"|'[^']*'(?:!)?|(?<![\w.$])(\$?)([A-Z]{1,3})(\$?)(\d{1,7})(?![\w(.])"
)  # texts and names of sheets stay as they are
_COLUMNS = 16_384
#: What openpyxl and XlsxWriter say of a workbook that nobody has computed: its values are no values.
_UNCOMPUTED = ("124519", "1")
_FUTURE = re.compile(r"_xl(?:fn|ws|pm|udf)\.")


@dataclass
class _Book:
    """What the sheets share."""

    strings: list[str]
    codes: list[str]
    bold: list[bool]
    since_1904: bool
    computed: bool
    formulas: int = 0
    first_formula: str = ""
    shared: dict[str, tuple[int, int, str]] = field(default_factory=dict)


def read_workbook(package: Package, root: Any, kind: str) -> Parsed:
    """Read a workbook: each sheet under its name.

    Raises
    ------
    LoadError
        Its sheets are empty, or none can be read.
    """
    out = Text()
    book = _book(package, root)
    relations = package.relations(package.main)
    hidden = []
    failed: Exception | None = None
    for entry in root.iter("{*}sheet"):
        name = entry.get("name") or ""
        if entry.get("state") in ("hidden", "veryHidden"):
            hidden.append(name)
        related = relations.get(relation_id(entry))
        try:
            if related is None:
                raise KeyError(name)
            _sheet(package, related.target, name, book, out)
        except Exception as error:  # whatever a broken sheet makes of the reader
            failed = error
            package.notes.append(f"sheet {name!r} was not read ({type(error).__name__})")
    if hidden:
        out.parsed.notes.append(f"read with its hidden sheets: {', '.join(hidden[:5])}")
    if book.formulas:
        out.parsed.notes.append(
            f"formulas without a computed value are shown as formulas: {book.formulas}, first "
            f"{book.first_formula} (open and save it in a spreadsheet program to have their values)"
        )
    out.parsed.notes += package.notes
    if failed is not None and not out.length:
        raise damaged(kind, failed) from None
    if not out.length:
        raise LoadError("holds no text (all its sheets are empty)", "fill it, or leave it out")
    return out.done(package.properties("openpyxl"))


def _book(package: Package, root: Any) -> _Book:
    def part(kind: str) -> Any:
        names = package.related(package.main, kind)
        return package.xml(names[0]) if names else None

    properties, calculation = root.find("{*}workbookPr"), root.find("{*}calcPr")
    codes, bold = _styles(part("styles"))
    strings = part("sharedStrings")
    return _Book(
        [] if strings is None else [_rich(item) for item in strings.iterchildren("{*}si")], codes, bold,
        since_1904=properties is not None and properties.get("date1904") in ("1", "true"),
        computed=calculation is None
        or (calculation.get("calcId"), calculation.get("fullCalcOnLoad")) != _UNCOMPUTED,
    )  # fmt: skip


def _styles(root: Any) -> tuple[list[str], list[bool]]:
    """Return the number format of each cell style, and whether it is bold."""
    if root is None:
        return [], []
    codes = dict(BUILT_IN)
    for form in root.iterfind("{*}numFmts/{*}numFmt"):
        if (form.get("numFmtId") or "").isdecimal():
            codes[int(form.get("numFmtId"))] = form.get("formatCode") or "General"
    fonts = [
        font.find("{*}b") is not None and font.find("{*}b").get("val") not in ("0", "false")
        for font in root.iterfind("{*}fonts/{*}font")
    ]
    styles = list(root.iterfind("{*}cellXfs/{*}xf"))

    def number(style: Any, name: str) -> int:
        text = style.get(name) or "0"
        return int(text) if text.isdecimal() else 0

    return (
        [codes.get(number(style, "numFmtId"), "General") for style in styles],
        [number(style, "fontId") < len(fonts) and fonts[number(style, "fontId")] for style in styles],
    )


def _rich(item: Any) -> str:
    """Return the text of a string, without the readings of its characters."""
    pieces: list[Piece] = []
    for element in item:
        name = local_name(element)
        if name == "t":
            pieces.append((element.text or "", 0))
        elif name == "r":
            raised = element.find("{*}rPr/{*}vertAlign")
            place = {"superscript": 1, "subscript": -1}.get(
                "" if raised is None else raised.get("val") or "", 0
            )
            pieces += [(text.text or "", place) for text in element.iterchildren("{*}t")]
    return flat(pieces)


def _sheet(package: Package, part: str, name: str, book: _Book, out: Text) -> None:
    data = package.data(part)
    if data is None:
        raise KeyError(part)
    inner = Text()
    book.shared.clear()
    write_rows(_rows(package, data, name, book), inner)
    for drawing in package.related(part, "drawing"):
        root = package.xml(drawing)
        for shape in () if root is None else root.iter("{*}sp", "{*}graphicFrame"):
            body = shape.find("{*}txBody")
            inner.block("" if body is None else body_text(body))
            write_graphics(package, drawing, shape, inner, figures=False)
    _comments(package, part, inner)
    if inner.length:
        out.heading(1, name)
        out.include(inner.done())


def _rows(package: Package, data: bytes, name: str, book: _Book) -> Iterator[Row]:
    """Yield the rows that hold something, one at a time: what is empty costs nothing."""
    steps = etree.iterparse(
        io.BytesIO(data), events=("end",), tag="{*}row", recover=True, resolve_entities=False,
        no_network=True, load_dtd=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    number = 0
    for _, element in steps:
        text = element.get("r") or ""
        number = int(text) if text.isdecimal() and len(text) < 9 else number + 1
        cells = list(_cells(element, number, name, book))
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]
        if cells:
            yield number, sorted(cells, key=lambda cell: cell.column)
    if steps.error_log:
        package.notes.append(f"sheet {name!r} is damaged: not read to its end")


def _cells(row: Any, number: int, sheet: str, book: _Book) -> Iterator[Cell]:
    column = -1
    for element in row.iterchildren("{*}c"):
        place = _PLACE.match(element.get("r") or "")
        column = _column(place[1]) if place else column + 1
        if column >= _COLUMNS:
            continue
        style = element.get("s") or "0"
        at = int(style) if style.isdecimal() and int(style) < len(book.codes) else None
        code = "General" if at is None else book.codes[at]
        text, is_number = _shown(element, code, book, sheet, number, column)
        if text.strip():
            yield Cell(column, text, is_number, at is not None and book.bold[at])


def _column(letters: str) -> int:
    value = 0
    for letter in letters.upper():
        value = value * 26 + ord(letter) - 64
    return value - 1


def _shown(cell: Any, code: str, book: _Book, sheet: str, row: int, column: int) -> tuple[str, bool]:
    """Return what a cell shows, and whether that is a number."""
    kind = cell.get("t") or "n"
    stored = cell.find("{*}v")
    value = "" if stored is None else (stored.text or "").strip()
    formula = cell.find("{*}f")
    if formula is not None:
        written = _formula(formula, row, column, book)
        blank = value == "" and not (kind == "str" and stored is not None)
        if written and (blank or (value == "0" and kind == "n" and not book.computed)):
            book.formulas += 1
            book.first_formula = book.first_formula or f"{sheet}!{_letters(column)}{row}"
            return f"={written}", True
    if kind == "s":
        at = int(value) if value.isdecimal() else -1
        return (format_text(book.strings[at], code) if 0 <= at < len(book.strings) else ""), False
    if kind == "inlineStr":
        inside = cell.find("{*}is")
        return ("" if inside is None else format_text(_rich(inside), code)), False
    if kind == "str":
        return format_text(stored.text or "" if stored is not None else "", code), False
    if kind == "b":
        return {"1": "TRUE", "true": "TRUE", "0": "FALSE", "false": "FALSE"}.get(value, value), False
    if kind == "e" or not value:
        return value, False
    try:
        number = _serial(value, book) if kind == "d" else float(value)
        return format_number(number, code if kind != "d" or code != "General" else "yyyy-mm-dd hh:mm:ss",
                             since_1904=book.since_1904), True  # fmt: skip
    except (ValueError, OverflowError, ArithmeticError):
        return value, kind != "d"


def _serial(text: str, book: _Book) -> float:
    """Return a date in ISO 8601 as the number of days that it is otherwise stored as."""
    moment = dt.datetime.fromisoformat(text.removesuffix("Z"))
    first = dt.datetime(1904, 1, 1) if book.since_1904 else dt.datetime(1899, 12, 30)
    return (moment - first) / dt.timedelta(days=1)


def _formula(element: Any, row: int, column: int, book: _Book) -> str:
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
        letters = match[2] if match[1] else _letters(max(_column(match[2]) + right, 0))
        return f"{match[1]}{letters}{match[3]}{match[4] if match[3] else int(match[4]) + down}"

    return _REFERENCE.sub(moved, origin[2])


def _letters(column: int) -> str:
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def _comments(package: Package, part: str, out: Text) -> None:
    """Write the comments on a sheet's cells; those that are conversations in full."""
    threads: dict[str, list[str]] = {}
    for name in package.related(part, "threadedComment"):
        root = package.xml(name)
        for comment in [] if root is None else root.iter("{*}threadedComment"):
            threads.setdefault(comment.get("ref") or "", []).append(comment.findtext("{*}text") or "")
    for name in package.related(part, "comments"):
        root = package.xml(name)
        for comment in [] if root is None else root.iter("{*}comment"):
            body = comment.find("{*}text")
            if body is not None and (comment.get("ref") or "") not in threads:
                threads.setdefault(comment.get("ref") or "", []).append(_rich(body))
    for place, texts in threads.items():
        words = " ".join(" ".join(texts).split())
        out.block(f"Comment on {place}: {words}" if words else "")
