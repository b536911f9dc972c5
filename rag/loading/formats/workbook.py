"""Workbooks in Open XML (xlsx and its kin): cells as a person sees them, comments, text boxes, charts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from lxml import etree

from rag.loading.formats.cell_tables import Row, write_rows
from rag.loading.formats.drawing import body_text, write_graphics
from rag.loading.formats.number_format import BUILT_IN
from rag.loading.formats.ooxml import Package, relation_id
from rag.loading.formats.sheet_texts import Formulas, SheetTexts
from rag.loading.formats.workbook_cells import Book, cells_of, rich_text
from rag.loading.structure import Parsed, Text

#: What openpyxl and XlsxWriter say of a workbook that nobody has computed: its values are no values.
_UNCOMPUTED = ("124519", "1")


def read_workbook(package: Package, root: Any, kind: str) -> Parsed:
    """Read a workbook: each sheet under its name.

    Raises
    ------
    LoadError
        Its sheets are empty, or none can be read.
    """
    out = Text()
    texts = SheetTexts(out, kind)
    book = _book(package, root, texts.formulas)
    relations = package.relations(package.main)
    for entry in root.iter("{*}sheet"):
        name = entry.get("name") or ""
        with texts.sheet(name, hidden=entry.get("state") in ("hidden", "veryHidden")) as inner:
            related = relations.get(relation_id(entry))
            if related is None:
                raise KeyError(name)
            _sheet(package, related.target, name, book, inner)
    texts.end()
    out.parsed.notes += package.notes
    return out.done(package.properties("openpyxl"))


def _book(package: Package, root: Any, formulas: Formulas) -> Book:
    def part(kind: str) -> Any:
        names = package.related(package.main, kind)
        return package.xml(names[0]) if names else None

    properties, calculation = root.find("{*}workbookPr"), root.find("{*}calcPr")
    codes, bold = _styles(part("styles"))
    strings = part("sharedStrings")
    return Book(
        [] if strings is None else [rich_text(item) for item in strings.iterchildren("{*}si")], codes, bold,
        since_1904=properties is not None and properties.get("date1904") in ("1", "true"),
        computed=calculation is None
        or (calculation.get("calcId"), calculation.get("fullCalcOnLoad")) != _UNCOMPUTED,
        formulas=formulas,
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

    forms = [codes.get(number(style, "numFmtId"), "") for style in styles]
    return (
        ["" if code == "General" else code for code in forms],
        [number(style, "fontId") < len(fonts) and fonts[number(style, "fontId")] for style in styles],
    )


def _sheet(package: Package, part: str, name: str, book: Book, inner: Text) -> None:
    data = package.data(part)
    if data is None:
        raise KeyError(part)
    book.shared.clear()
    write_rows(_rows(package, data, name, book), inner)
    for drawing in package.related(part, "drawing"):
        root = package.xml(drawing)
        for shape in () if root is None else root.iter("{*}sp", "{*}graphicFrame"):
            body = shape.find("{*}txBody")
            inner.block("" if body is None else body_text(body))
            write_graphics(package, drawing, shape, inner, figures=False)
    _comments(package, part, inner)


def _rows(package: Package, data: bytes, name: str, book: Book) -> Iterator[Row]:
    """Yield the rows that hold something, one at a time: what is empty costs nothing."""
    steps = etree.iterparse(
        io.BytesIO(data), events=("end",), tag="{*}row", recover=True, resolve_entities=False,
        no_network=True, load_dtd=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    number = 0
    for _, element in steps:
        text = element.get("r") or ""
        number = int(text) if text.isdecimal() and len(text) < 9 else number + 1
        cells = list(cells_of(element, number, name, book))
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]
        if cells:
            in_order = all(cells[at].column < cells[at + 1].column for at in range(len(cells) - 1))
            yield number, cells if in_order else sorted(cells, key=lambda cell: cell.column)
    if steps.error_log:
        package.notes.append(f"sheet {name!r} is damaged: not read to its end")


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
                threads.setdefault(comment.get("ref") or "", []).append(rich_text(body))
    for place, texts in threads.items():
        words = " ".join(" ".join(texts).split())
        out.block(f"Comment on {place}: {words}" if words else "")
