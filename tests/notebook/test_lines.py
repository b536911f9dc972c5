"""Lines of at most 80 columns of a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from rag.notebook.lines import grid, labelled, line, numeric, tagged, wrapped


def test_a_line_is_cut_where_it_ends() -> None:
    assert line("a\n  b\tc") == "a b c"
    assert line("x" * 100) == "x" * 79 + "…"
    assert line("word " * 40, 12, indent="  ") == "  word word…"
    assert line("漢字" * 40, 11) == "漢字漢字漢…"  # each takes two columns


def test_lines_are_kept_and_what_is_left_out_is_counted() -> None:
    assert wrapped("one\n\ntwo", "  ") == ["  one", "", "  two"]
    assert wrapped("a\r\nb\fc") == ["a", "b", "c"]
    assert wrapped("ab\ncd\nef\ngh", most=2) == ["ab", "cd", "… 5 more characters"]
    assert wrapped("x" * 50_000, most=2)[-1] == "… 49,840 more characters"


def test_indentation_of_code_is_kept() -> None:
    assert wrapped("def f():\n    return 1") == ["def f():", "    return 1"]


@given(st.text(max_size=400), st.sampled_from(["", "    "]))
def test_no_line_is_wider_than_the_terminal(text: str, indent: str) -> None:
    for each in (*wrapped(text, indent), line(text, indent=indent), tagged(text, text, 40)):
        assert cell_len(each) <= 80 and "\n" not in each


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=90), st.text(max_size=90)), max_size=4))
def test_no_table_is_wider_than_the_terminal(rows: list[tuple[str, str, str]]) -> None:
    for each in [*grid(("a", "b", "c"), rows), *labelled([row[:2] for row in rows if len(row[0]) < 20])]:
        assert cell_len(each) <= 80


def test_numbers_stand_to_the_right_and_texts_to_the_left() -> None:
    assert grid(("name", "count"), [("a", "9"), ("b", "1,000")]) == [
        "  name  count", "  a         9", "  b     1,000",
    ]  # fmt: skip
    assert grid(("name",), []) == []


def test_what_is_a_number() -> None:
    known = ("", "7", "1,234", "-0.5", "+0.109 [-0.081, +0.300]", "$0.0123", "45%", "12 ms", "1.2 MB")
    assert all(map(numeric, known))
    assert not any(map(numeric, ("7 files", "v1", "2024-01-31", "free")))


def test_names_stand_before_their_values_and_empty_ones_are_left_out() -> None:
    assert labelled([("size", "7 MB"), ("embedder", "local"), ("none", "")]) == [
        "  size      7 MB", "  embedder  local",
    ]  # fmt: skip
