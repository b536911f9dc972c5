"""Right-to-left and vertical text of a PDF is in the order in which it is read."""

from __future__ import annotations

import pytest

from tests.loading.handmade import cjk_font, glyph_by_glyph, line, page_of, read, utf16


@pytest.mark.parametrize(
    "columns",
    [
        [(500, 700, "縦書きの文章"), (470, 700, "二行目です"), (440, 700, "三")],
        [(500, 700, "上段の一"), (470, 690, "上段の二"), (500, 500, "下段の一"), (470, 500, "下段の二")],
        [(500, 700, "縦"), (500, 688, "書き"), (470, 700, "二行目")],
    ],
)
def test_vertical_columns_are_read_from_the_right(columns: list[tuple[int, int, str]]) -> None:
    drawn = [line(x, y, utf16(words), "/F2") for x, y, words in columns]
    text = read(page_of(*drawn, font=cjk_font("UniJIS-UCS2-V"))).text
    assert "".join(text.split()) == "".join(words for _, _, words in columns)


def test_a_row_of_single_glyphs_is_a_line() -> None:
    cells = [(50, 780, "王小明"), (150, 780, "是"), (250, 780, "否"), (50, 760, "李四"), (150, 760, "否")]
    drawn = [line(x, y, utf16(words), "/F2") for x, y, words in cells]
    text = read(page_of(*drawn, font=cjk_font("UniGB-UCS2-H", "GB1"))).text
    assert [row.split() for row in text.splitlines()] == [["王小明", "是", "否"], ["李四", "否"]]


@pytest.mark.parametrize(
    ("glyphs", "words"),
    [
        (["خ", "لا", "ل"], "خلال"),
        (["و", "ا", "لأ", "م", "ن"], "والأمن"),
        (["إ", "لى", " ", "الله"], "إلى الله"),
        (["\ufea7", "\ufefc", "\ufedd"], "خلال"),
        (["مَ", "ن"], "مَن"),
        (list("שלום (מבחן) סוף"), "שלום (מבחן) סוף"),
        (list("שלום )מבחן( סוף"), "שלום (מבחן) סוף"),
        (list("ראה [א] או {ב}"), "ראה [א] או {ב}"),
        (["(", "لا", ")", " ", "نعم"], "(لا) نعم"),
    ],
)
def test_right_to_left_text_is_in_the_order_in_which_it_is_read(glyphs: list[str], words: str) -> None:
    assert read(glyph_by_glyph(glyphs)).text == words + "\n"


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        ("הקובץ dm.EMDAER (קרא אותי) נמצא", "הקובץ README.md (קרא אותי) נמצא"),
        ("استخدم 11.3 nohtyP الآن", "استخدم Python 3.11 الآن"),
        ("התאריך 4202/50/21 בשעה 03:01", "התאריך 12/05/2024 בשעה 10:30"),
        ("التاريخ 4202/50/21 الساعة 03:01", "التاريخ 12/05/2024 الساعة 10:30"),
        ("השנים 4202-3202 היו", "השנים 2023-2024 היו"),
        ("מחיר %51 הנחה, 05.52$ נטו", "מחיר 15% הנחה, $25.50 נטו"),
        ("الأسعار 05.052,1 ريال", "الأسعار 1,250.50 ريال"),
        ("כתבו אל moc.elpmaxe@ofni היום", "כתבו אל info@example.com היום"),
        ("סעיף )2( של החוק )1 תיקון(", "סעיף (2) של החוק (1 תיקון)"),
        ("רק עברית בלי מספר", "רק עברית בלי מספר"),
    ],
)
def test_lines_of_both_directions_are_in_logical_order(drawn: str, words: str) -> None:
    """`drawn` names the glyphs as they stand, from the right."""
    assert read(glyph_by_glyph(list(drawn))).text == words + "\n"


def test_latin_lines_with_a_word_from_the_right_keep_their_order() -> None:
    shown = "The word " + "שלום"[::-1] + " means peace"
    assert read(glyph_by_glyph(shown[::-1])).text == "The word שלום means peace\n"
