"""Page headers and footers are marked, and are in no chunk."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

import rag
from rag.core.passages import STRUCTURE
from rag.loading.formats.margins import find_margins
from rag.loading.structure import Parsed
from tests.loading.files import paged


def test_headers_footers_and_page_numbers_are_marked_and_text_is_not() -> None:
    pages = [
        f"Annual report\n{'Chapter one' if n < 7 else 'Chapter two'}\nfirst words {n}\nmore of it\nand more\n"
        f"a last line {n * n}\nConfidential\n{n + 5}"
        for n in range(14)
    ]
    text, starts = paged(pages)
    marked = [text[a:b] for a, b in find_margins(pages, starts)]
    assert set(marked) == {
        "Annual report",
        "Chapter one",
        "Chapter two",
        "Confidential",
        *map(str, range(5, 19)),
    }
    assert len(marked) == 14 * 4


def test_numbers_at_an_edge_that_do_not_count_pages_are_text() -> None:
    pages = [f"Total\nof the year\nand more\n{n * 17 % 11}" for n in range(8)]
    _, starts = paged([page.replace("Total", f"Part {'abcdefgh'[n]}") for n, page in enumerate(pages)])
    pages = [page.replace("Total", f"Part {'abcdefgh'[n]}") for n, page in enumerate(pages)]
    text, _ = paged(pages)
    assert not any(text[a:b].isdigit() for a, b in find_margins(pages, starts))


def test_a_page_of_one_line_is_never_all_margin() -> None:
    pages = ["Hello World"] * 6
    assert find_margins(pages, paged(pages)[1]) == []


@given(st.lists(st.text(alphabet="ab1 \n", max_size=30), max_size=12))
def test_margins_are_whole_lines_and_less_than_the_text(pages: list[str]) -> None:
    text, starts = paged(pages)
    spans = find_margins(pages, starts)
    lines = {line.strip() for line in text.split("\n")}
    assert all(text[a:b] in lines and text[a:b] for a, b in spans)
    assert all(one[1] < two[0] for one, two in zip(spans, spans[1:], strict=False))
    for page, start in zip(pages, starts, strict=True):
        of_page = [line for line in page.split("\n") if line.strip()]
        inside = [span for span in spans if start <= span[0] < start + len(page)]
        assert len(inside) < max(len(of_page), 1)


def test_no_chunk_holds_a_margin_and_offsets_stay(tmp_path: Path) -> None:
    pages = [
        f"Secret header\nSentence number {n} is here.\nIt goes on for a while.\n{n + 1}" for n in range(6)
    ]
    text, starts = paged(pages)
    margins = find_margins(pages, starts)
    structure = Parsed(text, pages=starts, margins=margins).structure()
    chunks = rag.SemanticChunker().split_documents(
        [Document(text, metadata={"source": "a", STRUCTURE: structure})]
    )
    assert [chunk.metadata["page_start"] for chunk in chunks] == [1, 2, 3, 4, 5, 6]
    for number, chunk in enumerate(chunks):
        assert chunk.page_content == f"Sentence number {number} is here.\nIt goes on for a while."
        assert text[chunk.metadata["start"] : chunk.metadata["end"]] == chunk.page_content
