"""Pages: what stands outside of main, loose in lists and tables, and in spanned cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.loading.formats.epub import parse_epub
from rag.loading.formats.html import read_html
from rag.loading.structure import Options
from tests.loading.files import zipped

HEAD = "| --- | --- |"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<header><h1>P-200</h1><p>From 5000.</p></header><main><p>Oil it.</p></main><p>Call 555.</p>",
         "# P-200\n\nFrom 5000.\n\nOil it.\n\nCall 555."),
        ("<main>One.</main><main>Two.</main><footer>Three.</footer>", "One.\n\nTwo.\n\nThree."),
        ("<main><nav>Menu</nav></main><div>The lock is 12 m wide.</div>", "The lock is 12 m wide."),
        ("Loose.<div role=main>Main.</div><aside>Aside.</aside>tail", "Loose.\n\nMain.\n\nAside.\n\ntail"),
        ("<ul>intro<li>a</li>between<li>b</ul>", "intro\n\n- a\nbetween\n- b"),
        ("<ol>first<li>x<ul>inner<li>y</ul></ol>", "first\n\n1. x\ninner\n  - y"),
    ],
)  # fmt: skip
def test_text_outside_of_main_and_loose_in_lists_is_read(source: str, text: str) -> None:
    assert read_html(f"<body>{source}</body>").text == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<tr><th>R<th>C<th>N<tr><td rowspan=2>North<td>Oslo<td>11<tr><td>Tromso<td>22<tr><td>South<td>Rome<td>33",
         "| R | C | N |\n| --- | --- | --- |\n| North | Oslo | 11 |\n|  | Tromso | 22 |\n| South | Rome | 33 |"),
        ("<thead><tr><th rowspan=2>Name<th colspan=2>Score<tr><th>Q1<th>Q2<tbody><tr><td>Ann<td>1<td>2",
         "| Name | Score |  |\n| --- | --- | --- |\n|  | Q1 | Q2 |\n| Ann | 1 | 2 |"),
        ("<tr><td>a<td rowspan=3>b<td>c<tr><td>d<td>e<tr><td>f<td>g<tr><td>h<td>i<td>j",
         "| a | b | c |\n| --- | --- | --- |\n| d |  | e |\n| f |  | g |\n| h | i | j |"),
        ("<tr><td rowspan=2 colspan=2>x<td>1<tr><td>2", "| x |  | 1 |\n| --- | --- | --- |\n|  |  | 2 |"),
        ("<tr><td rowspan=0>all<td>1<tr><td>2<tr><td>3", f"| all | 1 |\n{HEAD}\n|  | 2 |\n|  | 3 |"),
        ("<tbody><tr><td rowspan=9>a<td>1</tbody><tbody><tr><td>b<td>2", f"| a | 1 |\n{HEAD}\n| b | 2 |"),
        ("<tfoot><tr><td>sum<td>3</tfoot><tr><th>k<th>v<tr><td>a<td>3", f"| k | v |\n{HEAD}\n| a | 3 |\n| sum | 3 |"),
        ("<td>a<td>b<tr><td>c<td>d", f"| a | b |\n{HEAD}\n| c | d |"),
        ("<tr><form><td>a<td>b</form></tr>", f"| a | b |\n{HEAD}"),
        ("<tr><td rowspan=x>a<td colspan=-2>b<tr><td>c<td>d", f"| a | b |\n{HEAD}\n| c | d |"),
    ],
)  # fmt: skip
def test_cells_stand_in_their_columns(source: str, text: str) -> None:
    assert read_html(f"<table>{source}</table>").text == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<caption>Stores <b>2026</b></caption><tr><td>a<td>b", f"Stores 2026\n\n| a | b |\n{HEAD}"),
        ("loose<tr>in a row<td>a</td>between<td>b</td></tr>below", f"loose\n\nin a row\n\nbetween\n\nbelow\n\n| a | b |\n{HEAD}"),
        ("<tbody>in a group<tr><td>a<td>b", f"in a group\n\n| a | b |\n{HEAD}"),
        ("<div>a block</div><tr><td>a<td>b", f"a block\n\n| a | b |\n{HEAD}"),
        ("<caption>Outer</caption>x<tr><td>a<table><caption>Inner</caption><tr><td>1<td>2</table>",
         f"Outer\n\nx\n\na\n\nInner\n\n| 1 | 2 |\n{HEAD}"),
    ],
)  # fmt: skip
def test_what_stands_in_a_table_outside_of_cells_comes_before_it(source: str, text: str) -> None:
    assert read_html(f"<table>{source}</table>").text == text


def test_spans_without_end_make_no_table_without_end() -> None:
    row = "<tr>" + "<td colspan=1000 rowspan=65534>x" * 50
    assert len(read_html(f"<table>{row * 40}</table>").text) < 200_000


@pytest.mark.parametrize(
    "body",
    [
        "<section><h1>Chapter head</h1><p>before</p><main><p>in main</p></main></section>",
        "<header><h1>Chapter head</h1></header><p>before</p><main><p>in main</p></main>",
        "<h1>Chapter head</h1><main><p>before</p></main><main><p>in main</p></main>",
    ],
)
def test_a_chapters_head_is_read_with_it(body: str) -> None:
    book = zipped({
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="b.opf"/></rootfiles></container>',
        "b.opf": '<package><manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>'
                 '<spine><itemref idref="c"/></spine></package>',
        "c.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body>{body}</body></html>',
    })  # fmt: skip
    parsed = parse_epub(Path("b.epub"), book, Options())
    assert parsed.text == "# Chapter head\n\nbefore\n\nin main"
    assert parsed.headings == [(0, 1, "Chapter head")]
