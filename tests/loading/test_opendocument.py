"""OpenDocument text, slides and sheets: numbers, formats, charts and what else a reader sees."""

from __future__ import annotations

import pytest

from tests.loading.files import zipped
from tests.loading.open_xml import read, slides, word

NAMES = ("office", "text", "table", "style", "draw", "presentation", "chart", "fo", "meta")
SPACES = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in NAMES)
SPACES += ' xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:dc="http://purl.org/dc/elements/1.1/"'


def root(body: str, kind: str, styles: str = "", name: str = "document-content") -> str:
    return (
        f"<office:{name} {SPACES}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:{name}>"
    )


def text(body: str, kind: str = "text", styles: str = "", name: str = "a.odt", **parts: str) -> str:
    files = {
        "content.xml": root(body, kind, styles),
        **{k.replace("__", "/") + ".xml": v for k, v in parts.items()},
    }
    return read(zipped(dict(files)), name).text


def levels(*rows: tuple[str, str, str, int]) -> str:
    made = "".join(
        f'<text:list-level-style-number text:level="{n}" style:num-format="{form}" style:num-prefix="{before}" '
        f'style:num-suffix="{after}" text:display-levels="{shown}"/>' for n, (form, before, after, shown) in enumerate(rows, 1)
    )  # fmt: skip
    return f'<text:list-style style:name="L">{made}</text:list-style>'


def items(*words: str, more: str = 'text:style-name="L"') -> str:
    return f"<text:list {more}>{''.join(f'<text:list-item>{each}</text:list-item>' for each in words)}</text:list>"


def p(words: str) -> str:
    return f"<text:p>{words}</text:p>"


def test_numbers_of_lists_read_as_they_are_shown() -> None:
    styles = levels(("1", "", ".", 1), ("1", "", "", 2), ("a", "(", ")", 1))
    inner = items(p("b") + items(p("c"), p("d"), more=""), p("e"), more="")
    assert text(items(p("a") + inner, p("f")), styles=styles) == (
        "1. a\n  1.1 b\n    (a) c\n    (b) d\n  1.2 e\n2. f"
    )
    assert text(items(p("a")) + p("x") + items(p("b")), styles=styles) == "1. a\n\nx\n\n1. b"
    more = 'text:style-name="L" text:continue-numbering="true"'
    assert text(items(p("a")) + p("x") + items(p("b"), more=more), styles=styles) == "1. a\n\nx\n\n2. b"
    start = '<text:list text:style-name="L"><text:list-item text:start-value="5"><text:p>a</text:p></text:list-item></text:list>'
    assert text(start, styles=styles) == "5. a"
    assert text(items(p("a")), styles=levels(("I", "", ")", 1))) == "I) a"


def test_headings_have_the_numbers_of_the_outline() -> None:
    outline = (
        '<text:outline-style style:name="Outline"><text:outline-level-style text:level="1" style:num-format="1"/>'
        '<text:outline-level-style text:level="2" style:num-format="1" text:display-levels="2"/></text:outline-style>'
    )
    body = "".join(
        f'<text:h text:outline-level="{n}">{t}</text:h>' for n, t in [(1, "Scope"), (1, "Duty"), (2, "Care")]
    )
    assert text(body, styles=outline) == "# 1 Scope\n\n# 2 Duty\n\n## 2.1 Care"
    left = '<text:h text:outline-level="1"><text:number>IV.</text:number>Scope</text:h>'
    assert text(left) == "# IV. Scope"


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        ('m<text:span text:style-name="up">2</text:span>', "m²"),
        ('H<text:span text:style-name="down">2</text:span>O', "H2O"),
        ('a<text:span text:style-name="gone">secret</text:span>b', "ab"),
        ("<text:ruby><text:ruby-base>東京</text:ruby-base><text:ruby-text>とうきょう</text:ruby-text></text:ruby>", "東京 (とうきょう)"),
        ("a\n      b", "a b"),
    ],
)  # fmt: skip
def test_spans_keep_their_meaning(span: str, shown: str) -> None:
    styles = "".join(
        f'<style:style style:name="{name}"><style:text-properties {what}/></style:style>'
        for name, what in [("up", 'style:text-position="super 58%"'), ("down", 'style:text-position="-33% 58%"'), ("gone", 'text:display="none"')]
    )  # fmt: skip
    assert text(p(span), styles=styles) == shown


CHART = (
    f'<office:document-content {SPACES}><office:body><office:chart><chart:chart chart:class="chart:bar"><chart:title><text:p>Rain</text:p>'
    "</chart:title><table:table><table:table-header-rows><table:table-row><table:table-cell><text:p/></table:table-cell><table:table-cell>"
    "<text:p>mm</text:p></table:table-cell></table:table-row></table:table-header-rows><table:table-rows><table:table-row><table:table-cell>"
    '<text:p>May</text:p></table:table-cell><table:table-cell office:value="12.5"><text:p>12.5</text:p></table:table-cell></table:table-row>'
    "</table:table-rows></table:table></chart:chart></office:chart></office:body></office:document-content>"
)


