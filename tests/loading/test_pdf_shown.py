"""What a page of a PDF shows is in its text: form fields, annotations, fonts that are nowhere, scans."""

from __future__ import annotations

from pathlib import Path

import pytest
from fpdf import FPDF
from PIL import Image, ImageDraw

from rag.core.errors import LoadError
from rag.core.passages import STRUCTURE
from rag.loading.formats.pdf import draw_page
from rag.loading.loader import Loader
from tests.loading.files import pdf
from tests.loading.handmade import (
    cjk_font,
    glyph_by_glyph,
    line,
    lines_of,
    page_of,
    pdf_of,
    read,
    stream,
    utf16,
)

_FORM = "/AcroForm << /Fields [{}] /DR << /Font << /Helv 5 0 R >> >> /DA (/Helv 12 Tf 0 g) >>"


def _field(rect: str, kind: str, value: str, name: str = "f", more: str = "") -> str:
    return (
        f"<< /Type /Annot /Subtype /Widget /F 4 /P 3 0 R /Rect [{rect}] /FT /{kind} /T ({name}) "
        f"{f'/V {value}' if value else ''} {more} /DA (/Helv 12 Tf 0 g) >>"
    )


def _filled(*drawn: str, fields: list[str]) -> list[str]:
    names = [f"{20 + at} 0 R" for at in range(len(fields))]
    return lines_of(page_of(*drawn, annotations=names, form=_FORM.format(" ".join(names)), more=fields))


def test_values_stand_behind_their_labels_beside_or_above_the_field() -> None:
    fields = [
        _field("160 740 360 760", "Tx", "(Ada Lovelace)"),
        _field("50 675 250 690", "Tx", "(12 Elm Row)", "street"),
        _field("300 675 500 690", "Tx", utf16("\ufeffŁódź"), "town"),
    ]
    drawn = [
        line(50, 745, "Name:"), line(50, 695, "Street"), line(300, 695, "Town"), line(50, 600, "Sign below."),
    ]  # fmt: skip
    assert _filled(*drawn, fields=fields) == [
        "Name: Ada Lovelace",
        "Street 12 Elm Row Town Łódź",
        "Sign below.",
    ]


def test_a_value_in_a_sentence_stands_in_the_sentence() -> None:
    drawn = [line(50, 700, "I, "), line(200, 700, ", agree to pay.")]
    assert _filled(*drawn, fields=[_field("62 696 198 712", "Tx", "(Bo Ek)")]) == ["I, Bo Ek , agree to pay."]


def test_a_value_on_a_drawn_line_stands_behind_the_line() -> None:
    drawn = [line(50, 700, "Name: ____________________  Date: ____________")]
    fields = [_field("85 697 200 712", "Tx", "(Ada)", "n"), _field("245 697 330 712", "Tx", "(5 May)", "d")]
    assert _filled(*drawn, fields=fields) == ["Name: ____________________ Ada Date: ____________ 5 May"]


def test_values_of_a_grid_stand_in_their_rows() -> None:
    drawn = [line(50, 700, "Item"), line(200, 700, "Qty"), line(300, 700, "Price"), line(50, 680, "Bolt"),
             line(50, 660, "Nut")]  # fmt: skip
    cells = [(200, 677, "4"), (300, 677, "1.50"), (300, 657, "0.20"), (200, 657, "9")]
    fields = [_field(f"{x} {y} {x + 60} {y + 14}", "Tx", f"({v})", f"{x}/{y}") for x, y, v in cells]
    assert _filled(*drawn, fields=fields) == ["Item Qty Price", "Bolt 4 1.50", "Nut 9 0.20"]


def test_a_high_field_has_its_label_above() -> None:
    fields = [_field("50 520 400 695", "Tx", "(First line\\rSecond line)", "r", "/Ff 4096")]
    drawn = [line(50, 700, "Remarks"), line(50, 500, "End")]
    assert _filled(*drawn, fields=fields) == ["Remarks First line", "Second line", "End"]


def test_a_value_without_a_label_is_named_by_its_field() -> None:
    fields = [
        _field("300 300 400 320", "Tx", "(4711)", "policy_no"),
        _field("300 200 400 220", "Tx", "(line one\\rline two)", "x1", "/TU (Remarks) /Ff 4096"),
    ]
    assert _filled(line(50, 745, "Form 7"), fields=fields) == [
        "Form 7", "policy_no: 4711", "Remarks: line one", "line two",
    ]  # fmt: skip


