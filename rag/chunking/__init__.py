"""Chunkers: cut documents into slices, by meaning or in two simpler ways for comparison."""

from rag.chunking.base import Chunker, CountTokens, estimate_tokens
from rag.chunking.cuts import Cuts, cut
from rag.chunking.fixed import FixedChunker, RecursiveChunker
from rag.chunking.offsets import locate, pages
from rag.chunking.semantic import SemanticChunker

__all__ = [
    "Chunker", "CountTokens", "Cuts", "FixedChunker", "RecursiveChunker", "SemanticChunker", "cut",
    "estimate_tokens", "locate", "pages",
]  # fmt: skip
