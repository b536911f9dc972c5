"""What a build asks of a loader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from rag.core.errors import LoadError
from rag.core.files import SourceFile


class BuildLoader(BaseLoader, ABC):
    """A loader that lists before it reads, so that a build reads only what has changed.

    Attributes
    ----------
    version : int
        Changes when the same bytes yield another text than before.
    name : str
        What a person calls the place that the files are read from.
    notes : list of str
        What the user should know of the last listing.
    quarantined : list of (str, LoadError)
        What the last `load` could not read.
    """

    version = 3
    name: str
    notes: list[str]
    quarantined: list[tuple[str, LoadError]]

    @abstractmethod
    def files(self) -> list[SourceFile]:
        """List the files, in order of their sources."""

    @abstractmethod
    def hashed(self, files: Iterable[SourceFile]) -> Iterator[tuple[SourceFile, LoadError | None]]:
        """Yield the files with the hashes of their content and metadata, in the order given."""

    @abstractmethod
    def read(self, files: Iterable[SourceFile]) -> Iterator[tuple[SourceFile, Document | LoadError]]:
        """Yield the files' Documents, in the order given."""

    @abstractmethod
    def keep_in(self, folder: Path) -> None:
        """Keep what has to be fetched in a folder, so that a killed build goes on where it was."""

    @abstractmethod
    def close(self, *, done: bool) -> None:
        """End the use of the place the files come from; `done`: what was fetched can go."""

    def lazy_load(self) -> Iterator[Document]:
        """Yield a Document per readable file; the others end up in `quarantined`."""
        self.quarantined = []
        try:
            for file, result in self.read(self.files()):
                if isinstance(result, LoadError):
                    self.quarantined.append((file.source, result))
                else:
                    yield result
        finally:
            self.close(done=True)
