"""Word, slides, sheets, books, OpenDocument and rich text."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from pathlib import Path

import docx
import docx.oxml
import pptx
import pytest
import xlsxwriter
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

import rag
from rag.core.passages import STRUCTURE
from tests.loading.files import load, refused, titles, zipped


def test_word_headings_lists_tables_and_notes_are_markdown_in_their_order(tmp_path: Path) -> None:
    made = docx.Document()
    made.core_properties.title = "Pump manual"
    made.add_heading("Pumps", 0)
    made.add_paragraph("Read this first.")
    made.add_heading("Cleaning", 2)
    for text, style in (("drain", "List Bullet"), ("rinse", "List Bullet 2"), ("dry", "List Bullet")):
        made.add_paragraph(text, style)
    made.add_paragraph("open", "List Number")
    made.add_paragraph("close", "List Number")
    table = made.add_table(2, 3)
    for cell, text in zip(table._cells, ["Part", "Torque | Nm", "Note", "bolt", "12", ""], strict=True):
        cell.text = text
    made.add_paragraph("The end.")
    out = io.BytesIO()
    made.save(out)
    document = load(tmp_path, "a.docx", out.getvalue())
    assert document.page_content == (
        "# Pumps\n\nRead this first.\n\n## Cleaning\n\n- drain\n  - rinse\n- dry\n1. open\n2. close\n\n"
        "| Part | Torque \\| Nm | Note |\n| --- | --- | --- |\n| bolt | 12 |  |\n\nThe end."
    )
    assert titles(document) == [(1, "Pumps"), (2, "Cleaning")]
    assert document.metadata["title"] == "Pump manual"
    [(start, below, end)] = document.metadata[STRUCTURE]["tables"]
    assert document.page_content[start:below].count("\n") == 2
    assert document.page_content[below:end] == "| bolt | 12 |  |"


def test_word_text_that_python_docx_leaves_out_is_read(tmp_path: Path) -> None:
    made = docx.Document()
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    body = made.element.body

    def add(xml: str) -> None:
        body.insert(len(body) - 1, docx.oxml.parse_xml(xml.replace(">", f" {space}>", 1)))

    add("<w:sdt><w:sdtContent><w:p><w:r><w:t>in a content control</w:t></w:r></w:p></w:sdtContent></w:sdt>")
    add('<w:p><w:ins w:id="1" w:author="a"><w:r><w:t>inserted</w:t></w:r></w:ins>'
        '<w:del w:id="2" w:author="a"><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>')  # fmt: skip
    add("<w:p><w:r><w:t>before</w:t></w:r><w:r><w:pict><w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p>"
        "</w:txbxContent></w:pict></w:r></w:p>")  # fmt: skip
    section = made.sections[0]
    section.header.paragraphs[0].text = "Confidential"
    section.footer.paragraphs[0].text = "Kelvara 2026"
    out = io.BytesIO()
    made.save(out)
    document = load(tmp_path, "a.docx", out.getvalue())
    assert document.page_content == (
        "Confidential\n\nin a content control\n\ninserted\n\nbefore\n\nin a box\n\nKelvara 2026"
    )
    margins = document.metadata[STRUCTURE]["margins"]
    assert [document.page_content[a:b] for a, b in margins] == ["Confidential", "Kelvara 2026"]


def test_word_survives_the_loss_of_a_part_that_holds_no_text(tmp_path: Path) -> None:
    made = docx.Document()
    made.add_paragraph("Words that stay.")
    out = io.BytesIO()
    made.save(out)

    def damaged(part: str) -> bytes:
        data = bytearray(out.getvalue())
        with zipfile.ZipFile(out) as archive:
            item = archive.getinfo(part)
        at = item.header_offset + 30 + len(part) + item.compress_size // 2
        data[at : at + 20] = bytes(20)
        return bytes(data)

    document = load(tmp_path, "a.docx", damaged("word/styles.xml"))
    assert document.page_content == "Words that stay."
    assert document.metadata[STRUCTURE]["notes"] == ["its part word/styles.xml is damaged: left out"]
    assert "is not a Word document (.docx), or damaged" in refused(
        tmp_path, "b.docx", damaged("word/document.xml")
    )


def test_merged_word_cells_are_written_once(tmp_path: Path) -> None:
    made = docx.Document()
    table = made.add_table(3, 3)
    for number, cell in enumerate(table._cells):
        cell.text = f"c{number}"
    table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
    table.cell(1, 2).merge(table.cell(2, 2)).text = "tall"
    out = io.BytesIO()
    made.save(out)
    assert load(tmp_path, "a.docx", out.getvalue()).page_content == (
        "| wide |  | c2 |\n| --- | --- | --- |\n| c3 | c4 | tall |\n| c6 | c7 |  |"
    )


def test_slides_are_pages_with_titles_nested_lists_tables_charts_and_notes(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Results"
    frame = first.placeholders[1].text_frame
    frame.text = "up"
    for text, level in (("by ten", 1), ("down", 0)):
        paragraph = frame.add_paragraph()
        paragraph.text, paragraph.level = text, level
    first.notes_slide.notes_text_frame.text = "Say it slowly."
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Figures"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for at, text in enumerate(["Year", "Sales", "2026", "7"]):
        table.cell(at // 2, at % 2).text = text
    data = CategoryChartData()
    data.categories = ["Q1", "Q2"]
    data.add_series("EMEA", (1.5, None))
    second.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, Inches(1), Inches(3), Inches(4), Inches(3), data)
    out = io.BytesIO()
    deck.save(out)
    document = load(tmp_path, "a.pptx", out.getvalue())
    assert document.page_content == (
        "# Results\n\n- up\n  - by ten\n- down\n\nNotes: Say it slowly.\n\n# Figures\n\n"
        "| Year | Sales |\n| --- | --- |\n| 2026 | 7 |\n\n|  | EMEA |\n| --- | --- |\n| Q1 | 1.5 |\n| Q2 |  |"
    )
    pages = document.metadata[STRUCTURE]["pages"]
    assert [document.page_content[at : at + 9] for at in pages] == ["# Results", "# Figures"]


def test_a_sheet_is_a_section_and_each_block_of_cells_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = xlsxwriter.Workbook(path)
    sheet = book.add_worksheet("Prices 2026")
    date = book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.write_row(2, 1, ["Item", "Price", "From"])
    sheet.write_row(3, 1, ["pump", 12.5])
    sheet.write_datetime(3, 3, dt.datetime(2026, 1, 31), date)
    sheet.write_row(4, 1, ["hose", 3])
    sheet.write(5, 1, True)
    sheet.write(8, 1, "Second table")
    sheet.write_row(9, 1, ["x", "y"])
    sheet.write_formula(10, 1, "=1+1", value=2)
    sheet.write(10, 2, "two")
    book.add_worksheet("Empty")
    book.add_worksheet("Notes").write(0, 0, "alone")
    book.close()
    document = rag.Loader(path, workers=1).load()[0]
    assert document.page_content == (
        "# Prices 2026\n\n| Item | Price | From |\n| --- | --- | --- |\n| pump | 12.5 | 2026-01-31 |\n"
        "| hose | 3 |  |\n| TRUE |  |  |\n\nSecond table\n\n| x | y |\n| --- | --- |\n| 2 | two |\n\n# Notes\n\nalone"
    )
    assert titles(document) == [(1, "Prices 2026"), (1, "Notes")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'name,quote\nAnn,"She said ""no"", twice"\n'),
        ("a.csv", 'name;quote\nAnn;"She said ""no"", twice"\n'),
        ("a.csv", "name|quote\nAnn|She said \"no\", twice\n"),
        ("a.tsv", 'name\tquote\nAnn\tShe said "no", twice\n'),
        ("a.csv", '\ufeffname,quote\r\nAnn,"She said ""no"", twice"\r\n'),
    ],
)  # fmt: skip
def test_delimited_text_is_a_table_whatever_parts_its_fields(tmp_path: Path, name: str, text: str) -> None:
    document = load(tmp_path, name, text)
    assert document.page_content == '| name | quote |\n| --- | --- |\n| Ann | She said "no", twice |'


def test_a_book_is_its_chapters_in_the_order_of_reading(tmp_path: Path) -> None:
    page = "<html xmlns='http://www.w3.org/1999/xhtml'><body>{}</body></html>"
    document = load(tmp_path, "a.epub", zipped({
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OPS/b.opf"/></rootfiles></container>',
        "OPS/b.opf": (
            '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Rivers</dc:title>'
            '<dc:creator>A. Writer</dc:creator></metadata><manifest>'
            '<item id="two" href="c%202.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="one" href="c1.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
            '<item id="lost" href="lost.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="nav"/><itemref idref="one"/><itemref idref="two"/><itemref idref="lost"/></spine></package>'
        ),
        "OPS/c1.xhtml": page.format("<h1>Source</h1><p>It springs.</p>"),
        "OPS/c 2.xhtml": page.format("<h1>Mouth</h1><p>It ends.</p>"),
        "OPS/nav.xhtml": page.format("<p>contents</p>"),
    }))  # fmt: skip
    assert document.page_content == "# Source\n\nIt springs.\n\n# Mouth\n\nIt ends."
    assert titles(document) == [(1, "Source"), (1, "Mouth")]
    assert (document.metadata["title"], document.metadata["author"]) == ("Rivers", "A. Writer")
    assert document.metadata[STRUCTURE]["notes"] == ["the chapter 'OPS/lost.xhtml' was not read (KeyError)"]


def test_opendocument_text_has_headings_lists_tables_and_notes(tmp_path: Path) -> None:
    spaces = " ".join(
        f'xmlns:{n}="urn:oasis:names:tc:opendocument:xmlns:{n}:1.0"' for n in ("office", "text", "table")
    )
    body = (
        '<text:h text:outline-level="2">Tides</text:h><text:p>High<text:s text:c="2"/>water<text:note>'
        "<text:note-citation>1</text:note-citation><text:note-body><text:p>twice a day</text:p></text:note-body>"
        "</text:note>.</text:p><text:list><text:list-item><text:p>ebb</text:p><text:list><text:list-item>"
        "<text:p>slow</text:p></text:list-item></text:list></text:list-item></text:list>"
        '<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>'
        '<table:table-cell table:number-columns-repeated="1000000"/></table:table-row><table:table-row>'
        "<table:table-cell><text:p>1</text:p></table:table-cell><table:table-cell><text:p>2</text:p>"
        "</table:table-cell></table:table-row></table:table>"
        "<text:tracked-changes><text:p>gone</text:p></text:tracked-changes>"
    )  # fmt: skip
    content = f"<office:document-content {spaces}><office:body><office:text>{body}</office:text></office:body></office:document-content>"
    document = load(tmp_path, "a.odt", zipped({"META-INF/manifest.xml": "<m/>", "content.xml": content}))
    assert document.page_content == (
        "## Tides\n\nHigh  water. [twice a day]\n\n- ebb\n  - slow\n\n| a |  |\n| --- | --- |\n| 1 | 2 |"
    )


def test_rich_text_has_its_table_and_its_letters(tmp_path: Path) -> None:
    source = (
        r"{\rtf1\ansi\ansicpg1252{\info{\title Menu}}\pard Caf\'e9 \u8364? 5\par"
        r"\trowd\cellx1\cellx2\pard\intbl a\cell b\cell\row\pard\intbl 1\cell 2\cell\row\pard End\par}"
    )
    document = load(tmp_path, "a.rtf", source)
    assert document.page_content == "Café € 5\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nEnd"
    assert document.metadata["title"] == "Menu"
