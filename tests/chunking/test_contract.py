"""What every chunker of ours keeps to, on any text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

import rag
from rag.chunking import FixedChunker, RecursiveChunker, SemanticChunker, estimate_tokens
from rag.core.errors import ConfigError
from rag.core.passages import STRUCTURE
from rag.embedding.static import StaticEmbeddings
from rag.loading.formats.margins import find_margins
from rag.loading.formats.plain import outline
from rag.loading.structure import Parsed

STATIC = StaticEmbeddings()
CHUNKERS: dict[str, Any] = {
    "semantic": lambda **k: SemanticChunker(STATIC, STATIC.count_tokens, max_tokens=20, min_tokens=5, **k),
    "semantic, estimated": lambda **k: SemanticChunker(max_tokens=20, min_tokens=5, **k),
    "semantic, overlapping": lambda **k: SemanticChunker(
        STATIC, STATIC.count_tokens, max_tokens=20, min_tokens=5, overlap_percentage=50, **k
    ),
    "recursive": lambda **k: RecursiveChunker(STATIC.count_tokens, max_tokens=20, **k),
    "recursive, estimated": lambda **k: RecursiveChunker(max_tokens=20, overlap_percentage=0, **k),
    "fixed": lambda **k: FixedChunker(STATIC.count_tokens, max_tokens=20, **k),
    "fixed, estimated": lambda **k: FixedChunker(max_tokens=20, overlap_percentage=90, **k),
}
TEXT = st.lists(
    st.sampled_from(["# Head", "\n", "\n\n", "word ", "Sentence here. ", "- item\n", "| a | b |\n", "```\n", "x" * 90, " ", "日本語の文。", "1.5 ", "é"]),
    max_size=60,
).map("".join) | st.text(max_size=300)  # fmt: skip


@pytest.fixture(params=CHUNKERS)
def chunker(request: pytest.FixtureRequest) -> Any:
    return CHUNKERS[request.param]()


def document(text: str) -> Document:
    parsed = Parsed(text, headings=outline(text)[0])
    return Document(text, metadata={"source": "a", "year": 2026, STRUCTURE: parsed.structure()})


@given(text=TEXT)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("name", CHUNKERS)
def test_chunks_are_slices_in_order_within_the_cap_that_hold_all_there_is(name: str, text: str) -> None:
    chunker = CHUNKERS[name]()
    count = estimate_tokens if "estimated" in name else STATIC.count_tokens
    chunks = chunker.split_documents([document(text)])
    held = set()
    last = (-1, -1)
    for chunk in chunks:
        start, end = chunk.metadata["start"], chunk.metadata["end"]
        assert text[start:end] == chunk.page_content
        assert chunk.page_content == chunk.page_content.strip() != ""
        assert (start, end) > last and end > last[1]
        last = (start, end)
        held |= set(range(start, end))
        assert chunk.metadata["year"] == 2026 and STRUCTURE not in chunk.metadata
        assert count([chunk.page_content])[0] <= 20 or len(chunk.page_content) == 1
    assert {at for at, character in enumerate(text) if not character.isspace()} <= held
    assert chunker.split_documents([document(text)]) == chunks


def test_sections_pages_and_margins_are_true(chunker: Any) -> None:
    pages = [
        f"Running head\nPage {n} says a thing of its own, and then another one.\nIt goes on.\n{n}"
        for n in range(1, 7)
    ]
    starts, at = [], 0
    for page in pages:
        starts.append(at)
        at += len(page) + 2
    text = "\n\n".join(pages)
    margins = find_margins(pages, starts)
    third = starts[2] + pages[2].index("Page 3")
    parsed = Parsed(text, pages=starts, margins=margins, headings=[(third, 1, "Third")])
    chunks = chunker.split_documents(
        [Document(text, metadata={"source": "a", STRUCTURE: parsed.structure()})]
    )
    for chunk in chunks:
        meta = chunk.metadata
        assert not any(meta["start"] < b and a < meta["end"] for a, b in margins)
        assert meta["page_start"] == meta["page_end"] == sum(start <= meta["start"] for start in starts)
        assert meta["section"] == (["Third"] if meta["start"] >= third else [])


def test_plain_chunkers_overlap_as_much_as_asked_and_no_more() -> None:
    text = " ".join(f"w{n}" for n in range(400))
    for kind in (FixedChunker, RecursiveChunker):
        chunks = kind(max_tokens=40, overlap_percentage=25).split_documents([Document(text)])
        for one, two in zip(chunks, chunks[1:], strict=False):
            shared = text[two.metadata["start"] : one.metadata["end"]]
            assert 0 < estimate_tokens([shared])[0] <= 10
        apart = kind(max_tokens=40, overlap_percentage=0).split_documents([Document(text)])
        assert all(
            one.metadata["end"] < two.metadata["start"] for one, two in zip(apart, apart[1:], strict=False)
        )


def test_semantic_chunks_begin_again_with_whole_sentences_of_the_one_before_in_their_section() -> None:
    body = " ".join(f"Sentence number {n} is here." for n in range(12))
    text = f"# One\n\n{body}\n\n# Two\n\n{body}"
    chunks = SemanticChunker(max_tokens=40, min_tokens=8, overlap_percentage=25).split_documents(
        [document(text)]
    )
    shared = [
        text[two.metadata["start"] : one.metadata["end"]]
        for one, two in zip(chunks, chunks[1:], strict=False)
    ]
    border = next(n for n, chunk in enumerate(chunks) if chunk.metadata["section"] == ["Two"])
    assert shared[border - 1] == ""  # never across a heading
    inside = [piece for n, piece in enumerate(shared) if n != border - 1]
    assert inside and all(piece.startswith("Sentence") and piece.endswith(".") for piece in inside)
    with pytest.raises(ConfigError, match="overlap_percentage is 60"):
        SemanticChunker(overlap_percentage=60)


def test_rows_of_a_table_know_its_head(chunker: Any) -> None:
    rows = "\n".join(f"| region {n} | {n * 10} days of leave in a year |" for n in range(30))
    head = "| place | allowance |\n|---|--:|\n"
    text = f"Before it.\n\n{head}{rows}\n\nBehind it, a | b.\n\n```\n| x | y |\n|---|---|\n| 1 | 2 |\n```\n"
    headings, tables = outline(text)
    at = text.index(head)
    assert tables == [(at, at + len(head), text.index("\n\nBehind") + 1)]
    parsed = Parsed(text, headings=headings, tables=tables)
    whole = Document(text, metadata={"source": "a", STRUCTURE: parsed.structure()})
    for chunk in chunker.split_documents([whole]):
        inside = at < chunk.metadata["start"] < tables[0][2]
        expected = (head, at) if inside else (None, None)
        assert (chunk.metadata.get("table_head"), chunk.metadata.get("table_head_start")) == expected


def test_recursive_chunks_end_where_the_largest_parts_end() -> None:
    text = "One two three.\n\nFour five six.\nSeven eight. Nine ten, or a few more. Twelve.\n\nEnd."
    found = [
        c.page_content
        for c in RecursiveChunker(max_tokens=8, overlap_percentage=0).split_documents([Document(text)])
    ]
    assert found == [
        "One two three.",
        "Four five six.",
        "Seven eight.",
        "Nine ten, or a few more.",
        "Twelve.",
        "End.",
    ]


@pytest.mark.parametrize("name", ["semantic", "recursive", "fixed"])
def test_an_index_is_built_by_any_of_them_by_name_and_refuses_another(
    folder: Path, tmp_path: Path, name: str
) -> None:
    settings_ = {"use": name, "max_tokens": 32}
    rag.build(folder, tmp_path / "ix", embedder="static", chunker=settings_)
    index = rag.Index.open(tmp_path / "ix")
    assert name in index.info()["chunker"] and "max_tokens=32" in index.info()["chunker"]
    assert index.search("backups every night", k=1)[0].source == "old/backup.txt"
    with pytest.raises(rag.RagError, match="use those settings, or build again with --rebuild"):
        rag.build(folder, tmp_path / "ix", chunker={"use": name, "max_tokens": 64})


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in ({"max_tokens": 7}, {"overlap_percentage": 91}, {"overlap_percentage": -1}):
        with pytest.raises(ConfigError, match="give at least 8"):
            FixedChunker(**wrong)
