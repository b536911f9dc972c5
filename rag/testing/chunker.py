"""What the pipeline asks of a chunker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document

from rag.chunking import locate
from rag.core.errors import LoadError
from rag.testing.threads import at_once

TEXTS = (
    "One sentence.",
    "# Head\n\nStaff take 28 days. Leave is requested early.\n\n## Sub\n\nBackups run at two o'clock.\n",
    " ".join(f"Sentence number {n} is here." for n in range(80)),
    "| place | days |\n|---|--:|\n" + "".join(f"| region {n} | {n} |\n" for n in range(30)),
    "word " * 300,
    "x" * 700,
    "日本語の文です。もう一つの文です。\n\n" * 20,
    "Line one\r\nLine two\r\n\r\nLine three é ü 1.5 %\r\n",
    "- item one\n- item two\n\n```\ncode = 1\n```\n\nThe end.",
)
_MARKS = {"source": "a.md", "year": 2026}


class ChunkerSuite:
    """Any `TextSplitter` or `BaseDocumentTransformer`: of `rag`, of LangChain, or yours.

    Give a fixture ``chunker``; and a fixture ``size``, if chunks have a greatest size: a function that
    measures a text, and the most that it may return.

    Examples
    --------
    >>> class TestMine(ChunkerSuite):
    ...     @pytest.fixture
    ...     def chunker(self):
    ...         return RecursiveCharacterTextSplitter(chunk_size=200, add_start_index=True)
    ...     @pytest.fixture
    ...     def size(self):
    ...         return len, 200
    """

    @pytest.fixture
    def chunker(self) -> Any:
        """Return the chunker under test."""
        raise NotImplementedError("give the chunker under test in a fixture named chunker")

    @pytest.fixture
    def size(self) -> tuple[Callable[[str], int], int] | None:
        """Return how a chunk is measured, and its greatest size; None if there is none."""
        return None

    @pytest.mark.parametrize("text", TEXTS)
    def test_offsets_are_slices_in_order(self, chunker: Any, text: str) -> None:
        """``text[start:end]`` is the chunk, none begins before the one before it, and none is blank."""
        for chunk in chunker.transform_documents([Document(text, metadata=dict(_MARKS))]):
            claimed = chunk.metadata.get("start", chunk.metadata.get("start_index"))
            if claimed is not None:
                assert text[claimed : claimed + len(chunk.page_content)] == chunk.page_content
        chunks = _chunks(chunker, text)
        assert chunks
        for chunk in chunks:
            start, end = chunk.metadata["start"], chunk.metadata["end"]
            assert text[start:end] == chunk.page_content
            assert chunk.page_content.strip()
        spans = [(chunk.metadata["start"], chunk.metadata["end"]) for chunk in chunks]
        assert spans == sorted(set(spans))
        assert [end for _, end in spans] == sorted(end for _, end in spans)

    @pytest.mark.parametrize("text", TEXTS)
    def test_nothing_is_lost(self, chunker: Any, text: str) -> None:
        """Every character that is not white space stands in a chunk."""
        held = set[int]()
        for chunk in _chunks(chunker, text):
            held |= set(range(chunk.metadata["start"], chunk.metadata["end"]))
        lost = [at for at, character in enumerate(text) if not character.isspace() and at not in held]
        assert not lost, f"lost from {lost[0]}: {text[lost[0] : lost[0] + 40]!r}"

    @pytest.mark.parametrize("text", TEXTS)
    def test_no_chunk_is_larger_than_the_greatest_size(
        self, chunker: Any, size: tuple[Callable[[str], int], int] | None, text: str
    ) -> None:
        """A chunk holds at most as much as the chunker was made for; one character may be more."""
        if size is None:
            pytest.skip("this chunker has no greatest size")
        measure, most = size
        for chunk in _chunks(chunker, text):
            assert measure(chunk.page_content) <= most or len(chunk.page_content) == 1

    def test_metadata_is_kept_and_the_document_is_as_it_was(self, chunker: Any) -> None:
        """Chunks have the document's metadata; the document itself is not changed."""
        document = Document(TEXTS[2], metadata=dict(_MARKS))
        chunks = chunker.transform_documents([document])
        assert document == Document(TEXTS[2], metadata=_MARKS)
        for chunk in chunks:
            assert {name: chunk.metadata.get(name) for name in _MARKS} == _MARKS

    def test_documents_keep_their_order(self, chunker: Any) -> None:
        """Several documents give the chunks of each, one document after the other."""
        documents = [Document(text, metadata={"source": f"{n}"}) for n, text in enumerate(TEXTS)]
        together = [(c.metadata["source"], c.page_content) for c in chunker.transform_documents(documents)]
        alone = [
            (chunk.metadata["source"], chunk.page_content)
            for document in documents for chunk in chunker.transform_documents([document])
        ]  # fmt: skip
        assert together == alone

    def test_many_threads_give_the_same_chunks(self, chunker: Any) -> None:
        """16 threads at once give what one gives."""
        expected = [_chunks(chunker, text) for text in TEXTS]
        for number, chunks in enumerate(at_once(lambda n: _chunks(chunker, TEXTS[n % len(TEXTS)]))):
            assert chunks == expected[number % len(TEXTS)]


def _chunks(chunker: Any, text: str) -> list[Document]:
    """Return a text's chunks with their offsets, as a build places them."""
    document = Document(text, metadata=dict(_MARKS))
    made = chunker.transform_documents([document])
    try:
        return locate(document, made)
    except LoadError as error:
        pytest.fail(str(error))
