"""Every chunker keeps the contract, and the suite sees what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_text_splitters import RecursiveCharacterTextSplitter

from rag.chunking import FixedChunker, RecursiveChunker, SemanticChunker, estimate_tokens
from rag.embedding.static import StaticEmbeddings
from rag.testing import ChunkerSuite
from tests.testing.suites import failures

STATIC = StaticEmbeddings()
OURS: dict[str, Any] = {
    "semantic": lambda: SemanticChunker(STATIC, STATIC.count_tokens, max_tokens=24, min_tokens=5),
    "semantic, overlapping": lambda: SemanticChunker(STATIC, STATIC.count_tokens, max_tokens=24, min_tokens=5, overlap_percentage=50),
    "recursive": lambda: RecursiveChunker(STATIC.count_tokens, max_tokens=24),
    "fixed": lambda: FixedChunker(STATIC.count_tokens, max_tokens=24),
    "estimated": lambda: SemanticChunker(max_tokens=24, min_tokens=5),
}  # fmt: skip


@pytest.mark.parametrize("name", OURS)
class TestOurs(ChunkerSuite):
    @pytest.fixture
    def chunker(self, name: str) -> Any:
        return OURS[name]()

    @pytest.fixture
    def size(self, name: str) -> tuple[Callable[[str], int], int]:
        count = estimate_tokens if name == "estimated" else STATIC.count_tokens
        return lambda text: count([text])[0], 24


class TestLangChains(ChunkerSuite):
    @pytest.fixture
    def chunker(self) -> Any:
        return RecursiveCharacterTextSplitter(chunk_size=120, chunk_overlap=20, add_start_index=True)

    @pytest.fixture
    def size(self) -> tuple[Callable[[str], int], int]:
        return len, 120


class Broken:
    """Changes the chunks of a good one."""

    def transform_documents(self, documents: Sequence[Document], **_: Any) -> Sequence[Document]:
        made = FixedChunker(max_tokens=24, overlap_percentage=0).transform_documents(documents)
        return [each for number, chunk in enumerate(made) for each in self.changed(number, chunk)]

    def changed(self, number: int, chunk: Document) -> list[Document]:
        return [chunk]


class Dropping(Broken):
    def changed(self, number: int, chunk: Document) -> list[Document]:
        return [] if number == 1 else [chunk]


class Squeezing(Broken):
    def changed(self, number: int, chunk: Document) -> list[Document]:
        return [Document(chunk.page_content.replace("e", "3"), metadata=chunk.metadata)]


class Lying(Broken):
    def changed(self, number: int, chunk: Document) -> list[Document]:
        return [
            Document(chunk.page_content, metadata={**chunk.metadata, "start": chunk.metadata["start"] + 2})
        ]


class Forgetful(Broken):
    def changed(self, number: int, chunk: Document) -> list[Document]:
        return [
            Document(
                chunk.page_content,
                metadata={name: chunk.metadata[name] for name in ("source", "start", "end")},
            )
        ]


class Large(Broken):
    def transform_documents(self, documents: Sequence[Document], **_: Any) -> Sequence[Document]:
        return FixedChunker(max_tokens=60).transform_documents(documents)


class Backwards(Broken):
    def transform_documents(self, documents: Sequence[Document], **_: Any) -> Sequence[Document]:
        return super().transform_documents(documents)[::-1]


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Dropping, "nothing_is_lost"),
        (Squeezing, "offsets_are_slices_in_order"),
        (Lying, "offsets_are_slices_in_order"),
        (Forgetful, "metadata_is_kept_and_the_document_is_as_it_was"),
        (Large, "no_chunk_is_larger_than_the_greatest_size"),
        (Backwards, "offsets_are_slices_in_order"),
    ],
)
def test_a_broken_chunker_is_caught(broken: type[Broken], test: str) -> None:
    size = (lambda text: estimate_tokens([text])[0], 24)
    assert failures(ChunkerSuite, chunker=Broken(), size=size) == set()
    assert test in failures(ChunkerSuite, chunker=broken(), size=size)
