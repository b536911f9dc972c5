"""Texts of documents in a card: lines, headings and tables kept, words marked."""

from __future__ import annotations

from rag.notebook.texts import marked, passage, word_marks
from tests.notebook.objects import markup

TABLE = "| Kind | Days |\n| --- | --- |\n| Annual | 28 |\n| Sick | `<b>` |\n"


def words(text: str, question: str) -> list[str]:
    return [text[start:end] for start, end, _ in word_marks(text, question)]


def test_words_of_the_question_are_marked_in_any_form() -> None:
    assert words("She declared it; declaring THE SEV-1 is easy.", "Who declares the SEV-1?") == [
        "declared", "declaring", "SEV", "1",
    ]  # fmt: skip
    assert words("anything", "") == []


def test_words_without_spaces_between_are_marked_by_pairs() -> None:
    assert words("東京都の休暇", "休暇") == ["休暇"]


def test_marks_survive_escaping_and_overlap() -> None:
    assert marked("a<b>c", [(1, 4, "word")]) == "a<mark>&lt;b&gt;</mark>c"
    assert marked("abcd", [(0, 3, "quote"), (2, 4, "word")]) == (
        '<mark class="quote">ab</mark><mark class="quote">c</mark><mark>d</mark>'
    )


def test_line_breaks_and_headings_are_kept() -> None:
    html = passage("# Leave\n\nOne.\r\nTwo.")
    assert '<span class="head"># Leave\n</span>' in html
    assert html.endswith("\nOne.\nTwo.</div>")


def test_a_table_is_a_table_with_heads() -> None:
    html = passage(f"Before\n{TABLE}After")
    assert '<th scope="col">Kind</th><th scope="col">Days</th>' in html
    assert "<tr><td>Sick</td><td>`&lt;b&gt;`</td></tr>" in html
    assert "---" not in html and "Before<div" in html and html.index("<table>") < html.index("After")


def test_rows_are_shown_below_the_head_that_they_had() -> None:
    html = passage("| Annual | 28 |\n| Sick | 16 |", head="| Kind | Days |\n| --- | --- |")
    assert '<th scope="col">Kind</th>' in html and "<td>Annual</td>" in html


def test_marks_stand_in_cells_and_escaped_pipes_end_none() -> None:
    text = "| a \\| b | leave |\n| c | d |"
    html = passage(text, word_marks(text, "leave"))
    assert "<td>a \\| b</td><td><mark>leave</mark></td>" in html


def test_what_is_long_is_cut_and_says_how_to_see_it() -> None:
    html = passage("x" * 50_000, most=600, how="hits[0].text")
    assert html.count("x") < 700 and "… 49,400 more characters: hits[0].text" in html
    wide = passage("\n".join("|" + "|".join("c" * 50) + "|" for _ in range(90)), most=1 << 20)
    assert "… 60 more rows, 30 more columns" in wide
    markup(wide)
