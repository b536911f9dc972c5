"""Word documents: what stands on the page stands in the text, once, and as it reads there."""

from __future__ import annotations

import pytest

from rag.core.errors import LoadError
from tests.loading.files import zipped
from tests.loading.open_xml import p, read, with_member, word, xml


def text(body: str, **parts: str) -> str:
    return read(word(body, **parts), "a.docx").text


def numbered(levels: str, extra: str = "") -> str:
    return (
        f'<w:numbering><w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>'
        f'<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>{extra}</w:numbering>'
    )


def level(depth: int, form: str, shown: str, more: str = "", start: int = 1) -> str:
    return (
        f'<w:lvl w:ilvl="{depth}"><w:start w:val="{start}"/><w:numFmt w:val="{form}"/>'
        f'<w:lvlText w:val="{shown}"/>{more}</w:lvl>'
    )


def item(words: str, depth: int = 0, number: int = 1) -> str:
    return p(words, f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number}"/></w:numPr>')


@pytest.mark.parametrize(
    ("form", "shown", "start", "marks"),
    [
        ("decimal", "%1)", 1, ["1)", "2)"]),
        ("lowerLetter", "(%1)", 26, ["(z)", "(aa)"]),
        ("upperRoman", "Article %1.", 3, ["Article III.", "Article IV."]),
        ("lowerRoman", "%1", 8, ["viii", "ix"]),
        ("ordinal", "%1", 1, ["1st", "2nd"]),
        ("cardinalText", "Part %1:", 20, ["Part Twenty:", "Part Twenty-one:"]),
        ("ordinalText", "%1", 2, ["Second", "Third"]),
        ("decimalZero", "%1", 9, ["09", "10"]),
        ("chineseCounting", "第%1条", 10, ["第十条", "第十一条"]),
        ("none", "§", 1, ["§", "§"]),
        ("bullet", "", 1, ["-", "-"]),
    ],
)
def test_numbers_of_lists_read_as_they_are_shown(form: str, shown: str, start: int, marks: list[str]) -> None:
    loaded = text(item("alpha") + item("beta"), numbering=numbered(level(0, form, shown, start=start)))
    assert loaded == f"{marks[0]} alpha\n{marks[1]} beta"


LEGAL = (
    level(0, "upperRoman", "%1.")
    + level(1, "decimal", "%1.%2", "<w:isLgl/>")
    + level(2, "lowerLetter", "(%3)")
)


def test_levels_count_below_each_other_and_restart() -> None:
    body = "".join(
        item(words, depth) for words, depth in [("a", 0), ("b", 1), ("c", 2), ("d", 2), ("e", 1), ("f", 2), ("g", 0), ("h", 1)]
    )  # fmt: skip
    assert text(body, numbering=numbered(LEGAL)) == (
        "I. a\n  1.1 b\n    (a) c\n    (b) d\n  1.2 e\n    (a) f\nII. g\n  2.1 h"
    )


def test_a_level_that_never_restarts_goes_on() -> None:
    levels = level(0, "decimal", "%1.") + level(1, "lowerLetter", "%2)", '<w:lvlRestart w:val="0"/>')
    body = item("one") + item("x", 1) + item("two") + item("y", 1)
    assert text(body, numbering=numbered(levels)) == "1. one\n  a) x\n2. two\n  b) y"


def test_lists_share_their_counter_unless_one_starts_anew() -> None:
    more = (
        '<w:num w:numId="2"><w:abstractNumId w:val="0"/></w:num>'
        '<w:num w:numId="3"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/>'
        '</w:lvlOverride></w:num>'
        '<w:num w:numId="4"><w:abstractNumId w:val="0"/><w:lvlOverride w:ilvl="0">'
        f'{level(0, "upperLetter", "%1:")}</w:lvlOverride></w:num>'
    )  # fmt: skip
    body = item("a") + item("b", number=2) + item("c", number=3) + item("d", number=3) + item("e", number=4)
    loaded = text(body, numbering=numbered(level(0, "decimal", "%1."), more))
    assert loaded == "1. a\n2. b\n5. c\n6. d\nG: e"


