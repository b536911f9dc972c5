"""A file's chunks, as an index holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from langchain_core.documents import Document

from rag.chunking.base import Chunker
from rag.chunking.offsets import locate
from rag.core.files import SourceFile
from rag.index.storage.chunk import Chunk
from rag.index.storage.layout import Vectors


@dataclass(frozen=True, slots=True)
class CutFile:
    """A file that was read: its document and chunks; without a document it is quarantined.

    `vectors` are those of texts of its chunks and of their heading paths that were embedded ahead.
    """

    file: SourceFile
    document: Document | None
    chunks: list[Chunk]
    vectors: Mapping[str, Vectors] = field(default_factory=dict)


def cut(chunker: Chunker, source: str, document: Document) -> list[Chunk]:
    """Cut a document into chunks, as an index holds them.

    Raises
    ------
    LoadError
        A chunk is no slice of the document.
    """
    title = title_of(source, document)
    pieces = locate(document, chunker.transform_documents([document]))
    return [_chunk(source, title, piece) for piece in pieces]


def title_of(source: str, document: Document) -> str:
    """Return what a document's heading paths begin with."""
    return str(document.metadata.get("title") or Path(source).stem)


def _chunk(source: str, title: str, piece: Document) -> Chunk:
    meta, text = piece.metadata, piece.page_content
    identity = f"{source}\0{meta['start']}\0{text}".encode()
    return Chunk(
        hashlib.blake2b(identity, digest_size=8).hexdigest(), meta["start"], meta["end"], text,
        meta.get("gap"), meta.get("page_start"), meta.get("page_end"), meta.get("page_breaks", ()),
        meta.get("section", ()), " > ".join(dict.fromkeys([title, *meta.get("section", ())])),
        meta.get("table_head"), meta.get("table_head_start"),
    )  # fmt: skip
