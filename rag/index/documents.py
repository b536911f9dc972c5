"""LangChain's documents to rows and back, and the arguments of its searches to those of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag.core.errors import UsageError
from rag.core.passages import RESERVED, Hit
from rag.index.filters.parse import WhereLike
from rag.index.storage.exact_metadata import filterable
from rag.index.storage.segment_writer import Chunk

#: A filter in any notation, or a function of the metadata.
Filter = WhereLike | Callable[[dict[str, Any]], bool]
Item = tuple[str, Mapping[str, Any], str | None]  # text, metadata, id


def items(
    texts: Sequence[str],
    metadatas: Sequence[Mapping[str, Any]] | None,
    ids: Sequence[str | None] | None,
) -> list[Item]:
    """Put texts, metadata and ids together, or refuse lists that do not fit each other."""
    for name, given in (("metadatas", metadatas), ("ids", ids)):
        if given is not None and len(given) != len(texts):
            raise UsageError(f"there are {len(texts)} texts and {len(given)} {name}: nothing was added")
    names = ids or [None] * len(texts)
    return list(zip(texts, metadatas or [{}] * len(texts), names, strict=True))


def columns(metadata: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the source, and what filters can use; `rag`'s own names get a ``_`` behind them."""
    source = metadata.get("source")
    typed = {
        f"{name}_" if name in RESERVED else str(name): value
        for name, value in metadata.items() if filterable(value) and not (name == "source" and source)
    }  # fmt: skip
    return source if isinstance(source, str) else "", typed


def chunk(name: str, text: str, metadata: Mapping[str, Any]) -> Chunk:
    """Return the row of a document; offsets and pages are taken from its metadata, if there."""
    start = _whole(metadata.get("start", metadata.get("start_index")), 0) or 0
    first = _whole(metadata.get("page_start"), 1)
    last = _whole(metadata.get("page_end"), first or 1)
    section = metadata.get("section")
    plain = isinstance(section, list) and all(isinstance(part, str) for part in section)
    return Chunk(
        name, start, start + len(text), text, page_start=first, page_end=last if first else None,
        section=tuple(section) if plain and section else (),
    )  # fmt: skip


def _whole(value: Any, least: int) -> int | None:
    return value if type(value) is int and least <= value < 1 << 31 else None


def arguments(filter: Filter | None, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `FaissStore.search_hits` from those of LangChain's searches."""
    known = {"where", "mode", "min_score", "score_threshold", "fetch_k"}
    if unknown := kwargs.keys() - known:
        raise UsageError(
            f"a search has no argument {sorted(unknown)[0]!r}: it has filter, {', '.join(known)}"
        )
    where = kwargs.get("where")
    if filter is not None and where is not None:
        raise UsageError("filter and where are the same: give one of them")
    least = kwargs.get("min_score", kwargs.get("score_threshold"))
    return {
        "where": where if filter is None else filter, "min_score": least,
        **({"mode": kwargs["mode"]} if "mode" in kwargs else {}),
    }  # fmt: skip


def scored(hits: Iterable[Hit]) -> list[tuple[Document, float]]:
    """Return documents with their scores."""
    return [(document(hit), hit.score) for hit in hits]


def document(hit: Hit) -> Document:
    """Return a document as it was added; the chunk of a file with its offsets and pages."""
    if hit.doc_id == hit.chunk_id:
        return Document(page_content=hit.text, metadata=dict(hit.metadata), id=hit.chunk_id)
    return hit.to_document()


def of_faiss(store: Any) -> tuple[Embeddings, list[str], Iterator[tuple[str, Any, dict[str, Any]]]]:
    """Return a langchain-community ``FAISS``'s embedder, ids, and its texts, vectors and metadata.

    Raises
    ------
    UsageError
        It is none, or its halves (vectors and documents) have fallen out of step.
    """
    try:
        vectors, places, find = store.index, store.index_to_docstore_id, store.docstore.search
        embedding = store.embeddings or store.embedding_function
    except AttributeError:
        raise UsageError(f"{type(store).__name__} is no FAISS store of langchain-community") from None
    if not isinstance(embedding, Embeddings):
        raise UsageError("the store's embedding is a function: give it an Embeddings object first")

    def rows() -> Iterator[tuple[str, Any, dict[str, Any]]]:
        for place in sorted(places):
            found = find(places[place])
            if not isinstance(found, Document):
                raise UsageError(f"the store has no document {places[place]!r}: its two halves differ")
            yield found.page_content, vectors.reconstruct(int(place)), found.metadata

    return embedding, [places[place] for place in sorted(places)], rows()
