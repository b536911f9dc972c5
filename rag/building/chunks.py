"""Read files and cut them into chunks: the first half of a build, and all of a plan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from langchain_core.documents import Document

from rag.building.clock import Clock
from rag.building.diff import Change
from rag.chunking import Chunker, locate
from rag.core.errors import LoadError
from rag.core.files import SourceFile
from rag.core.passages import STRUCTURE
from rag.index.storage.segment_writer import Chunk
from rag.loading.base import BuildLoader


@dataclass(frozen=True, slots=True)
class CutFile:
    """A file that was read: its document and chunks; without a document it is quarantined."""

    file: SourceFile
    document: Document | None
    chunks: list[Chunk]


def cut_files(loader: BuildLoader, chunker: Chunker, clock: Clock, change: Change) -> Iterator[CutFile]:
    """Yield each file of ``change.todo`` with its document and chunks; record it in ``change``."""
    reading = loader.read(change.todo)
    while True:
        with clock.timing("load"):
            item = next(reading, None)
        if item is None:
            return
        file, result = item
        chunks: list[Chunk] = []
        document = None if isinstance(result, LoadError) else result
        error = result if isinstance(result, LoadError) else None
        if document is not None:
            notes = document.metadata[STRUCTURE].get("notes", ())
            change.notes += [f"{file.source}: {note}" for note in notes]
            try:
                with clock.timing("chunk"):
                    chunks = cut(chunker, file.source, document)
            except LoadError as refused:
                error = refused
        change.record(file, len(chunks), error)
        yield CutFile(file, document, chunks)


def cut(chunker: Chunker, source: str, document: Document) -> list[Chunk]:
    """Cut a document into chunks, as an index holds them.

    Raises
    ------
    LoadError
        A chunk is no slice of the document.
    """
    title = str(document.metadata.get("title") or Path(source).stem)
    pieces = locate(document, chunker.transform_documents([document]))
    return [_chunk(source, title, piece) for piece in pieces]


def _chunk(source: str, title: str, piece: Document) -> Chunk:
    meta, text = piece.metadata, piece.page_content
    identity = f"{source}\0{meta['start']}\0{text}".encode()
    return Chunk(
        hashlib.blake2b(identity, digest_size=8).hexdigest(), meta["start"], meta["end"], text,
        meta.get("gap"), meta.get("page_start"), meta.get("page_end"), meta.get("page_breaks", ()),
        meta.get("section", ()), " > ".join(dict.fromkeys([title, *meta.get("section", ())])),
        meta.get("table_head"), meta.get("table_head_start"),
    )  # fmt: skip
