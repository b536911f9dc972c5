"""Tables: HTML with every cell escaped, Markdown with pipes escaped."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rag.core.table import Table


class Cells(HTMLParser):
    """Collects tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        self.texts += [""] if tag in ("i", "th", "td") else []

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


def parsed(html: str) -> Cells:
    cells = Cells()
    cells.feed(html)
    cells.close()
    return cells


@settings(deadline=None)
@given(st.text(), st.text(), st.text())
def test_html_holds_every_text_and_no_other_tag(caption: str, head: str, cell: str) -> None:
    html = parsed(Table(caption, (head, "b"), [(cell, "2")]).to_html())
    assert html.texts == [caption, head, "b", cell, "2"]
    assert html.tags == ["table", "caption", "i", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]


def test_html_escapes_markup() -> None:
    html = Table("<b>", ("&",), [("<script>",)]).to_html()
    assert "<b>" not in html and "<script>" not in html
    assert "&lt;script&gt;" in html


def test_markdown_is_a_table_with_pipes_and_line_breaks_in_cells() -> None:
    markdown = Table("Recall", ("a|b", "mean"), [("x|y", "one\ntwo")]).to_markdown()
    html = MarkdownIt("commonmark").enable("table").render(markdown)
    assert parsed(html.replace("<p>", "<i>").replace("\n", "")).texts == [
        "Recall",
        "a|b",
        "mean",
        "x|y",
        "one two",
    ]


def test_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"row 2 of the table 'T' has 1 cells for 2 columns"):
        Table("T", ("a", "b"), [("1", "2"), ("1",)])
