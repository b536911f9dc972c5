"""Slides, and what is drawn in office documents: charts, diagrams, shapes in every wrapping."""

from __future__ import annotations

import pytest

from rag.loading.formats.ooxml import Package
from tests.loading.open_xml import box, p, read, relations, slides, with_member, word, xml
from tests.loading.test_workbooks import book, row

FRAME = (
    '<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="3" name="c"/><p:cNvGraphicFramePr/><p:nvPr/></p:nvGraphicFramePr>'
    "<a:graphic><a:graphicData>{}</a:graphicData></a:graphic></p:graphicFrame>"
)
CHART, DIAGRAM = '<c:chart r:id="x"/>', '<dgm:relIds r:dm="x"/>'


def points(kind: str, *values: str, code: str = "") -> str:
    form = f"<c:formatCode>{code}</c:formatCode>" if code else ""
    rows = "".join(f'<c:pt idx="{n}"><c:v>{value}</c:v></c:pt>' for n, value in enumerate(values) if value)
    return f"<c:{kind}Ref><c:f>S!A1</c:f><c:{kind}Cache>{form}{rows}</c:{kind}Cache></c:{kind}Ref>"


def series(name: str, across: str, values: str, kind: str = "cat", of: str = "val", more: str = "") -> str:
    named = f"<c:tx>{points('str', name)}</c:tx>" if name else ""
    first = f"<c:{kind}>{across}</c:{kind}>" if across else ""
    return f"<c:ser>{named}{first}<c:{of}>{values}</c:{of}>{more}</c:ser>"


def chart(plots: str, title: str = "", axes: str = "") -> str:
    named = (
        f"<c:title><c:tx><c:rich><a:p><a:r><a:t>{title}</a:t></a:r></a:p></c:rich></c:tx></c:title>"
        if title
        else ""
    )
    return xml(
        f"<c:chartSpace><c:chart>{named}<c:plotArea>{plots}{axes}</c:plotArea></c:chart></c:chartSpace>"
    )


def in_word(part: str, graphic: str = CHART, kind: str = "chart") -> str:
    body = (
        p("before")
        + f"<w:p><w:r><w:drawing><a:graphic><a:graphicData>{graphic}</a:graphicData></a:graphic></w:drawing></w:r></w:p>"
        + p("after")
    )
    data = word(body, links={"x": (kind, "charts/part.xml")}, **{"charts/part": part.encode()})
    parsed = read(data, "a.docx")
    assert parsed.text.startswith("before\n\n") and parsed.text.endswith("\n\nafter"), parsed.text
    for start, below, end in parsed.tables:
        assert parsed.text[start:below].count("\n") == 2 and parsed.text[end - 1] == "|"
    return parsed.text.removeprefix("before\n\n").removesuffix("\n\nafter")