def test_ticks_and_choices_are_read_as_they_are_shown() -> None:
    ticks = "/AP << /N << /Yes 26 0 R /Off 26 0 R >> >>"
    fields = [
        _field("50 700 60 710", "Btn", "/Yes", "a", f"/AS /Yes {ticks}"),
        _field("150 700 160 710", "Btn", "/Off", "b", f"/AS /Off {ticks}"),
        _field("120 640 220 660", "Ch", "(no)", "c", "/Ff 131072 /Opt [[(no) (Norway)] [(se) (Sweden)]]"),
        _field("120 590 220 620", "Ch", "[(r) (g)]", "d", "/Ff 2097152 /Opt [[(r) (Red)] [(g) (Green)] [(b) (Blue)]]"),
        _field("300 300 310 310", "Btn", "/express", "e", "/AS /express /AP << /N << /express 26 0 R >> >>"),
        _field("400 300 500 310", "Tx", "(hunter2)", "g", "/Ff 8192"),
        stream("", "/Type /XObject /Subtype /Form /BBox [0 0 10 10]"),
    ]  # fmt: skip
    drawn = [
        line(64, 701, "Member"),
        line(164, 701, "Guest"),
        line(50, 645, "Country"),
        line(50, 600, "Colours"),
    ]
    names = [f"{20 + at} 0 R" for at in range(6)]
    made = page_of(*drawn, annotations=names, form=_FORM.format(" ".join(names)), more=fields)
    assert lines_of(made) == [
        "☒ Member ☐ Guest", "Country Norway", "Colours Red, Green", "e: ☒ express",
    ]  # fmt: skip


def test_text_boxes_stamps_and_comments_are_read_and_hidden_ones_are_not() -> None:
    box = "<< /Type /Annot /Subtype /{} /F {} /Rect [50 {y} 250 {z}] /Contents ({}) {} >>"
    stamp = stream(line(5, 5, "PAID IN FULL"), "/Type /XObject /Subtype /Form /BBox [0 0 200 20] "
                   "/Resources << /Font << /F1 5 0 R >> >>")  # fmt: skip
    more = [
        box.format("FreeText", 4, "Use valve B instead", "/DA (/Helv 12 Tf 0 g)", y=600, z=620),
        box.format("Stamp", 4, "", "/AP << /N 26 0 R >>", y=500, z=520),
        box.format("Text", 4, "Check this figure", "", y=400, z=420),
        box.format("FreeText", 2, "Hidden words", "", y=300, z=320),
        box.format("Link", 4, "Go to page 2", "", y=200, z=220),
        box.format("Highlight", 4, "Own words", "", y=700, z=720),
        stamp,
    ]
    made = page_of(line(50, 705, "Own words"), annotations=[f"{20 + at} 0 R" for at in range(6)], more=more)
    assert lines_of(made) == ["Own words", "PAID IN FULL", "Use valve B instead", "Note: Check this figure"]


def test_fields_that_no_form_lists_are_read_by_what_they_draw() -> None:
    shown = stream(line(2, 5, "Kim Lee"), "/Type /XObject /Subtype /Form /BBox [0 0 200 20] "
                   "/Resources << /Font << /F1 5 0 R >> >>")  # fmt: skip
    widget = _field("160 740 360 760", "Tx", "(Kim Lee)", more="/AP << /N 21 0 R >>")
    made = page_of(line(50, 745, "Name:"), annotations=["20 0 R"], more=[widget, shown])
    assert lines_of(made) == ["Name:", "Kim Lee"]


def test_signatures_watermarks_and_fields_of_a_parent_are_read() -> None:
    def shown(words: str) -> str:
        return stream(line(2, 5, words), "/Type /XObject /Subtype /Form /BBox [0 0 200 20] "
                      "/Resources << /Font << /F1 5 0 R >> >>")  # fmt: skip

    more = [
        "<< /Type /Annot /Subtype /Widget /F 4 /P 3 0 R /FT /Sig /T (sig) /Rect [50 300 250 320] /V << >> "
        "/AP << /N 23 0 R >> >>",
        "<< /Type /Annot /Subtype /Watermark /F 4 /Rect [50 200 250 220] /AP << /N 24 0 R >> >>",
        "<< /Type /Annot /Subtype /Widget /F 4 /P 3 0 R /Parent 25 0 R /Rect [160 740 360 760] >>",
        shown("Signed by Ada"),
        shown("DRAFT"),
        "<< /T (name) /FT /Tx /V (Bo Ek) /DA (/Helv 12 Tf 0 g) /Kids [22 0 R] >>",
    ]
    made = page_of(line(50, 745, "Name:"), annotations=["20 0 R", "21 0 R", "22 0 R"],
                   form=_FORM.format("20 0 R 25 0 R"), more=more)  # fmt: skip
    assert " ".join(lines_of(made)) == "Name: Bo Ek Signed by Ada DRAFT"