def test_headings_take_their_number_from_their_style() -> None:
    styles = (
        '<w:styles><w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/><w:pPr><w:numPr>'
        '<w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
        '<w:style w:type="paragraph" w:styleId="H2"><w:name w:val="heading 2"/><w:basedOn w:val="H1"/></w:style>'
        "</w:styles>"
    )
    levels = level(0, "decimal", "%1", '<w:pStyle w:val="H1"/>') + level(
        1, "decimal", "%1.%2", '<w:pStyle w:val="H2"/>'
    )
    h1, h2 = '<w:pStyle w:val="H1"/>', '<w:pStyle w:val="H2"/>'
    body = (
        p("Scope", h1)
        + p("Term", h1)
        + p("Notice", h2)
        + p("Plain", h2 + '<w:numPr><w:numId w:val="0"/></w:numPr>')
    )
    parsed = read(word(body, numbering=numbered(levels), styles=styles), "a.docx")
    assert parsed.text == "# 1 Scope\n\n# 2 Term\n\n## 2.1 Notice\n\n## Plain"
    assert [title for _, _, title in parsed.headings] == ["1 Scope", "2 Term", "2.1 Notice", "Plain"]


def test_numbers_in_cells_count_and_hidden_or_deleted_paragraphs_do_not() -> None:
    gone = '<w:p><w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr><w:rPr><w:del w:id="1"/></w:rPr></w:pPr><w:del w:id="2"><w:r><w:delText>x</w:delText></w:r></w:del></w:p>'
    hidden = p(
        "no",
        '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr><w:rPr><w:vanish/></w:rPr>',
        "<w:vanish/>",
    )
    cell = f"<w:tbl><w:tr><w:tc>{item('in a cell')}</w:tc><w:tc>{p('right')}</w:tc></w:tr></w:tbl>"
    loaded = text(
        item("a") + gone + hidden + cell + item("b"), numbering=numbered(level(0, "decimal", "%1."))
    )
    assert loaded == "1. a\n\n| 2. in a cell | right |\n| --- | --- |\n\n3. b"


@pytest.mark.parametrize(
    ("runs", "shown"),
    [
        ([("5 m", ""), ("2", "superscript")], "5 m²"),
        ([("x", ""), ("2", "superscript"), ("+y", "")], "x²+y"),
        ([("10", ""), ("-6", "superscript"), (" m", "")], "10⁻⁶ m"),
        ([("e", ""), ("kt", "superscript")], "e^kt"),
        ([("e", ""), ("x/2", "superscript")], "e^(x/2)"),
        ([("the 1", ""), ("st", "superscript"), (" day", "")], "the 1st day"),
        ([("Acme", ""), ("TM", "superscript")], "AcmeTM"),
        ([("H", ""), ("2", "subscript"), ("O", "")], "H2O"),
        ([("log", ""), ("2", "subscript"), ("8", "")], "log₂8"),
        ([("a", ""), ("n", "subscript")], "a_n"),
        ([("1", ""), ("0", "superscript"), ("0", "superscript")], "1⁰⁰"),
    ],
)
def test_raised_and_lowered_characters_keep_their_meaning(runs: list[tuple[str, str]], shown: str) -> None:
    body = "".join(
        f'<w:r><w:rPr><w:vertAlign w:val="{place or "baseline"}"/></w:rPr><w:t xml:space="preserve">{words}</w:t></w:r>'
        for words, place in runs
    )
    assert text(f"<w:p>{body}</w:p>") == shown


def test_a_character_style_raises_and_hides() -> None:
    styles = (
        '<w:styles><w:style w:type="character" w:styleId="Up"><w:rPr><w:vertAlign w:val="superscript"/></w:rPr></w:style>'
        '<w:style w:type="character" w:styleId="Gone"><w:rPr><w:vanish/></w:rPr></w:style></w:styles>'
    )
    body = (
        '<w:p><w:r><w:t>m</w:t></w:r><w:r><w:rPr><w:rStyle w:val="Up"/></w:rPr><w:t>3</w:t></w:r>'
        '<w:r><w:rPr><w:rStyle w:val="Gone"/></w:rPr><w:t>secret</w:t></w:r>'
        '<w:r><w:rPr><w:rStyle w:val="Gone"/><w:vanish w:val="0"/></w:rPr><w:t> shown</w:t></w:r></w:p>'
    )
    assert text(body, styles=styles) == "m³ shown"


