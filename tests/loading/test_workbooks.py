"""Workbooks: cells as a person sees them, formulas nobody computed, stray cells, blank rows."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from rag.core.errors import LoadError
from tests.loading.files import zipped
from tests.loading.open_xml import packed, read, with_member, xml

SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def book(
    rows: str, *, styles: str = "", strings: str = "", calculation: str = "", more: str = "", **parts: str
) -> bytes:
    """A workbook of one sheet, S, from its rows."""
    links = {
        "s": ("worksheet", "worksheets/sheet1.xml"),
        "y": ("styles", "styles.xml"),
        "t": ("sharedStrings", "strings.xml"),
    }
    files: dict[str, str | bytes] = {
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{SHEET}"><sheetData>{rows}</sheetData>{more}</worksheet>',
        "xl/styles.xml": f'<styleSheet xmlns="{SHEET}">{styles}</styleSheet>',
        "xl/strings.xml": f'<sst xmlns="{SHEET}">{strings}</sst>',
        **{f"xl/{name}": part for name, part in parts.items()},
    }
    root = f'<workbook><sheets><sheet name="S" sheetId="1" r:id="s"/></sheets>{calculation}</workbook>'
    return packed("xl/workbook.xml", root, files, links)


def row(number: int, *cells: Any) -> str:
    """A row of numbers, texts, and cells in XML."""
    out = []
    for cell in cells:
        if cell is None:
            out.append("<c/>")
        elif isinstance(cell, str):
            out.append(cell if cell.startswith("<c") else f'<c t="inlineStr"><is><t>{cell}</t></is></c>')
        else:
            out.append(f"<c><v>{cell}</v></c>")
    return f'<row r="{number}">{"".join(out)}</row>'


def text(data: bytes, name: str = "a.xlsx") -> str:
    return read(data, name).text.removeprefix("# S\n\n")


def test_values_are_written_by_their_formats() -> None:
    out = io.BytesIO()
    made = xlsxwriter.Workbook(out, {"in_memory": True})
    sheet = made.add_worksheet("S")
    for at, (value, code) in enumerate([(0.075, "0.0%"), (42, "00000"), (1.5, "[h]:mm"), (46096, "d mmm yyyy"), (1e-7, "0.0E+00"),
                                        (0.1 + 0.2, "General"), (-3, "0;(0)"), ("x", '"Ref "@')]):  # fmt: skip
        sheet.write(0, at, value, made.add_format({"num_format": code}))
    sheet.write_boolean(1, 0, True)
    sheet.write_formula(1, 1, "=1/0", value="#DIV/0!")
    sheet.write_rich_string(1, 2, "m", made.add_format({"font_script": 1}), "2", " each")
    made.close()
    assert text(out.getvalue()) == (
        "| 7.5% | 00042 | 36:00 | 15 Mar 2026 | 1.0E-07 | 0.3 | (3) | Ref x |\n"
        + "|"
        + " --- |" * 8
        + "\n| TRUE | #DIV/0! | m² each |  |  |  |  |  |"
    )


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("<c><f>B2*C2</f></c>", "=B2*C2"),
        ("<c><f>B2*C2</f><v/></c>", "=B2*C2"),
        ("<c><f>SUM(B2:C2)</f><v>7</v></c>", "7"),
        ('<c t="str"><f>IF(A1,"","x")</f><v></v></c>', ""),
        ('<c t="str"><f>"a"</f><v>a</v></c>', "a"),
        ("<c><f>_xlfn.CONCAT(A1,B1)</f></c>", "=CONCAT(A1,B1)"),
        ('<c><f t="array" ref="D1">SUM(A1:A2*B1:B2)</f></c>', "=SUM(A1:A2*B1:B2)"),
        ("<c><f>B2*C2</f><v>0</v></c>", "0"),
        ('<c t="inlineStr"><is><t>a_x000D_b_x005F_c</t></is></c>', "a b_c"),
    ],
)
def test_a_formula_without_a_value_is_shown_itself(cell: str, shown: str) -> None:
    parsed = read(book(row(1, "total", "x", cell)), "a.xlsx")
    assert parsed.text.splitlines()[2] == (f"| total | x | {shown} |" if shown else "| total | x |")
    note = "formulas without a computed value are shown as formulas: 1, first S!C1 (open and save it in a spreadsheet program to have their values)"
    assert parsed.notes == ([note] if shown.startswith("=") else [])


def test_shared_formulas_are_those_of_their_own_cells() -> None:
    rows = row(
        1, "a", '<c r="B1"><f t="shared" ref="B1:B3" si="0">A1*$C$1+Rates!A1&amp;"A1"</f></c>'
    ) + "".join(row(n, "a", f'<c r="B{n}"><f t="shared" si="0"/></c>') for n in (2, 3))
    assert [line.split(" | ")[1].rstrip(" |") for line in text(book(rows)).splitlines() if "=" in line] == [
        '=A1*$C$1+Rates!A1&"A1"', '=A2*$C$1+Rates!A2&"A1"', '=A3*$C$1+Rates!A3&"A1"',
    ]  # fmt: skip


def test_zeros_of_a_book_that_was_never_computed_are_formulas() -> None:
    rows, uncomputed = (
        row(1, "n", "<c><f>A1+1</f><v>0</v></c>"),
        '<calcPr calcId="124519" fullCalcOnLoad="1"/>',
    )
    assert text(book(rows, calculation=uncomputed)).startswith("| n | =A1+1 |")
    assert text(book(rows, calculation='<calcPr calcId="191029"/>')).startswith("| n | 0 |")


@pytest.mark.parametrize("place", ["XFD1048576", "A1048576", "XFD2"])
def test_a_stray_cell_costs_nothing(place: str) -> None:
    stray = f'<row r="{place.lstrip("ABCDEFX")}"><c r="{place}"><v>9</v></c></row>'
    started = time.monotonic()
    loaded = text(book(row(1, "a", "b") + stray))
    assert time.monotonic() - started < 1 and len(loaded) < 100
    assert loaded.startswith("| a | b |") and "9" in loaded.split()


def test_cells_scattered_far_apart_are_lines() -> None:
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{n}</v></c><c r="{"ABCDEFGHIJ"[n % 10]}{"ABCDEFGHIJ"[n // 10 % 10]}{"ABC"[n // 100]}{n}"><v>7</v></c></row>' for n in range(1, 300))  # fmt: skip
    loaded = text(book(rows))
    assert len(loaded) < 5000 and loaded.splitlines()[4] == "5 7"


PLAIN = [("id", "name"), (1, "Ann"), None, (2, "Bob"), (3, "Cy")]


def rows_of(lines: list[tuple[Any, ...] | None]) -> str:
    return "".join(row(n, *cells) for n, cells in enumerate(lines, 1) if cells is not None)


@pytest.mark.parametrize(
    ("lines", "tables"),
    [
        (PLAIN, 1),
        ([("id", "name"), (1, "Ann"), None, None, None, (2, "Bob")], 1),
        ([("name", "city"), ("Ann", "Rome"), None, ("Bob", "Oslo")], 1),
        ([("id", "name"), None, (1, "Ann"), (2, "Bob")], 1),
        ([("id", "name", "note"), (1, "Ann", "x"), None, (2, "Bob")], 1),
        ([("id", "name"), (1, "Ann"), None, ("part", "price"), ("bolt", 3)], 2),
        ([("id", "name"), (1, "Ann"), None, ("id", "name"), (2, "Bob")], 2),
        ([("name", "city"), ("Ann", "Rome"), None, None, ("part", "colour"), ("bolt", "red")], 2),
        ([("id", "name"), (1, "Ann"), None, (2, "Bob", "more", 4)], 2),
    ],
)
def test_rows_behind_a_blank_one_are_rows_unless_a_table_begins(lines: list[Any], tables: int) -> None:
    loaded = text(book(rows_of(lines)))
    assert sum(line.startswith("| ---") for line in loaded.splitlines()) == tables
    assert all(str(cell) in loaded for cells in lines if cells for cell in cells)


def test_a_bold_head_begins_a_table_of_texts() -> None:
    bold = "<fonts><font/><font><b/></font></fonts><cellXfs><xf/><xf fontId='1'/></cellXfs>"
    heads = [f'<c s="1" t="inlineStr"><is><t>{name}</t></is></c>' for name in ("part", "colour")]
    lines = [("name", "city"), ("Ann", "Rome"), None, tuple(heads), ("bolt", "red")]
    assert text(book(rows_of(lines), styles=bold)).count("| --- |") == 2


def test_comments_text_boxes_and_charts_of_a_sheet_are_read(tmp_path: Path) -> None:
    made = xlsxwriter.Workbook(tmp_path / "a.xlsx")
    sheet = made.add_worksheet("S")
    sheet.write_row(0, 0, ["Q1", 5])
    sheet.write_comment("B1", "Checked by the auditor")
    sheet.insert_textbox(3, 0, "Figures are preliminary")
    chart = made.add_chart({"type": "column"})
    chart.add_series({"values": "=S!$B$1:$B$1", "name": "Sales"})
    chart.set_title({"name": "Sales by quarter"})
    sheet.insert_chart("D4", chart)
    made.close()
    assert text((tmp_path / "a.xlsx").read_bytes()) == (
        "| Q1 | 5 |\n| --- | --- |\n\nSales by quarter\n\nFigures are preliminary\n\nComment on B1: Checked by the auditor"
    )


def test_merged_hidden_and_dated_cells() -> None:
    rows = row(1, "year", None, "n") + row(2, '<c t="d"><v>2026-03-15T09:30:00</v></c>', 2, 3)
    hidden = book(rows, more='<mergeCells><mergeCell ref="A1:B1"/></mergeCells>')
    parsed = read(hidden, "a.xlsx")
    assert parsed.text == "# S\n\n| year |  | n |\n| --- | --- | --- |\n| 2026-03-15 09:30:00 | 2 | 3 |"
    state = with_member(
        hidden,
        "xl/workbook.xml",
        xml(
            '<workbook><workbookPr date1904="1"/><sheets><sheet name="S" state="veryHidden" r:id="s"/></sheets></workbook>'
        ).encode(),
    )
    assert read(state, "a.xlsx").notes == ["read with its hidden sheets: S"]


def test_shared_strings_are_read_without_the_readings_of_their_characters() -> None:
    strings = "<si><t>課きく</t><rPh sb='0' eb='1'><t>カ</t></rPh></si><si><r><t>10</t></r><r><rPr><vertAlign val='superscript'/></rPr><t>-3</t></r></si>"
    rows = row(1, '<c t="s"><v>0</v></c>', '<c t="s"><v>1</v></c>', '<c t="s"><v>99</v></c>')
    assert text(book(rows, strings=strings)).startswith("| 課きく | 10⁻³ |")


@pytest.mark.parametrize(
    "name", ["a.xlsx", "a.xlsm", "a.xltx", "a.xltm", "a.xls", "a.docx", "a.pptx", "a.ods"]
)
def test_a_workbook_is_read_as_what_it_is_whatever_its_name_says(name: str) -> None:
    assert text(book(row(1, "a", 1)), name) == "| a | 1 |\n| --- | --- |"


def test_a_strict_workbook_is_read() -> None:
    strict = book(row(1, "a", 1))
    for part in (
        "xl/worksheets/sheet1.xml",
        "xl/workbook.xml",
        "xl/styles.xml",
        "_rels/.rels",
        "xl/_rels/workbook.xml.rels",
    ):
        with zipfile.ZipFile(io.BytesIO(strict)) as archive:
            content = archive.read(part).decode()
        for family in ("spreadsheetml", "officeDocument"):
            content = content.replace(
                f"http://schemas.openxmlformats.org/{family}/2006/", f"http://purl.oclc.org/ooxml/{family}/"
            )
        strict = with_member(strict, part, content.encode())
    assert text(strict) == "| a | 1 |\n| --- | --- |"


def test_a_sheet_that_ends_early_is_read_as_far_and_noted() -> None:
    whole = f'<worksheet xmlns="{SHEET}"><sheetData>{row(1, "a", 1)}{row(2, "b", 2)}<row r="3"><c><v>'
    parsed = read(with_member(book(""), "xl/worksheets/sheet1.xml", whole.encode()), "a.xlsx")
    assert parsed.text == "# S\n\n| a | 1 |\n| --- | --- |\n| b | 2 |"
    assert parsed.notes == ["sheet 'S' is damaged: not read to its end"]
    with pytest.raises(LoadError, match="holds no text"):
        read(book(""), "a.xlsx")
    with pytest.raises(LoadError, match="is not a spreadsheet, or damaged"):
        read(zipped({"xl/nothing.xml": "<x/>"}), "a.xlsx")
