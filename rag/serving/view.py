"""What a caller sees of an index: how many documents and chunks are behind its filter."""

from __future__ import annotations

from dataclasses import dataclass

from rag.index.filters.where import Where
from rag.index.index import Index


@dataclass(frozen=True, slots=True)
class View:
    """What is seen, and all that there is."""

    documents: int
    chunks: int
    of_documents: int
    of_chunks: int

    def __str__(self) -> str:
        return (
            f"{self.documents:,} of {self.of_documents:,} documents, "
            f"{self.chunks:,} of {self.of_chunks:,} chunks"
        )


def view(index: Index, where: Where | None) -> View:
    """Count what matches a filter.

    Raises
    ------
    WhereError
        The filter does not fit the index.

    Examples
    --------
    >>> print(view(index, key.caller.where))                                        # doctest: +SKIP
    15 of 42 documents, 310 of 1,204 chunks
    """
    return View(index.count_documents(where), index.count(where), index.count_documents(), len(index))