def test_a_reading_stands_behind_its_word() -> None:
    ruby = "<w:ruby><w:rubyPr/><w:rt><w:r><w:t>とうきょう</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>東京</w:t></w:r></w:rubyBase></w:ruby>"
    assert text(f"<w:p><w:r>{ruby}</w:r><w:r><w:t>へ</w:t></w:r></w:p>") == "東京 (とうきょう)へ"


@pytest.mark.parametrize(
    ("math", "shown"),
    [
        ("<m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>b+1</m:t></m:r></m:den></m:f>", "a/(b+1)"),
        ("<m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup>", "x²"),
        ("<m:sSup><m:e><m:r><m:t>e</m:t></m:r></m:e><m:sup><m:r><m:t>-kt</m:t></m:r></m:sup></m:sSup>", "e^(-kt)"),
        ("<m:rad><m:radPr><m:degHide m:val='1'/></m:radPr><m:deg/><m:e><m:r><m:t>x+1</m:t></m:r></m:e></m:rad>", "√(x+1)"),
        ("<m:nary><m:naryPr><m:chr m:val='∑'/></m:naryPr><m:sub><m:r><m:t>i=1</m:t></m:r></m:sub><m:sup><m:r><m:t>n</m:t></m:r></m:sup>"
         "<m:e><m:r><m:t>i</m:t></m:r></m:e></m:nary>", "∑_(i=1)ⁿ i"),
        ("<m:d><m:e><m:r><m:t>p</m:t></m:r></m:e><m:e><m:r><m:t>q</m:t></m:r></m:e></m:d>", "(p|q)"),
        ("<m:sSub><m:e><m:r><m:t>v</m:t></m:r></m:e><m:sub><m:r><m:t>max</m:t></m:r></m:sub></m:sSub>", "v_max"),
    ],
)  # fmt: skip
def test_equations_read_on_one_line(math: str, shown: str) -> None:
    assert (
        text(f"<w:p><w:r><w:t>y = </w:t></w:r><m:oMathPara><m:oMath>{math}</m:oMath></m:oMathPara></w:p>")
        == f"y = {shown}"
    )


def test_revisions_are_read_as_accepted() -> None:
    ends = '<w:rPr><w:del w:id="9" w:author="a"/></w:rPr>'
    body = (
        f'<w:p><w:pPr>{ends}</w:pPr><w:r><w:t xml:space="preserve">joined </w:t></w:r></w:p>' + p("with the next")
        + '<w:p><w:moveFrom w:id="1"><w:r><w:t>moved away</w:t></w:r></w:moveFrom></w:p>'
        + '<w:p><w:moveTo w:id="2"><w:r><w:t>moved here</w:t></w:r></w:moveTo></w:p>'
        + '<w:ins w:id="3"><w:p><w:r><w:t>a paragraph inserted</w:t></w:r></w:p></w:ins>'
        + '<w:tbl><w:tr><w:tc>' + p("kept") + '</w:tc></w:tr><w:tr><w:trPr><w:del w:id="4"/></w:trPr><w:tc>' + p("row gone") + "</w:tc></w:tr></w:tbl>"
    )  # fmt: skip
    assert text(body) == "joined with the next\n\nmoved here\n\na paragraph inserted\n\n| kept |\n| --- |"


def test_fields_show_their_results_and_forms_their_choice() -> None:
    field = (
        '<w:p><w:r><w:t xml:space="preserve">See page </w:t></w:r><w:r><w:fldChar w:fldCharType="begin"/></w:r>'
        '<w:r><w:instrText>PAGEREF x</w:instrText></w:r><w:r><w:fldChar w:fldCharType="separate"/></w:r>'
        '<w:r><w:t>12</w:t></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>'
        '<w:fldSimple w:instr="DATE"><w:r><w:t xml:space="preserve"> of May</w:t></w:r></w:fldSimple></w:p>'
    )
    form = (
        '<w:p><w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:ddList><w:result w:val="1"/><w:listEntry w:val="red"/>'
        '<w:listEntry w:val="blue"/></w:ddList></w:ffData></w:fldChar></w:r><w:r><w:t xml:space="preserve"> </w:t></w:r>'
        '<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:checkBox><w:checked/></w:checkBox></w:ffData></w:fldChar></w:r></w:p>'
    )
    assert text(field + form) == "See page 12 of May\n\nblue ☒"


