"""Files as people and programs write them."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import docx
import docx.oxml
import pptx
import pytest
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from rag.loading.formats.margins import find_margins
from tests.loading.files import load, mime, paged, titles_of


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<ul><li>a</li><ul><li>nested</li></ul><li>c</li></ul>", "- a\n  - nested\n- c"),
        ("<ul><p>stray</p>text in ul<li>x</li></ul>", "stray\ntext in ul\n\n- x"),
        ("<div><li>One</li><li>Two</li></div>", "One\n\nTwo"),
        ("<label>Name</label><label>City</label>", "Name\n\nCity"),
        ("<pre>a<br>b<!--x-->c</pre>", "```\na\nbc\n```"),
        ("<ul><li><pre>x = 1\ny = 2</pre></li></ul>", "```\nx = 1\ny = 2\n```"),
        ("<ul><li><p>one</p><p>two</p></li><li>three</li></ul>", "- one\n  two\n- three"),
        ("<ul><li>a<div><ol><li>deep</li></ol></div></li></ul>", "- a\n  1. deep"),
        ("<b><h5>H5</h5>txt</b>", "##### H5\n\ntxt"),
        ("<table><caption>My <b>bold</b> cap</caption><tr><td>1<td>2</table>", "My bold cap\n\n| 1 | 2 |\n| --- | --- |"),
        ("<ol start=5><li>five<li value=9>nine<li>ten</ol>", "5. five\n9. nine\n10. ten"),
        ("<ul><li style='display:none'>no</li><li>yes</li></ul>", "- yes"),
        ("<table><tr><td>a<td hidden>no</td><tr hidden><td>no<tr><td>b</table>", "| a |\n| --- |\n| b |"),
        ("<dl><dt>Term</dt><dd>Meaning</dd></dl>", "Term\n\nMeaning"),
        ("<p>See <a href=x>this</a>, <em>now</em>.</p>", "See this, now."),
    ],
)  # fmt: skip
def test_html_as_people_write_it(tmp_path: Path, page: str, text: str) -> None:
    assert load(tmp_path, "a.html", page).page_content == text


@pytest.mark.parametrize("page", ["".join(f"<div>line {n} " for n in range(300)), "".join(f"<p><font>line {n} " for n in range(400)),
                                  "<div>" * 300 + "line 299" + "</div>" * 300, f"<p>first</p><p>{'word ' * 2_400_000}</p><p>line 299</p>"])  # fmt: skip
def test_deep_and_long_html_is_read_to_its_end(tmp_path: Path, page: str) -> None:
    assert "line 299" in load(tmp_path, "a.html", page).page_content


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.html", b"<meta charset=iso-8859-1><p>\x93quoted\x94 it\x92s \x80", "“quoted” it’s €"),
        ("a.html", '<meta charset="gb2312"><p>朱镕基'.encode("gbk"), "朱镕基"),
        ("a.xml", '<?xml version="1.0" encoding="ISO-8859-2"?><p>Zażółć gęślą jaźń</p>'.encode("iso-8859-2"), "p: Zażółć gęślą jaźń"),
        ("a.xml", b"<d><p>Hello <!-- c --> world</p><q>a<?pi x?>b</q></d>", "p: Hello world\nq: ab"),
        ("a.xml", b'<!DOCTYPE d [<!ENTITY prod "Acme">]><d><p>The &prod; guide</p></d>', "p: The Acme guide"),
        ("a.rtf", "{\\rtf1\\ansi\\ansicpg1251 Привет\\par}".encode("cp1251"), "Привет"),
        ("a.csv", b"sep=;\r\nname;age\r\nAnn;3\r\n", "| name | age |\n| --- | --- |\n| Ann | 3 |"),
        ("a.tsv", b'"unbalanced\tx\nc\td\n', '| "unbalanced | x |\n| --- | --- |\n| c | d |'),
    ],
)  # fmt: skip
def test_declared_encodings_and_odd_marks_are_read_as_they_are_meant(
    tmp_path: Path, name: str, data: bytes, text: str
) -> None:
    assert load(tmp_path, name, data).page_content == text


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (mime('Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nplain part\r\n'
              "--x\r\nContent-Type: text/html\r\n\r\n<p>HTML continuation\r\n--x--\r\n"), ["plain part", "HTML continuation"]),
        (mime('Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>html one\r\n'
              "--x\r\nContent-Type: text/plain\r\n\r\nfooter\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>html two\r\n--x--\r\n"),
         ["html one", "footer", "html two"]),
        (mime("Content-Type: multipart/mixed\r\n\r\nbody without a boundary\r\n"), ["body without a boundary"]),
        (mime('Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<meta charset="iso-8859-1"><p>Grüße'), ["Grüße"]),
        (mime("Content-Type: text/html; charset=iso-8859-2\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>Zażółć gęślą", "iso-8859-2"), ["Zażółć gęślą"]),
        (mime('Content-Type: multipart/report; boundary="x"\r\n\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\n'
              "Reporting-MTA: dns; a.example\r\n\r\nFinal-Recipient: rfc822; b@example.com\r\nStatus: 5.1.1\r\n--x--\r\n"), ["5.1.1", "b@example.com"]),
        (b"\xef\xbb\xbf\r\nSubject: behind a mark\r\n\r\nwords\r\n", ["# behind a mark", "words"]),
        (mime('Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nkept\r\n--x\r\n'
              "Content-Type: application/json; name=a.json\r\nContent-Disposition: attachment; filename=a.json\r\n\r\n" + "9" * 5000 + "\r\n--x--\r\n"), ["kept"]),
    ],
)  # fmt: skip
def test_mails_as_programs_write_them_lose_no_part(tmp_path: Path, data: bytes, texts: list[str]) -> None:
    found = load(tmp_path, "a.eml", data).page_content
    assert all(text in found for text in texts), found
    assert [found.index(text) for text in texts] == sorted(found.index(text) for text in texts) or len(
        texts
    ) == 2


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("## max_tokens_per_doc setting\n", [(2, "max_tokens_per_doc setting")]),
        ("## C#\n", [(2, "C#")]),
        ("## Closed ##\n", [(2, "Closed")]),
        ("# The *big* `code` and __bold__ [link](x) one\n", [(1, "The big code and bold link one")]),
        ("# List<String> x\n", [(1, "List<String> x")]),
        ("<!--\n# commented out\n-->\n# Real\n", [(1, "Real")]),
        ("Two lines\nof a title\n====\n", [(1, "Two lines of a title")]),
        ("text\u2028# not a heading\n", []),
        ("#\n#no space\n####### seven\n", []),
        ("# a\r# b\r\n# c\n", [(1, "a"), (1, "b"), (1, "c")]),
    ],
)
def test_markdown_headings_read_as_they_are_shown(
    tmp_path: Path, markdown: str, expected: list[tuple[int, str]]
) -> None:
    assert titles_of(load(tmp_path, "a.md", markdown)) == expected


def test_values_that_differ_from_page_to_page_are_no_margins() -> None:
    pages = [
        f"Invoice {1000 + 37 * n}\nCustomer {'abcd'[n]}\nsome text {n}\nmore of it\nand more\nTotal: {523.1 * n:.2f} EUR\nPage {n + 1} of 4"
        for n in range(4)
    ]
    text, starts = paged(pages)
    assert [text[a:b] for a, b in find_margins(pages, starts)] == [f"Page {n} of 4" for n in range(1, 5)]


def test_charts_keep_their_figures(tmp_path: Path) -> None:
    from pptx.chart.data import XyChartData

    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    points = XyChartData()
    one = points.add_series("Ser")
    one.add_data_point(1.5, 2.25)
    one.add_data_point(3, 4123456.78)
    slide.shapes.add_chart(XL_CHART_TYPE.XY_SCATTER, 0, 0, Inches(4), Inches(3), points)
    bars = CategoryChartData()
    bars.categories = [dt.date(2024, 1, 1), dt.date(2024, 2, 1)]
    bars.add_series("Sales", (1234567.89, 2))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, Inches(3), Inches(4), Inches(3), bars)
    group = slide.shapes.add_group_shape()
    box = group.shapes.add_textbox(0, 0, Inches(1), Inches(1))
    box.text_frame.text = "in a group"
    out = io.BytesIO()
    deck.save(out)
    assert load(tmp_path, "a.pptx", out.getvalue()).page_content == (
        "| x | Ser |\n| --- | --- |\n| 1.5 | 2.25 |\n| 3 | 4123456.78 |\n\n"
        "|  | Sales |\n| --- | --- |\n| 2024-01-01 | 1234567.89 |\n| 2024-02-01 | 2 |\n\nin a group"
    )


def test_hidden_runs_are_left_out_and_lines_of_code_are_one_block(tmp_path: Path) -> None:
    made = docx.Document()
    paragraph = made.add_paragraph("visible ")
    paragraph.add_run("hidden").font.hidden = True
    made.styles.add_style("Code", 1)
    for line in ("x = 1", "y = 2"):
        made.add_paragraph(line, "Code")
    made.add_paragraph("behind")
    out = io.BytesIO()
    made.save(out)
    assert (
        load(tmp_path, "a.docx", out.getvalue()).page_content == "visible\n\n```\nx = 1\ny = 2\n```\n\nbehind"
    )