QUARTERS = points("str", "Q1", "Q2", "Q3")


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (chart("<c:barChart>" + series("EMEA", QUARTERS, points("num", "1.5", "", "2")) + series("APAC", QUARTERS, points("num", "4", "5", "6"))
               + "</c:barChart>", "Sales in millions"),
         "Sales in millions\n\n|  | EMEA | APAC |\n| --- | --- | --- |\n| Q1 | 1.5 | 4 |\n| Q2 |  | 5 |\n| Q3 | 2 | 6 |"),
        (chart("<c:pieChart>" + series("Share", points("str", "A", "B"), points("num", "0.25", "0.755", code="0%")) + "</c:pieChart>"),
         "|  | Share |\n| --- | --- |\n| A | 25% |\n| B | 75.5% |"),
        (chart("<c:lineChart>" + series("Load", points("num", "45292", "45323", code="mmm\\-yy"), points("num", "1", "2")) + "</c:lineChart>"),
         "|  | Load |\n| --- | --- |\n| Jan-24 | 1 |\n| Feb-24 | 2 |"),
        (chart("<c:scatterChart>" + series("Fit", points("num", "1", "2"), points("num", "0.1", "0.30000000000000004"), "xVal", "yVal") + "</c:scatterChart>"),
         "| x | Fit |\n| --- | --- |\n| 1 | 0.1 |\n| 2 | 0.3 |"),
        (chart("<c:bubbleChart>" + series("B", points("num", "1"), points("num", "2"), "xVal", "yVal", f"<c:bubbleSize>{points('num', '9')}</c:bubbleSize>") + "</c:bubbleChart>"),
         "| x | B | size |\n| --- | --- | --- |\n| 1 | 2 | 9 |"),
        (chart("<c:barChart>" + series("", "", points("num", "7", "8")) + "</c:barChart>"), "| 1 | 7 |\n| --- | --- |\n| 2 | 8 |"),
        (chart("<c:barChart>" + series("N", QUARTERS, points("num", "7")) + "</c:barChart><c:lineChart>" + series("M", QUARTERS, points("num", "9")) + "</c:lineChart>",
               axes="<c:valAx><c:title><c:tx><c:rich><a:p><a:r><a:t>Tonnes</a:t></a:r></a:p></c:rich></c:tx></c:title></c:valAx>"),
         "Tonnes\n\n|  | N | M |\n| --- | --- | --- |\n| Q1 | 7 | 9 |\n| Q2 |  |  |\n| Q3 |  |  |"),
        (chart("<c:barChart>" + series("T", '<c:multiLvlStrRef><c:multiLvlStrCache><c:lvl><c:pt idx="0"><c:v>Q1</c:v></c:pt><c:pt idx="1"><c:v>Q2</c:v></c:pt></c:lvl>'
               '<c:lvl><c:pt idx="0"><c:v>2026</c:v></c:pt></c:lvl></c:multiLvlStrCache></c:multiLvlStrRef>', points("num", "1", "2")) + "</c:barChart>"),
         "|  | T |\n| --- | --- |\n| 2026 Q1 | 1 |\n| 2026 Q2 | 2 |"),
        (xml('<cx:chartSpace><cx:chartData><cx:data id="0"><cx:strDim type="cat"><cx:lvl><cx:pt idx="0">Start</cx:pt><cx:pt idx="1">End</cx:pt></cx:lvl></cx:strDim>'
             '<cx:numDim type="val"><cx:lvl formatCode="General"><cx:pt idx="0">10</cx:pt><cx:pt idx="1">12.5</cx:pt></cx:lvl></cx:numDim></cx:data></cx:chartData>'
             '<cx:chart><cx:title><cx:tx><cx:txData><cx:v>Bridge</cx:v></cx:txData></cx:tx></cx:title><cx:plotArea><cx:plotAreaRegion><cx:series layoutId="waterfall">'
             '<cx:tx><cx:txData><cx:v>Cash</cx:v></cx:txData></cx:tx><cx:dataId val="0"/></cx:series></cx:plotAreaRegion></cx:plotArea></cx:chart></cx:chartSpace>'),
         "Bridge\n\n|  | Cash |\n| --- | --- |\n| Start | 10 |\n| End | 12.5 |"),
    ],
)  # fmt: skip
def test_charts_are_their_titles_and_a_table_of_figures(part: str, shown: str) -> None:
    assert in_word(part) == shown
    deck = slides(
        FRAME.format(CHART), links={"x": ("chart", "../charts/c.xml")}, parts={"ppt/charts/c.xml": part}
    )
    assert read(deck, "a.pptx").text == shown


def test_a_chart_without_figures_takes_those_of_its_workbook() -> None:
    part = chart(
        "<c:barChart><c:ser><c:val><c:numRef><c:f>S!A1</c:f></c:numRef></c:val></c:ser></c:barChart>", "Rain"
    )
    parts: dict[str, str | bytes] = {
        "ppt/charts/c.xml": part, "ppt/charts/_rels/c.xml.rels": relations({"w": ("package", "../w.xlsx")}),
        "ppt/w.xlsx": book(row(1, "May", 12.5)),
    }  # fmt: skip
    loaded = read(
        slides(FRAME.format(CHART), links={"x": ("chart", "../charts/c.xml")}, parts=parts), "a.pptx"
    ).text
    assert loaded == "Rain\n\n| May | 12.5 |\n| --- | --- |"


def test_a_chart_in_a_text_box_is_read_once() -> None:
    part = chart("<c:pieChart>" + series("S", points("str", "A"), points("num", "1")) + "</c:pieChart>")
    inside = f"<w:p><w:r><w:drawing><a:graphic>{CHART}</a:graphic></w:drawing></w:r></w:p>"
    body = f"<w:p><w:r><w:drawing><wps:txbx><w:txbxContent>{p('box')}{inside}</w:txbxContent></wps:txbx></w:drawing></w:r></w:p>"
    data = word(body, links={"x": ("chart", "charts/part.xml")}, **{"charts/part": part.encode()})
    assert read(data, "a.docx").text == "box\n\n|  | S |\n| --- | --- |\n| A | 1 |"


