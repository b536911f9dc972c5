"""Chunks are slices, below the cap, inside headings, on their pages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_text_splitters import RecursiveCharacterTextSplitter

from rag.chunking import SemanticChunker, estimate_tokens, locate, pages
from rag.core.errors import ConfigError, LoadError
from rag.core.passages import STRUCTURE
from rag.embedding.local import LocalEmbeddings
from rag.embedding.static import StaticEmbeddings
from rag.loading.formats.plain import outline

LOCAL = LocalEmbeddings()
WORDS = [
    "leave",
    "Incident",
    "the",
    "28",
    "days.",
    "SEV-1",
    "naïve",
    "東京都",
    "x" * 90,
    "a,b;c",
    "?!",
    "| cell |",
]
BREAKS = [" ", "\n", "\n\n", "\n# ", "\n## ", ". ", "\r\n", "\n- ", "\n```\n"]
DOCUMENTS = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(BREAKS)), max_size=120).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)


def document(text: str, page_starts: tuple[int, ...] = ()) -> Document:
    structure = {"body": 0, "pages": list(page_starts), "headings": outline(text)[0]}
    return Document(page_content=text, metadata={"source": "a.md", STRUCTURE: structure})


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, st.integers(8, 60), st.booleans())
def test_chunks_are_ordered_slices_below_the_cap_that_hold_all_text(
    text: str, cap: int, semantic: bool
) -> None:
    chunker = SemanticChunker(
        StaticEmbeddings() if semantic else None, LOCAL.count_tokens, max_tokens=cap, min_tokens=cap // 4
    )
    chunks = chunker.split_documents([document(text)])
    for chunk in chunks:
        assert text[chunk.metadata["start"] : chunk.metadata["end"]] == chunk.page_content
    counts = LOCAL.count_tokens([chunk.page_content for chunk in chunks])
    assert all(count <= cap for count in counts)
    ends = [chunk.metadata["end"] for chunk in chunks]
    starts = [chunk.metadata["start"] for chunk in chunks]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert "".join("".join(c.page_content for c in chunks).split()) == "".join(text.split())


def test_no_chunk_crosses_a_heading_and_each_knows_its_path() -> None:
    text = "Intro.\n\n# A\n\nOne.\n\n## B\n\nTwo.\n\n# C\n\nThree.\n"
    chunks = SemanticChunker().split_documents([document(text)])
    assert [(c.page_content, c.metadata["section"]) for c in chunks] == [
        ("Intro.", []), ("# A\n\nOne.", ["A"]), ("## B\n\nTwo.", ["A", "B"]), ("# C\n\nThree.", ["C"]),
    ]  # fmt: skip


def test_a_heading_with_nothing_below_it_opens_the_deeper_section() -> None:
    chunks = SemanticChunker().split_documents([document("# A\n\n## B\n\nText.\n")])
    assert [(c.page_content, c.metadata["section"]) for c in chunks] == [("# A\n\n## B\n\nText.", ["A", "B"])]


def test_the_cut_falls_where_the_meaning_shifts() -> None:
    freezer = (
        "The freezer holds vaccines at minus seventy degrees. The freezer alarm rings when vaccines warm. "
    )
    money = "Travel expenses are paid with the salary. Send receipts for your travel expenses to finance."
    chunker = SemanticChunker(
        StaticEmbeddings(), LOCAL.count_tokens, max_tokens=36, min_tokens=4, buffer_size=1
    )
    chunks = chunker.split_documents([document(freezer + money)])
    assert [chunk.page_content for chunk in chunks] == [freezer.strip(), money]


def test_a_code_block_that_fits_stays_whole() -> None:
    code = "```\nkubectl get pods\n\nkubectl logs beacon\n```"
    text = f"Run this before anything else happens.\n\n{code}\n\n" + "Then wait for the alarm. " * 12
    chunks = SemanticChunker(max_tokens=60, min_tokens=5).split_documents([document(text)])
    assert any(code in chunk.page_content for chunk in chunks)


def test_a_word_without_end_is_cut_below_the_cap() -> None:
    chunks = SemanticChunker(None, LOCAL.count_tokens, max_tokens=16, min_tokens=0).split_documents(
        [document("x" * 5000)]
    )
    assert "".join(chunk.page_content for chunk in chunks) == "x" * 5000
    assert max(LOCAL.count_tokens([chunk.page_content for chunk in chunks])) <= 16


def test_pages_are_one_based_and_know_where_a_page_begins_inside() -> None:
    starts = [0, 100, 200]
    assert pages(starts, 0, 100) == {"page_start": 1, "page_end": 1}
    assert pages(starts, 90, 101) == {"page_start": 1, "page_end": 2, "page_breaks": [100]}
    assert pages(starts, 100, 110) == {"page_start": 2, "page_end": 2}
    assert pages(starts, 50, 250) == {"page_start": 1, "page_end": 3, "page_breaks": [100, 200]}
    assert pages([], 0, 5) == {}


def test_the_same_text_gives_the_same_chunks() -> None:
    text = "Alarms ring. Pay is monthly. " * 60
    chunker = SemanticChunker(StaticEmbeddings(), LOCAL.count_tokens)
    assert chunker.split_documents([document(text)]) == chunker.split_documents([document(text)])


def test_langchains_splitter_is_located_in_the_text() -> None:
    text = "# A\n\nOne two three four. Five six.\n\n# B\n\nSeven eight nine ten eleven.\n"
    whole = document(text, (0, 30))
    splitter = RecursiveCharacterTextSplitter(chunk_size=20, chunk_overlap=5)
    found = locate(whole, splitter.split_documents([whole]))
    assert len(found) > 3
    for chunk in found:
        assert text[chunk.metadata["start"] : chunk.metadata["end"]] == chunk.page_content
    assert found[-1].metadata["section"] == ["B"]
    assert found[-1].metadata["page_start"] == 2


def test_a_chunk_that_does_not_stand_in_the_text_is_refused() -> None:
    with pytest.raises(LoadError, match="are not in its text"):
        locate(document("One  two."), [Document(page_content="One two.")])


def test_neighbours_know_the_white_space_between_them() -> None:
    text = "# A\n\nOne.\n\n# B\n\nTwo.\n"
    whole = document(text)
    one, two = locate(whole, SemanticChunker().split_documents([whole]))
    assert one.page_content + one.metadata["gap"] + two.page_content == text.strip()
    assert "gap" not in two.metadata


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 4}, {"min_tokens": 99}, {"buffer_size": 0}, {"breakpoint_percentile": 101}]
)
def test_senseless_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        SemanticChunker(**wrong)


def test_the_estimate_is_never_below_the_models_count(handbook_texts: dict[str, str]) -> None:
    paragraphs = [p for text in handbook_texts.values() for p in text.split("\n\n") if p.strip()]
    counted = LOCAL.count_tokens(paragraphs)
    assert sum(estimate_tokens(paragraphs)) > sum(counted)
