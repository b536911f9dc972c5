"""Rich text: what a reader sees, in order, and nothing that is deleted, hidden or drawn twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rag.loading.formats.rtf import parse_rtf
from rag.loading.structure import Options, Parsed


def _read(body: str | bytes, head: str = r"{\rtf1\ansi\ansicpg1252\deff0 ") -> Parsed:
    data = body if isinstance(body, bytes) else (head + body + "}").encode("latin-1")
    return parse_rtf(Path("a.rtf"), data, Options())


def _text(body: str | bytes, head: str = r"{\rtf1\ansi\ansicpg1252\deff0 ") -> str:
    return _read(body, head).text


_FONTS = (
    r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fcharset0 Arial;}{\f1\fcharset204{\*\panose 02}Arial CYR;}"
    r"{\f2\fcharset128 MS Mincho;}{\f3\fcharset2 Symbol;}{\f4\fcharset161 Arial Greek;}{\f5\cpg1250 X;}} "
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"Limit{\footnote The limit is 16 bar.} set.\par", "Limit[^1] set.\n\n[^1]: The limit is 16 bar."),
        (r"A{\super\chftn{\*\footnote\ftnalt\pard{\super\chftn} One.\par Two.}} b\par",
         "A[^1] b\n\n[^1]: One. Two."),
        (r"A{\footnote x{\v y}\par} b{\footnote z}\par c", "A[^1] b[^2]\n\n[^1]: x\n\n[^2]: z\n\nc"),
        (r"{\stylesheet{\*\cs7 Strong;}}a {\fs24\b0\*\cs7\cf0 b} {\*\cs7\cf0 c} {\*\unheard d}e\par", "a b c e"),
        (r"Price is {\deleted 40}{\revised 50} {\mvf from}{\mvt to}\deleted x\deleted0 y\par", "Price is 50 toy"),
        (r"a{\v b\par c}d \v e\v0 f\v g\plain h\par", "ad fh"),
        (r"{\field{\*\fldinst HYPERLINK \"http://x.example\"}{\fldrslt{\ul our site}}} is up\par",
         "our site is up"),
        (r"{\field{\*\fldinst FORMCHECKBOX {\*\formfield{\fftype1\ffres1{\*\ffname c}}}}{\fldrslt }} yes\par",
         "☒ yes"),
        (r"{\field{\*\fldinst FORMDROPDOWN {\*\formfield{\fftype2\ffres25\ffdefres1{\*\ffl Red}{\*\ffl Blue}}}}"
         r"{\fldrslt }}\par", "Blue"),
        (r"a{\*\shppict{\pict\pngblip 89504e47}}{\nonshppict{\pict 0102}}b{\pict\bin3 }{\}c\par", "abc"),
        (r"a{\object{\*\objclass X}{\*\objdata 0105}{\result Sheet total 9}}\par", "aSheet total 9"),
        (r"a{\shp{\*\shpinst\shpleft1{\sp{\sn f}{\sv 1}}{\shptxt\pard Boxed words\par}}{\shprslt{\*\do "
         r"{\dptxbxtext Boxed words\par}}}} b\par", "a b\n\nBoxed words"),
        (r"a{\*\do\dpline{\dptxbxtext\pard Old box\par}}\par", "a\n\nOld box"),
        (r"a{\*\atnid 1}{\*\atnauthor Bo}\chatn{\*\annotation{\*\atnref 1}{\*\atndate 0}Check it}b\par",
         "ab\n\nNote: Check it"),
        (r"{\header\pard Acme Ltd\par}{\footer Page {\field{\*\fldinst PAGE}{\fldrslt 1}}\par}Body\par",
         "Acme Ltd\n\nBody\n\nPage 1"),
        (r"{\upr{a?}{\*\ud{a\u322?}}}b{\xe hidden entry}{\tc toc}\par", "ałb"),
        (r"one\line two\tab three\emdash four\~five\_six\-seven\par", "one\ntwo\tthree—four\u00a0five-sixseven"),
        (r"{\mmath{\*\moMathPara{\*\moMath{\mf{\mfPr{\mctrlPr x}}{\mnum{\mr a}}{\mden{\mr b}}}}}}\par", "ab"),
        ("first\\\nsecond\\\r\nthird", "first\n\nsecond\n\nthird"),
    ],
)  # fmt: skip
def test_a_reader_sees_this(body: str, text: str) -> None:
    assert _text(body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"\'e9\'80 \u8364? \u-10179?\u-8704? {\uc2\u8364 EU!}{\uc0\u8364 x}", "é€ € 😀 €!€x"),
        (r"\u8217\'92s \u246{}ok \uc1\u8220\ldblquote x", "’s öok “x"),
        (r"{\f1\'cf\'f0\'e8\'e2\'e5\'f2} caf\'e9", "Привет café"),
        (r"{\f2\'93\'fa\'96\'7b\'83\'5c}{\f2 \'83A}", "日本ソア"),
        (r"{\f4\'e1\'e2} {\f5\'b3\'f3d\'9f}", "αβ łódź"),
        (r"{\f3\'b7} x \u-3913? y", "• x • y"),
        ("Gr\u00c3\u00b6\u00c3\u009fe", "Größe"),
    ],
)
def test_letters_of_every_code_page(body: str, text: str) -> None:
    assert _text(body, _FONTS) == text


@pytest.mark.parametrize(
    ("head", "data", "text"),
    [
        (r"{\rtf1\ansi\ansicpg936 ", "价格".encode("gbk"), "价格"),
        (r"{\rtf1\ansi\ansicpg65001 ", "Größe".encode(), "Größe"),
        (r"{\rtf1\mac ", "é".encode("mac_roman"), "é"),
        (r"{\rtf1\pca ", "é".encode("cp850"), "é"),
        (r"{\rtf1\ansi\ansicpg99999 ", b"caf\xe9", "café"),
    ],
)
def test_a_document_has_a_code_page(head: str, data: bytes, text: str) -> None:
    assert _text(head.encode() + data + b"\\par}") == text


_ROW = r"\trowd\cellx1\cellx2 "


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (_ROW + r"\intbl {Code\par}\cell \intbl {Error\par}\cell\row" + _ROW
         + r"\intbl {3\par}\cell \intbl {Disk full\par}\cell\row \pard After\par",
         [["Code", "Error"], ["3", "Disk full"]]),
        (_ROW + r"a\par b\cell c\line d\cell\row" + _ROW + r"\cell e\cell\row\pard After\par",
         [["a b", "c d"], ["", "e"]]),
        (_ROW + r"\pard\intbl {\listtext 1.\tab}x\cell {\b y}\cell\row\pard After\par", [["1. x", "y"]]),
        (_ROW + r"\intbl out\par\pard\intbl\itap2 in1\nestcell in2\nestcell{\*\nesttableprops\trowd\cellx1\nestrow}"
         r"{\nonesttables\par}\pard\intbl end\cell b\cell\row\pard After\par", [["out in1, in2 end", "b"]]),
        (_ROW + r"\intbl a\cell b{\footnote fn}\cell\row\pard After\par", [["a", "b[^1]"]]),
        (_ROW + r"\intbl a\cell b\row\pard After\par", [["a", "b"]]),
    ],
)  # fmt: skip
def test_tables_keep_their_cells(body: str, rows: list[list[str]]) -> None:
    parsed = _read(body)
    start, _, end = parsed.tables[0]
    lines = parsed.text[start:end].splitlines()
    assert [line.strip("| ").split(" | ") if line.strip("| ") else [] for line in lines[:1] + lines[2:]] == [
        [cell for cell in row if cell or row.index(cell)] for row in rows
    ]
    assert parsed.text.endswith("After") and len(parsed.tables) == 1
    assert parsed.text.count("[^1]: fn") == body.count("footnote")


def test_a_table_that_ends_the_file_or_lacks_its_row_end_is_kept() -> None:
    assert _text(_ROW + r"\intbl a\cell b\cell") == "| a | b |\n| --- | --- |"
    assert _text(_ROW + r"\intbl a\cell b") == "| a | b |\n| --- | --- |"


def test_lists_have_their_numbers_and_levels() -> None:
    body = (
        r"Steps\par{\listtext\pard\plain 1.\tab}\ls1\ilvl0 Open\par{\listtext a)\tab}\ilvl1 Turn\par"
        r"{\pntext\f3\'b7\tab}\pard Ring\par\pard End\par"
    )
    assert _text(body, _FONTS) == "Steps\n\n1. Open\n  a) Turn\n- Ring\n\nEnd"


def test_headings_are_those_with_an_outline_level() -> None:
    parsed = _read(
        r"\pard\outlinelevel0 Pumps\par\pard Words\par\pard\outlinelevel1{\listtext 1.1\tab}Valves\par"
    )
    assert parsed.text == "# Pumps\n\nWords\n\n## 1.1 Valves"
    assert parsed.headings == [(0, 1, "Pumps"), (16, 2, "1.1 Valves")]


def test_what_the_document_says_of_itself_is_metadata() -> None:
    parsed = _read(r"{\info{\title Caf\'e9 \u8364?}{\author Bo}{\*\company X}{\operator Y}}Words\par")
    assert (parsed.metadata, parsed.text) == ({"title": "Café €", "author": "Bo"}, "Words")


def test_html_that_was_wrapped_in_rich_text_is_read_as_html() -> None:
    body = (
        r"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}\htmlrtf \pard\htmlrtf0 Caf\'e9 {\*\htmltag84 &amp;}"
        r"\htmlrtf &\htmlrtf0  bar{\*\htmltag72 </p>}\htmlrtf\par\htmlrtf0 {\*\htmltag64 <table><tr><td>}7,700"
        r"{\*\htmltag72 </td></tr></table>}{\*\mhtmltag64 <p>no</p>}}"
    )
    assert _text(body.encode("latin-1")) == "Café & bar\n\n| 7,700 |\n| --- |"


@pytest.mark.parametrize(
    "body",
    ["{" * 5000 + "deep", "a}}}}b", "\\", "\\u", "\\bin99999999 x", "\\'", "{\\*", "\\row\\cell\\nestrow"],
)
def test_damage_ends_in_text(body: str) -> None:
    assert "before" in _text("before\\par " + body)


def test_pictures_and_brackets_take_time_in_proportion() -> None:
    picture = r"{\pict\wmetafile8 " + ("0123456789abcdef" * 8 + "\n") * 20_000 + "}"
    began = time.process_time()
    assert _text("a" + picture + r"{\b b}" * 50_000 + r"\par") == "a" + "b" * 50_000
    assert time.process_time() - began < 5