def test_values_of_a_form_without_pages_of_its_own_are_read() -> None:
    data = stream(
        '<xfa:datasets xmlns:xfa="http://www.xfa.org/schema/xfa-data/1.0/"><xfa:data><form1>'
        "<Applicant>Ada Lovelace</Applicant><Sum>4,250 &#8364;</Sum><Empty/></form1></xfa:data></xfa:datasets>"
    )
    form = "/NeedsRendering true /AcroForm << /Fields [] /XFA [(template) 21 0 R (datasets) 20 0 R] >>"
    made = page_of(line(50, 700, "Please wait..."), form=form, more=[data, stream("<template/>")])
    assert lines_of(made) == ["Please wait...", "Applicant: Ada Lovelace", "Sum: 4,250 €"]


@pytest.mark.parametrize("letter", ["是", "ש", "Ж", "ع", "ก", "é", "x"])
@pytest.mark.parametrize("ordering", ["Identity", "Japan1"])
def test_a_letter_of_any_script_on_its_own_is_read(letter: str, ordering: str) -> None:
    unicode = f"1 begincodespacerange <0000> <ffff> endcodespacerange 1 beginbfchar <034b> {utf16(letter)} endbfchar"
    font = cjk_font("Identity-H", ordering, unicode)
    assert read(page_of(line(50, 700, "Paid"), line(150, 700, "<034b>", "/F2"), font=font)).text.split() == [
        "Paid", letter,
    ]  # fmt: skip


def test_drawing_a_page_uses_fonts_that_can_be_seen() -> None:
    import io

    calibri = [
        "<< /Type /Font /Subtype /TrueType /BaseFont /Calibri /FirstChar 32 /LastChar 122 /Encoding /WinAnsiEncoding "
        f"/FontDescriptor 7 0 R /Widths [{'500 ' * 91}] >>",
        "<< /Type /FontDescriptor /FontName /Calibri /Flags 32 /FontBBox [0 -200 1000 800] /ItalicAngle 0 "
        "/Ascent 800 /Descent -200 /CapHeight 700 /StemV 80 >>",
    ]
    made = page_of(line(50, 700, "Seen by OCR", "/F2"), font=calibri)
    assert read(made).text == "Seen by OCR\n"
    dark = sum(value < 128 for value in Image.open(io.BytesIO(draw_page(made, 0, None))).tobytes())
    assert dark > 1000


@pytest.mark.parametrize(
    ("encoding", "ordering", "code"),
    [
        ("UniJIS-UCS2-H", "Japan1", utf16("否")),
        ("UniGB-UCS2-H", "GB1", utf16("否")),
        ("UniKS-UCS2-H", "Korea1", utf16("否")),
        ("UniCNS-UCS2-H", "CNS1", utf16("否")),
        ("GBK-EUC-H", "GB1", f"<{'否'.encode('gbk').hex()}>"),
        ("90ms-RKSJ-H", "Japan1", f"<{'否'.encode('cp932').hex()}>"),
        ("ETen-B5-H", "CNS1", f"<{'否'.encode('big5').hex()}>"),
        ("KSCms-UHC-H", "Korea1", f"<{'否'.encode('cp949').hex()}>"),
    ],
)
def test_a_glyph_on_its_own_is_read_where_its_font_is_nowhere(
    encoding: str, ordering: str, code: str
) -> None:
    made = page_of(line(50, 700, "Paid"), line(150, 700, code, "/F2"), font=cjk_font(encoding, ordering))
    assert "".join(read(made).text.split()) == "Paid否"


def test_characters_beyond_the_first_plane_keep_their_neighbours() -> None:
    text = read(glyph_by_glyph(["a", "😀", "x"])).text
    assert sorted(text.strip()) == ["a", "x", "😀"]