def diagram(*names: str, links: list[tuple[str, str]]) -> str:
    rows = "".join(
        f'<dgm:pt modelId="{n}" type="{"doc" if not name else "node"}"><dgm:t><a:p><a:r><a:t>{name}</a:t></a:r></a:p></dgm:t></dgm:pt>'
        for n, name in enumerate(names)
    )
    ties = "".join(
        f'<dgm:cxn modelId="c{n}" srcId="{a}" destId="{b}" srcOrd="{n}"/>' for n, (a, b) in enumerate(links)
    )
    return xml(f"<dgm:dataModel><dgm:ptLst>{rows}</dgm:ptLst><dgm:cxnLst>{ties}</dgm:cxnLst></dgm:dataModel>")


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (diagram("", "Board", "Sales", "Works", links=[("0", "1"), ("1", "3"), ("1", "2")]), "- Board\n  - Works\n  - Sales"),
        (diagram("Receive", "Check", "Ship", links=[]), "- Receive\n- Check\n- Ship"),
        (diagram("", "a", "b", links=[("0", "1"), ("1", "2"), ("2", "1")]), "- a\n  - b"),
    ],
)  # fmt: skip
def test_diagrams_are_the_lists_that_they_draw(part: str, shown: str) -> None:
    assert in_word(part, DIAGRAM, "diagramData") == shown
    deck = slides(FRAME.format(DIAGRAM), links={"x": ("diagramData", "../d.xml")}, parts={"ppt/d.xml": part})
    assert read(deck, "a.pptx").text == shown


@pytest.mark.parametrize(
    ("part", "what"),
    [("", "left out"), ("no xml at all", "left out"), ("<c:chartSpace", "read as far as it goes")],
)
def test_a_broken_chart_costs_the_chart_and_not_the_notes_behind_it(part: str, what: str) -> None:
    links = {"x": ("chart", "../charts/c.xml"), "n": ("notesSlide", "../notes.xml")}
    notes = xml(
        f"<p:notes><p:cSld><p:spTree>{box('Say it slowly.', kind='body')}</p:spTree></p:cSld></p:notes>"
    )
    deck = slides(box("Title", kind="title") + FRAME.format(CHART) + box("below"), links=links,
                  parts={"ppt/charts/c.xml": part, "ppt/notes.xml": notes})  # fmt: skip
    parsed = read(deck, "a.pptx")
    assert parsed.text == "# Title\n\nbelow\n\nNotes: Say it slowly."
    assert parsed.notes == [f"its part ppt/charts/c.xml is damaged: {what}"]


def test_a_chart_that_is_not_there_leaves_a_note() -> None:
    parsed = read(slides(FRAME.format(CHART) + box("kept")), "a.pptx")
    assert (parsed.text, parsed.notes) == ("kept", ["a chart in ppt/slides/slide0.xml is missing: left out"])
    parsed = read(slides(FRAME.format(CHART) + box("kept"), links={"x": ("chart", "c.xml")}), "a.pptx")
    assert parsed.notes == ["its chart ppt/slides/c.xml is missing: left out"]


WRAPPED = '<mc:AlternateContent><mc:Choice Requires="{}">{}</mc:Choice><mc:Fallback>{}</mc:Fallback></mc:AlternateContent>'


