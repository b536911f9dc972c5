"""LangChain's documents as rows of an index and back, and the arguments of its searches."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag.core.errors import UsageError
from rag.core.passages import RESERVED, Hit
from rag.core.vectors import unit_rows
from rag.index.filters.parse import WhereLike
from rag.index.storage.exact_metadata import encode, filterable
from rag.index.storage.layout import Vectors
from rag.index.storage.segment_writer import Chunk
from rag.index.storage.writer import IndexWriter

#: A filter in any notation, or a function of the metadata.
Filter = WhereLike | Callable[[dict[str, Any]], bool]
Item = tuple[str, Mapping[str, Any], str | None]  # text, metadata, id
Batch = tuple[list[Item], Vectors]
_BATCH = 1024


def items(
    texts: Sequence[str],
    metadatas: Sequence[Mapping[str, Any]] | None,
    ids: Sequence[str | None] | None,
) -> list[Item]:
    """Return texts with their metadata and ids; lists of different lengths raise `UsageError`."""
    for name, values in (("metadatas", metadatas), ("ids", ids)):
        if values is not None and len(values) != len(texts):
            raise UsageError(f"there are {len(texts)} texts and {len(values)} {name}: nothing was added")
    names = ids or [None] * len(texts)
    return list(zip(texts, metadatas or [{}] * len(texts), names, strict=True))


def batches(
    embeddings: Iterable[tuple[str, npt.ArrayLike]],
    metadatas: Iterable[Mapping[str, Any]] | None,
    ids: Iterable[str | None] | None,
) -> Iterator[Batch]:
    """Yield texts with vectors in pieces, as unit rows; iterables of different lengths raise `UsageError`."""
    rows = zip(embeddings, *(column for column in (metadatas, ids) if column is not None), strict=True)
    try:
        while part := list(itertools.islice(rows, _BATCH)):
            vectors = np.stack([np.asarray(row[0][1], np.float32) for row in part])
            of_part: list[Item] = [
                (row[0][0], {} if metadatas is None else row[1], None if ids is None else row[-1])
                for row in part
            ]
            yield of_part, unit_rows(vectors, len(part), vectors.shape[1])
    except ValueError as error:  # zip's, of iterables of different lengths
        raise UsageError(f"texts, metadatas and ids do not fit ({error}): nothing was added") from None


def write(writer: IndexWriter, pieces: Iterable[Batch]) -> tuple[list[str], set[str]]:
    """Add texts to a new version; return all their ids, and those that replace earlier documents."""
    names: list[str] = []
    replaced: set[str] = set()
    for of_piece, vectors in pieces:
        rows = []
        for text, metadata, name in of_piece:
            if name is not None and name in replaced:
                raise UsageError(f"the id {name!r} occurs twice: nothing was added")
            id_ = str(uuid.uuid4()) if name is None else name
            replaced |= set() if name is None else {name}
            names.append(id_)
            source, typed = columns(metadata)
            number = writer.add_document(id_, source, typed, encode(metadata, id_))
            rows.append((number, chunk(id_, text, metadata)))
        writer.add_chunks(rows, vectors)
    return names, replaced


def columns(metadata: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the source, and the fields for filters; `rag`'s reserved names get a ``_`` at the end."""
    source = metadata.get("source")
    typed = {
        f"{name}_" if name in RESERVED else str(name): value
        for name, value in metadata.items() if filterable(value) and not (name == "source" and source)
    }  # fmt: skip
    return source if isinstance(source, str) else "", typed


def chunk(name: str, text: str, metadata: Mapping[str, Any]) -> Chunk:
    """Return the row of a document, with the offsets and pages of its metadata if it has them."""
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
    """Return the arguments of `FaissStore.search_hits` for those of LangChain's searches."""
    known = {"where", "mode", "min_score", "score_threshold", "fetch_k"}
    if unknown := kwargs.keys() - known:
        raise UsageError(
            f"a search has no argument {sorted(unknown)[0]!r}: it has filter, {', '.join(known)}"
        )
    where = kwargs.get("where")
    if filter is not None and where is not None:
        raise UsageError("filter and where are the same: pass one of them")
    least = kwargs.get("min_score", kwargs.get("score_threshold"))
    return {
        "where": where if filter is None else filter, "min_score": least,
        **({"mode": kwargs["mode"]} if "mode" in kwargs else {}),
    }  # fmt: skip


def scored(hits: Iterable[Hit]) -> list[tuple[Document, float]]:
    """Return documents with their scores."""
    return [(document(hit), hit.score) for hit in hits]


def document(hit: Hit) -> Document:
    """Return a document as it was added; for a chunk of a file, with its offsets and pages."""
    if hit.doc_id == hit.chunk_id:
        return Document(page_content=hit.text, metadata=dict(hit.metadata), id=hit.chunk_id)
    return hit.to_document()


def of_faiss(store: Any) -> tuple[Embeddings, list[str], Iterator[tuple[str, Any, dict[str, Any]]]]:
    """Return the embedder and ids of a langchain-community ``FAISS``, and its texts, vectors and metadata.

    Raises
    ------
    UsageError
        It is no such store, or a vector of it has no document.
    """
    try:
        vectors, ids, search = store.index, store.index_to_docstore_id, store.docstore.search
        embedding = store.embeddings or store.embedding_function
    except AttributeError:
        raise UsageError(f"{type(store).__name__} is not a FAISS store of langchain-community") from None
    if not isinstance(embedding, Embeddings):
        raise UsageError("the store's embedding is a function: load the store with an Embeddings object")

    def rows() -> Iterator[tuple[str, Any, dict[str, Any]]]:
        for number in sorted(ids):
            stored = search(ids[number])
            if not isinstance(stored, Document):
                raise UsageError(f"the store has a vector and no document for the id {ids[number]!r}")
            yield stored.page_content, vectors.reconstruct(int(number)), stored.metadata

    return embedding, [ids[number] for number in sorted(ids)], rows()
