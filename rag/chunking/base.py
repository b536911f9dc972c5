"""The interface of a chunker, and an estimate of tokens for embedders that cannot count them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from langchain_core.documents import BaseDocumentTransformer, Document

from rag.core.embedders import CountTokens as CountTokens


def estimate_tokens(texts: Sequence[str]) -> list[int]:
    """Estimate tokens without a tokenizer: one per 4 letters of a word begun, per digit and per sign.

    High on purpose: on English prose about 1.3 times WordPiece's count.
    """
    return [len(_PIECE.findall(text)) for text in texts]


_PIECE = re.compile(r"[^\W\d_]{1,4}|\d|[^\w\s]|_")


class SlicingChunker(BaseDocumentTransformer, ABC):
    """Base of `rag`'s chunkers: LangChain's two methods over one that yields a document's slices."""

    def transform_documents(self, documents: Sequence[Document], **kwargs: Any) -> Sequence[Document]:
        """Return the documents' chunks, in order."""
        return self.split_documents(documents)

    def split_documents(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents' chunks, in order."""
        return [chunk for document in documents for chunk in self._split(document)]

    @abstractmethod
    def _split(self, document: Document) -> Iterator[Document]:
        """Yield a document's chunks."""


class Chunker(Protocol):
    """What a build needs from a chunker; LangChain's TextSplitters satisfy it."""

    def transform_documents(self, documents: Sequence[Document], **kwargs: Any) -> Sequence[Document]:
        """Return the documents' chunks."""
        ...
