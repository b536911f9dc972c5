"""Page headers and footers are marked, and their words are in one chunk: where they first stand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
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
    marked = Counter(_marked(pages))
    assert marked == {
        "Annual report": 13,
        "Chapter one": 6,
        "Chapter two": 6,
        "Confidential": 13,
        **dict.fromkeys(map(str, range(5, 19)), 1),
    }


def _marked(pages: list[str]) -> list[str]:
    text, starts = paged(pages)
    return [text[a:b] for a, b in find_margins(pages, starts)]


def _records(*, first: str, last: str, pages: int = 6) -> list[str]:
    words = ("alder", "birch", "cedar", "damson", "elder", "fir")
    return [
        f"{first.format(n=n + 1, id=n + 1001)}\n{words[n]} one\n{words[n]} two\n{words[n]} three\n"
        f"{words[n]} four\n{last.format(n=n + 1, id=n + 1001)}"
        for n in range(pages)
    ]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("Code Description Price", "Status: approved"),
        ("Invoice {id}", "Closing balance {n} EUR"),
        ("{id}", "Employee record {n}"),
        ("Room {n}", "Signed by inspector {id}"),
        ("Page {n} of 6", "Exhibit {n}"),
        ("Handbook | {n}", "Case no. {id}, paid"),
        ("{n}", "- End of record -"),
        ("Seite {n} von 6 | Muster GmbH", "Muster GmbH"),
    ],
)
def test_every_word_that_does_not_number_a_page_stays_once(first: str, last: str) -> None:
    pages = _records(first=first, last=last)
    text, starts = paged(pages)
    kept = list(text)
    for a, b in find_margins(pages, starts):
        kept[a:b] = " " * (b - a)
    left = "".join(kept).split()
    numbers = {str(n) for n in range(1, 7)}
    assert set(text.split()) - numbers - {"Page", "of", "Seite", "von", "|"} <= set(left)
    for line in (first, last):
        if "{id}" in line or line.split()[0] in ("Employee", "Room", "Exhibit", "Closing"):
            assert all(line.format(n=n, id=n + 1000) in "".join(kept) for n in range(1, 7)), line


@pytest.mark.parametrize(
    ("line", "marked"),
    [
        ("Page {n} of 6", 6),
        ("Seite {n}", 6),
        ("- {n} -", 6),
        ("第 {n} 页", 6),
        ("{n} / 6", 6),
        ("Page {n} of 6 | Confidential", 5),
        ("Acme Inc. | Q3 Form 10-Q | {n}", 5),
        ("Notes to the annual financial statements {n}", 5),
        ("Annual report 2026 {n}", 5),
        ("Confidential", 5),
        ("Record {n}", 0),
        ("{id}", 0),
    ],
)
def test_lines_that_number_their_page_are_marked(line: str, marked: int) -> None:
    assert len(_marked(_records(first=line, last="{n} {id} {id} {n}"))) == marked


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


def test_no_chunk_holds_a_margin_again_and_offsets_stay(tmp_path: Path) -> None:
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
        first = "Secret header\n" if number == 0 else ""
        assert chunk.page_content == f"{first}Sentence number {number} is here.\nIt goes on for a while."
        assert text[chunk.metadata["start"] : chunk.metadata["end"]] == chunk.page_content
