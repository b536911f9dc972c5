"""Read files and cut them into chunks: the first half of a build, and all of a plan."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag.building.chunks import CutFile
from rag.building.clock import Clock
from rag.building.cutters import Cutters
from rag.building.diff import Change
from rag.chunking.base import Chunker
from rag.core.errors import LoadError
from rag.core.files import SourceFile
from rag.core.passages import STRUCTURE
from rag.loading.base import BuildLoader


def cut_files(
    loader: BuildLoader, chunker: Chunker, clock: Clock, change: Change, embedder: Embeddings | None = None
) -> Generator[CutFile]:
    """Yield each file of ``change.todo`` with its document and chunks; record it in ``change``.

    Files are read and cut ahead of the one that is yielded (`rag.building.cutters.AHEAD`); their texts are
    embedded on the way where that is another process's work and `embedder` is given.
    """

    def read() -> Iterator[tuple[SourceFile, Document | LoadError]]:
        reading = loader.read(change.todo)
        while True:
            with clock.timing("load"):
                item = next(reading, None)
            if item is None:
                return
            yield item

    with Cutters(chunker, embedder, sum(file.bytes for file in change.todo), clock) as cutters:
        for file, result, (chunks, vectors) in cutters.cut(read()):
            document = None if isinstance(result, LoadError) else result
            error = result if isinstance(result, LoadError) else None
            if document is not None:
                notes = document.metadata[STRUCTURE].get("notes", ())
                change.notes += [f"{file.source}: {note}" for note in notes]
                error = chunks if isinstance(chunks, LoadError) else None
            own = [] if isinstance(chunks, LoadError) else chunks
            change.record(file, len(own), error)
            yield CutFile(file, document, own, vectors)