def test_fields_inside_the_code_of_another_are_not_read() -> None:
    def char(kind: str) -> str:
        return f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>'

    inner = f"{char('begin')}<w:r><w:instrText>PAGE</w:instrText></w:r>{char('separate')}<w:r><w:t>7</w:t></w:r>{char('end')}"
    outer = f"{char('begin')}<w:r><w:instrText>IF</w:instrText></w:r>{inner}{char('separate')}<w:r><w:t>shown</w:t></w:r>{char('end')}"
    assert text(f"<w:p>{outer}<w:r><w:t> after</w:t></w:r></w:p>") == "shown after"
    assert text(f"<w:p>{char('begin')}{inner}<w:r><w:t> after</w:t></w:r></w:p>") == "7 after"


def test_symbols_of_other_fonts_are_read() -> None:
    def sym(font: str, char: str) -> str:
        return f'<w:r><w:sym w:font="{font}" w:char="{char}"/></w:r>'

    body = f"<w:p>{sym('Symbol', 'F06D')}<w:r><w:t>m </w:t></w:r>{sym('Symbol', 'F0A3')}{sym('Wingdings', 'F0FC')}</w:p>"
    assert text(body) == "μm ≤✓"


CHOICE = '<mc:AlternateContent><mc:Choice Requires="{}">{}</mc:Choice><mc:Fallback>{}</mc:Fallback></mc:AlternateContent>'


@pytest.mark.parametrize(
    ("alternatives", "shown"),
    [
        (CHOICE.format("wps", "<w:t>new</w:t>", "<w:t>old</w:t>"), "new"),
        (CHOICE.format("odd", "<w:t>new</w:t>", "<w:t>old</w:t>"), "old"),
        (CHOICE.format("wps", "<w:drawing/>", "<w:t>old</w:t>"), "old"),
        (CHOICE.format("odd", "<w:t>new</w:t>", ""), "new"),
        (CHOICE.format("wps", CHOICE.format("wps", "<w:t>inner</w:t>", "<w:t>no</w:t>"), "<w:t>old</w:t>"), "inner"),
        ('<mc:AlternateContent><mc:Choice Requires="odd"><w:t>1</w:t></mc:Choice><mc:Choice Requires="wps"><w:t>2</w:t></mc:Choice></mc:AlternateContent>', "2"),
    ],
)  # fmt: skip
def test_of_alternatives_one_is_read(alternatives: str, shown: str) -> None:
    assert text(f"<w:p><w:r><w:t>a </w:t></w:r><w:r>{alternatives}</w:r></w:p>").split() == ["a", shown]


def test_a_text_box_in_both_renderings_is_read_once() -> None:
    shape = "<w:drawing><wps:wsp><wps:txbx><w:txbxContent>{}</w:txbxContent></wps:txbx></wps:wsp></w:drawing>"
    old = "<w:pict><v:shape><v:textbox><w:txbxContent>{}</w:txbxContent></v:textbox></v:shape></w:pict>"
    both = CHOICE.format("wps", shape.format(p("in the box")), old.format(p("in the box")))
    assert text(f"<w:p><w:r><w:t>line</w:t></w:r><w:r>{both}</w:r></w:p>") == "line\n\nin the box"
    art = '<w:pict><v:shape><v:textpath string="DRAFT ONLY"/></v:shape></w:pict>'
    assert text(f"<w:p><w:r>{art}</w:r></w:p>") == "DRAFT ONLY"


CHUNK = '<w:altChunk r:id="chunk"/>'