@pytest.mark.parametrize(
    ("tree", "shown"),
    [
        (box("first") + WRAPPED.format("a14", box("in a choice"), box("old")) + box("last"), "first\n\nin a choice\n\nlast"),
        (WRAPPED.format("odd", box("new"), box("in a fallback")), "in a fallback"),
        (WRAPPED.format("a14", "<p:pic/>", box("only there")), "only there"),
        (f"<p:grpSp>{box('one')}<p:grpSp>{WRAPPED.format('a14', box('two'), '')}</p:grpSp></p:grpSp>{box('three')}", "one\n\ntwo\n\nthree"),
        (box("a\nb", kind="body") + box("c"), "- a\n- b\n\nc"),
        (box("a\nb", '<a:pPr><a:buAutoNum type="arabicPeriod"/></a:pPr>'), "1. a\n2. b"),
        (box("a\nb", '<a:pPr><a:buAutoNum type="alphaLcParenR" startAt="3"/></a:pPr>'), "c) a\nd) b"),
        (box("a\nb", '<a:pPr lvl="1"><a:buAutoNum type="romanUcParenBoth"/></a:pPr>'), "  (I) a\n  (II) b"),
        (box("H").replace("</a:p>", '<a:r><a:rPr baseline="-25000"/><a:t>2</a:t></a:r><a:r><a:t>O at 5 m</a:t></a:r><a:r><a:rPr baseline="30000"/><a:t>2</a:t></a:r></a:p>'), "H2O at 5 m²"),
        (box("q =").replace("</a:p>", "<a14:m><m:oMath><m:f><m:num><m:r><m:t>V</m:t></m:r></m:num><m:den><m:r><m:t>t</m:t></m:r></m:den></m:f></m:oMath></a14:m></a:p>"), "q =V/t"),
    ],
)  # fmt: skip
def test_shapes_are_read_in_every_wrapping_and_in_order(tree: str, shown: str) -> None:
    assert read(slides(tree), "a.pptx").text == shown


def test_tables_of_slides_write_merged_cells_once() -> None:
    def cell(words: str, more: str = "") -> str:
        return f"<a:tc {more}><a:txBody><a:p><a:r><a:t>{words}</a:t></a:r></a:p></a:txBody></a:tc>"

    rows = f"<a:tr>{cell('wide', 'gridSpan=' + repr('2'))}{cell('', 'hMerge=' + repr('1'))}</a:tr><a:tr>{cell('1')}{cell('2')}</a:tr>"
    assert (
        read(slides(FRAME.format(f"<a:tbl>{rows}</a:tbl>")), "a.pptx").text
        == "| wide |  |\n| --- | --- |\n| 1 | 2 |"
    )


def test_what_stands_on_a_layout_is_written_with_its_first_slide() -> None:
    layout = xml(
        f"<p:sldLayout><p:cSld><p:spTree>{box('Click to edit', kind='title')}{box('For internal use')}</p:spTree></p:cSld></p:sldLayout>"
    )
    deck = slides(
        box("one"),
        box("two"),
        links={"l": ("slideLayout", "../layout.xml")},
        parts={"ppt/layout.xml": layout},
    )
    assert read(deck, "a.pptx").text == "one\n\nFor internal use\n\ntwo"


@pytest.mark.parametrize(("attribute", "shown"), [("", "\n\nOn the master"), (' showMasterSp="0"', "")])
def test_a_layout_and_its_master_are_read_once(
    attribute: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def behind(kind: str, text: str, attribute: str = "") -> str:
        return xml(f"<p:{kind}{attribute}><p:cSld><p:spTree>{box(text)}</p:spTree></p:cSld></p:{kind}>")

    deck = slides(
        *map(box, ("one", "two", "three")),
        links={"l": ("slideLayout", "../layout.xml")},
        parts={
            "ppt/layout.xml": behind("sldLayout", "On the layout", attribute),
            "ppt/master.xml": behind("sldMaster", "On the master"),
            "ppt/_rels/layout.xml.rels": relations({"m": ("slideMaster", "master.xml")}),
        },
    )
    parts: list[str] = []
    whole = Package.xml
    monkeypatch.setattr(Package, "xml", lambda self, name: parts.append(name) or whole(self, name))
    assert read(deck, "a.pptx").text == f"one\n\nOn the layout{shown}\n\ntwo\n\nthree"
    assert [parts.count(f"ppt/{name}.xml") for name in ("layout", "master")] == [1, bool(shown)]


def test_a_lost_slide_leaves_a_note_and_keeps_its_page() -> None:
    deck = slides(box("one"), box("two"), box("three"))
    parsed = read(with_member(deck, "ppt/slides/slide1.xml", b"no xml"), "a.pptx")
    assert parsed.text.split() == ["one", "three"] and len(parsed.pages) == 3
    assert parsed.notes == [
        "its part ppt/slides/slide1.xml is damaged: left out",
        "slide 2 is missing or damaged: left out",
    ]


@pytest.mark.parametrize(
    "name", ["a.pptx", "a.pptm", "a.ppsx", "a.ppsm", "a.potx", "a.potm", "a.docx", "a.xlsx"]
)
def test_a_presentation_is_read_as_what_it_is_whatever_its_name_says(name: str) -> None:
    assert read(slides(box("Welcome", kind="ctrTitle")), name).text == "# Welcome"
