"""One document cut to look at: what any chunker does, with offsets into the text."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_text_splitters import RecursiveCharacterTextSplitter

from rag.chunking import cut
from rag.core.errors import LoadError
from rag.core.passages import STRUCTURE

TEXT = "# Leave\n\nTake 28 days.\n\n# Pay\n\nPaid on the 25th."
DOCUMENT = Document(
    TEXT, metadata={"source": "a.md", STRUCTURE: {"body": 0, "pages": [], "headings": [(0, 1, "Leave"), (24, 1, "Pay")]}}
)  # fmt: skip


def test_the_default_cuts_at_headings() -> None:
    cuts = cut(DOCUMENT)
    assert (cuts.source, cuts.chunker, cuts.text) == ("a.md", "SemanticChunker", TEXT)
    assert cuts.spans == [(0, 22), (24, 48)]
    assert cuts.sections == [["Leave"], ["Pay"]]
    assert [TEXT[a:b] for a, b in cuts.spans] == [chunk.page_content for chunk in cuts.chunks]


def test_a_langchain_splitter_is_located_with_its_overlap() -> None:
    cuts = cut(DOCUMENT, RecursiveCharacterTextSplitter(separators=[" "], chunk_size=24, chunk_overlap=8))
    assert [TEXT[a:b] for a, b in cuts.spans] == [chunk.page_content for chunk in cuts.chunks]
    assert any(b > c for (_, b), (c, _) in zip(cuts.spans, cuts.spans[1:], strict=False))
    assert cuts.sections[0] == ["Leave"] and cuts.sections[-1] == ["Pay"]


def test_a_chunker_that_rewrites_the_text_is_refused() -> None:
    class Loud:
        def transform_documents(self, documents, **_):
            return [Document(each.page_content.upper()) for each in documents]

    with pytest.raises(LoadError, match=r"^a\.md was cut into chunks that are not in its text"):
        cut(DOCUMENT, Loud())


def test_an_empty_document_has_no_chunks() -> None:
    assert cut(Document("")).chunks == ()