@pytest.mark.parametrize(
    ("target", "data", "shown"),
    [
        ("a.html", b"<h2>Terms</h2><p>Pay in <b>30</b> days.</p>", "## Terms\n\nPay in 30 days."),
        ("a.txt", b"plain words\n", "plain words"),
        ("a.rtf", rb"{\rtf1\ansi rich words\par}", "rich words"),
        ("a.docx", word(p("a document inside")), "a document inside"),
        ("a.dat", b"<html><body><p>by its first bytes</p></body></html>", "by its first bytes"),
    ],
)
def test_embedded_documents_are_part_of_the_text(target: str, data: bytes, shown: str) -> None:
    made = word(p("before") + CHUNK + p("after"), links={"chunk": ("aFChunk", f"/word/{target}")})
    types = '<Types><Default Extension="dat" ContentType="text/html"/></Types>'
    parsed = read(
        with_member(with_member(made, f"word/{target}", data), "[Content_Types].xml", types.encode()),
        "a.docx",
    )
    assert parsed.text == f"before\n\n{shown}\n\nafter"
    for at, depth, title in parsed.headings:
        assert parsed.text[at:].startswith(f"{'#' * depth} {title}")


def test_an_embedded_document_that_is_lost_leaves_a_note() -> None:
    made = word(p("kept") + CHUNK, links={"chunk": ("aFChunk", "gone.html")})
    parsed = read(made, "a.docx")
    assert (parsed.text, parsed.notes) == ("kept", ["the embedded document word/gone.html was not read"])
    nested = word(CHUNK, links={"chunk": ("aFChunk", "self.docx")})
    for _ in range(5):
        nested = with_member(
            word(p("x") + CHUNK, links={"chunk": ("aFChunk", "self.docx")}), "word/self.docx", nested
        )
    deep = read(nested, "a.docx")
    assert (
        deep.text.split() == ["x"] * 4 and "the embedded document word/self.docx was not read" in deep.notes
    )


@pytest.mark.parametrize(
    ("before", "cells"), [("1", "|  | x | y |"), ("x", "| x | y |"), ("-2", "| x | y |")]
)
def test_a_row_may_begin_behind_the_first_column(before: str, cells: str) -> None:
    row = f'<w:tr><w:trPr><w:gridBefore w:val="{before}"/></w:trPr><w:tc>{p("x")}</w:tc><w:tc>{p("y")}</w:tc></w:tr>'
    assert text(f"<w:tbl>{row}</w:tbl>").splitlines()[0] == cells


def test_notes_of_pages_and_words_in_frames_are_read() -> None:
    notes = (
        '<w:footnotes><w:footnote w:type="separator" w:id="0"><w:p/></w:footnote>'
        f'<w:footnote w:id="2">{p("see the annex")}</w:footnote></w:footnotes>'
    )
    body = '<w:p><w:r><w:t>clause</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
    assert text(body, footnotes=notes) == "clause[^1]\n\n[^1]: see the annex"


@pytest.mark.parametrize("name", ["a.docx", "a.docm", "a.dotx", "a.dotm", "a.pptx", "a.xlsx", "a"])
def test_a_document_is_read_as_what_it_is_whatever_its_name_says(name: str) -> None:
    assert read(word(p("the words")), name).text == "the words"


def test_strict_documents_and_odd_names_of_parts_are_read() -> None:
    strict = xml(
        f"<w:document><w:body>{p('strict words', '<w:outlineLvl w:val=' + repr('0') + '/>')}</w:body></w:document>"
    )
    strict = strict.replace(
        "http://schemas.openxmlformats.org/wordprocessingml/2006/",
        "http://purl.oclc.org/ooxml/wordprocessingml/",
    )
    link = '<Relationships><Relationship Id="1" Type="http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument" Target="/Word/Document.XML"/></Relationships>'
    assert (
        read(zipped({"_rels/.rels": link, "word\\document.xml": strict}), "a.docx").text == "# strict words"
    )
    assert (
        read(zipped({"_rels/.rels": link, "word/document.xml": strict.encode("utf-16")}), "a.docx").text
        == "# strict words"
    )
    assert (
        read(zipped({"word/document.xml": strict}), "a.docx").text == "# strict words"
    )  # without relationships


def test_a_file_without_a_document_is_refused() -> None:
    with pytest.raises(LoadError, match=r"is not a Word document \(\.docx\), or damaged"):
        read(zipped({"word/other.xml": "<x/>"}), "a.docx")