def test_charts_are_their_titles_and_figures() -> None:
    frame = '<draw:frame><draw:object xlink:href="./Object 1"/></draw:frame>'
    table = "Rain\n\n|  | mm |\n| --- | --- |\n| May | 12.5 |"
    files = {"content.xml": root(p("see" + frame), "text"), "Object 1/content.xml": CHART}
    assert read(zipped(dict(files)), "a.odt").text == f"see\n\n{table}"
    files["content.xml"] = root(f'<draw:page draw:master-page-name="m">{frame}</draw:page>', "presentation")
    assert read(zipped(dict(files)), "a.odp").text == table
    sheet = f'<table:table table:name="S"><table:shapes>{frame}</table:shapes>{row(cell("float", "1"))}</table:table>'
    files["content.xml"] = root(sheet, "spreadsheet")
    assert read(zipped(dict(files)), "a.ods").text == "# S\n\n1\n\nRain"


def cell(kind: str = "string", shown: str = "", more: str = "") -> str:
    return (
        f'<table:table-cell office:value-type="{kind}" {more}>{p(shown) if shown else ""}</table:table-cell>'
    )


def row(*cells: str, more: str = "") -> str:
    return f"<table:table-row {more}>{''.join(cells)}</table:table-row>"


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (cell("percentage", "7.5%", 'office:value="0.075"'), "7.5%"),
        (cell("percentage", "", 'office:value="0.075"'), "7.5%"),
        (cell("float", "01234", 'office:value="1234"'), "01234"),
        (cell("float", "", 'office:value="0.30000000000000004"'), "0.3"),
        (cell("date", "", 'office:date-value="2026-03-15"'), "2026-03-15"),
        (cell("time", "", 'office:time-value="PT36H05M00S"'), "36:05:00"),
        (cell("boolean", "", 'office:boolean-value="true"'), "TRUE"),
        ('<table:table-cell table:formula="of:=[.B2]*SUM([.C2:.C9])"/>', "=B2*SUM(C2:C9)"),
        ('<table:covered-table-cell><text:p>under another</text:p></table:covered-table-cell>', ""),
    ],
)  # fmt: skip
def test_cells_are_written_as_they_are_displayed(made: str, shown: str) -> None:
    sheet = f'<table:table table:name="S">{row(cell("string", "a"), cell("string", "b"), made)}</table:table>'
    expected = f"| a | b | {shown} |" if shown else "| a | b |"
    assert text(sheet, "spreadsheet", name="a.ods").splitlines()[2] == expected


def test_sheets_go_on_behind_blank_rows_and_end_where_nothing_stands() -> None:
    rows = (
        row(cell("string", "id"), cell("string", "name")) + row(cell("float", "1"), cell("string", "Ann"))
        + row('<table:table-cell table:number-columns-repeated="16384"/>', more='table:number-rows-repeated="3"')
        + row(cell("float", "2"), cell("string", "Bob") + '<table:table-cell table:number-columns-repeated="16000"/>')
        + row("<table:table-cell/>", more='table:number-rows-repeated="1048000"')
    )  # fmt: skip
    note = '<table:table-cell office:value-type="string"><office:annotation><text:p>check</text:p></office:annotation><text:p>x</text:p></table:table-cell>'
    body = f'<table:table table:name="S">{rows}</table:table><table:table table:name="T" table:style-name="h">{row(note)}</table:table>'
    hidden = '<style:style style:name="h"><style:table-properties table:display="false"/></style:style>'
    parsed = read(zipped({"content.xml": root(body, "spreadsheet", hidden)}), "a.ods")
    assert parsed.text == (
        "# S\n\n| id | name |\n| --- | --- |\n| 1 | Ann |\n| 2 | Bob |\n\n# T\n\nx\n\nComment on A1: check"
    )
    assert parsed.notes == ["read with its hidden sheets: T"]


def test_pages_have_their_headers_titles_and_notes() -> None:
    margin = f"<office:document-styles {SPACES}><office:master-styles><style:master-page><style:header>{p('Confidential')}</style:header><style:footer>{p('Kelvara')}</style:footer></style:master-page></office:master-styles></office:document-styles>"
    parsed = read(zipped({"content.xml": root(p("words"), "text"), "styles.xml": margin}), "a.odt")
    assert parsed.text == "Confidential\n\nwords\n\nKelvara"
    assert [parsed.text[a:b] for a, b in parsed.margins] == ["Confidential", "Kelvara"]
    page = (
        f'<draw:page draw:master-page-name="m"><draw:frame presentation:class="title"><draw:text-box>{p("Plan")}</draw:text-box></draw:frame>'
        f"<draw:custom-shape>{p('step one')}</draw:custom-shape><presentation:notes><draw:frame><draw:text-box>{p('slowly')}</draw:text-box></draw:frame></presentation:notes></draw:page>"
    )
    assert text(page, "presentation", name="a.odp") == "# Plan\n\nstep one\n\nNotes: slowly"


@pytest.mark.parametrize("name", ["a.odt", "a.fodt", "a.ott", "a.odp", "a"])
def test_a_document_in_one_xml_file_or_under_another_name_is_read(name: str) -> None:
    flat = root(p("flat words"), "text", name="document")
    assert "flat words" in read(flat.encode(), name if name != "a" else "a.fodt").text
    assert (
        read(word("<w:p><w:r><w:t>of Word</w:t></w:r></w:p>"), name.replace("a.fodt", "a.odt")).text
        == "of Word"
    )
    assert read(slides(""), "a.odp").text == ""
