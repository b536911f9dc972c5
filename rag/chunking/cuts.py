"""One document cut by any chunker, to look at: `cut` returns what shows its chunks on its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from langchain_core.documents import Document

from rag.chunking.base import Chunker
from rag.chunking.offsets import locate
from rag.chunking.semantic import SemanticChunker
from rag.core.displayable import Displayable
from rag.core.errors import LoadError
from rag.core.text import Span


@dataclass(frozen=True, slots=True, repr=False)
class Cuts(Displayable):
    """A document's chunks, which show themselves on its text.

    In a notebook every other chunk has another colour; text in no chunk is small and grey, text in two is
    underlined.

    Attributes
    ----------
    source : str
        The document's name; empty if it has none.
    chunker : str
        The class of the chunker.
    text : str
        The document's text.
    chunks : tuple of Document
        In order, each with ``start``, ``end`` (offsets into `text`) and ``section`` in its metadata.
    """

    source: str
    chunker: str
    text: str = field(repr=False)
    chunks: tuple[Document, ...] = field(repr=False)

    @property
    def spans(self) -> list[Span]:
        """Start and end of each chunk in `text`, in characters."""
        return [(chunk.metadata["start"], chunk.metadata["end"]) for chunk in self.chunks]

    @property
    def sections(self) -> list[Sequence[str]]:
        """The heading path of each chunk, outermost first."""
        return [chunk.metadata.get("section", ()) for chunk in self.chunks]


def cut(document: Document, chunker: Chunker | None = None) -> Cuts:
    r"""Cut one document, and return what shows its chunks.

    Parameters
    ----------
    document : Document
        With its whole text, as a loader returns it.
    chunker : Chunker, optional
        One of `rag`'s, any LangChain TextSplitter or document transformer; by default
        `SemanticChunker` without an embedder.

    Raises
    ------
    LoadError
        The chunker changed the text, so that its chunks are not slices of it.

    Examples
    --------
    >>> from rag.chunking import RecursiveChunker, cut
    >>> text = "One two three.\n\nFour five six seven.\n\nEight."
    >>> print(cut(Document(text), RecursiveChunker(max_tokens=9, overlap_percentage=0)))
    RecursiveChunker: 2 chunks of 14 to 28 characters, 42 of 44 characters
      1    0-14  One two three.
      2   16-44  Four five six seven. Eight.
    """
    chosen = chunker if chunker is not None else SemanticChunker()
    source = str(document.metadata.get("source", ""))
    try:
        chunks = locate(document, list(chosen.transform_documents([document])))
    except LoadError as error:
        raise LoadError(f"{source or 'the document'} {error.reason}", error.advice) from error
    return Cuts(
        source=source,
        chunker=type(chosen).__name__,
        text=document.page_content,
        chunks=tuple(chunks),
    )
