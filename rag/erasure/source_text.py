"""The text of a source whose file is still there, or of any file that a build can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rag.core.errors import LoadError, RagError, SourceError
from rag.erasure.reach import source_file
from rag.loading.loader import Loader


def read(path: Path) -> list[str]:
    """Return the texts of a file.

    Raises
    ------
    SourceError
        It cannot be read, or holds no text.
    """
    try:
        documents = Loader(path).load()
    except LoadError as error:
        raise SourceError(f"{path}: {error}") from None
    found = [document.page_content for document in documents if document.page_content.strip()]
    if not found:
        raise SourceError(f"{path} holds no text that can be read: name another file")
    return found


def still_there(root: str, names: Iterable[str]) -> Iterator[str]:
    """Yield the texts of sources whose files are there and can be read."""
    for name in names:
        path = source_file(root, name)
        if path is not None:
            try:
                yield from read(path)
            except RagError:
                continue  # it has no text to look for
