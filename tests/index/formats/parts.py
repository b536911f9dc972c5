"""An embedder and a chunker that are not `rag`'s own, for indexes of any format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings


class Words(Embeddings):
    """A unit vector from the words of a text."""

    dimensions = 8
    fingerprint = "words/1"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        total = np.ones(self.dimensions)
        for word in re.findall(r"\w+", text.lower()):
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
            total += np.random.default_rng(seed).normal(size=self.dimensions)
        return (total / np.linalg.norm(total)).tolist()


class Paragraphs:
    """A chunk per paragraph."""

    fingerprint = "paragraphs/1"

    def transform_documents(self, documents: Sequence[Document], **kwargs: Any) -> list[Document]:
        return [
            Document(found.group(), metadata={**document.metadata, "start": found.start()})
            for document in documents
            for found in re.finditer(r"\S[^\n]*(?:\n[^\n]+)*", document.page_content)
        ]