def test_words_whose_letters_stand_apart_are_words() -> None:
    words = "Container lines of the Pacific name every harbour that a vessel calls at in its turn of service".split()
    drawn, x, y = [], 50.0, 700.0
    for word in words:
        if x > 450:
            x, y = 50.0, y - 20
        for piece in filter(None, (word[:-1], f"{word[-1]} ")):
            drawn.append(f"BT /F2 8 Tf 1.9 Tc 1 0 0 1 {x:.2f} {y} Tm ({piece}) Tj ET")
            x += len(piece) * (4.8 + 1.9)
    courier = ["<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>"]
    assert read(page_of(*drawn, font=courier)).text.split() == words


def test_letters_that_are_words_keep_their_blanks() -> None:
    text = "x = a b c d e f and y = a b c d e f or z = a b c"
    assert read(page_of(line(50, 700, text))).text == text + "\n"
    apart = [line(50 + 20 * at, 650, letter) for at, letter in enumerate("abcdefghijklm")]
    assert read(page_of(*apart)).text.split() == list("abcdefghijklm")


def _stamped(*stamps: str, width: float = 190, text: str = "Pump seven leaks") -> bytes:
    made = FPDF()
    made.set_font("helvetica", size=12)
    for stamp in stamps:
        picture = Image.new("L", (1000, 1300), 255)
        ImageDraw.Draw(picture).text((60, 300), text, font_size=60, fill=0)
        made.add_page()
        made.image(picture, x=10, y=20, w=width)
        made.text(10, 10, stamp)
    return bytes(made.output())


def test_a_scan_with_a_stamp_is_noted_and_read_by_ocr() -> None:
    made = _stamped("BATES 000001", "BATES 000002")
    before = read(made)
    assert before.scanned == [0, 1]
    assert before.notes == [
        "pages 1, 2 hold pictures and little text beside them: not read "
        "(build with --ocr tesseract to read them)"
    ]
    after = read(made, {0: "BATES 000001\nPump seven leaks", 1: "BATE5 00OOO2\nPump seven leaks"})
    assert (after.scanned, after.notes) == ([], [])
    assert after.text == ("BATES 000001\nPump seven leaks\n\nBATES 000002\nBATE5 00OOO2\nPump seven leaks\n")
    assert [after.text[at : at + 12] for at in after.pages] == ["BATES 000001", "BATES 000002"]


def test_the_loader_hands_stamped_scans_to_ocr(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(_stamped("BATES 000001"))
    seen: list[bytes] = []

    def ocr(png: bytes) -> str:
        seen.append(png)
        return "BATES 000001\nPump seven leaks"

    [document] = Loader(tmp_path, ocr=ocr, workers=1).load()
    assert document.page_content == "BATES 000001\nPump seven leaks\n"
    assert (len(seen), document.metadata[STRUCTURE]["notes"]) == (1, [])


def test_pages_of_text_with_a_picture_are_no_scans() -> None:
    assert read(_stamped("A logo and a line", width=40)).scanned == []
    full = "Words of a page that a background picture lies behind. " * 12
    made = FPDF()
    made.set_font("helvetica", size=12)
    made.add_page()
    made.image(Image.new("L", (100, 130), 200), x=0, y=0, w=210)
    made.multi_cell(0, text=full)
    assert read(bytes(made.output())).scanned == []


def test_a_scan_that_ocr_has_been_laid_over_is_no_scan() -> None:
    made = FPDF()
    made.set_font("helvetica", size=12)
    made.add_page()
    made.image(Image.new("L", (100, 130), 200), x=0, y=0, w=210)
    with made.local_context(text_mode=3):
        made.text(10, 10, "Words under the picture")
    assert read(bytes(made.output())).scanned == []


def test_a_document_without_pages_says_so_whatever_was_read_before() -> None:
    import io

    import pypdf

    empty = pdf_of(["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Count 0 /Kids [] >>"])
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf("Locked words.")))
    writer.encrypt("key", algorithm="AES-256")
    locked = io.BytesIO()
    writer.write(locked)
    reasons = []
    for data in (empty, locked.getvalue(), empty, b"%PDF-1.7 no more", empty):
        with pytest.raises(LoadError) as refusal:
            read(data)
        reasons.append(refusal.value.reason)
    assert reasons[0] == reasons[2] == reasons[4] == "holds no pages"
    assert reasons[1] == "needs a password"
    assert reasons[3].startswith("is not a readable PDF")
