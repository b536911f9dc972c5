"""LangChain's documents as rows of an index and back, and the arguments of its searches."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag.core.arguments import strings, text, whole
from rag.core.errors import UsageError
from rag.core.passages import RESERVED, Hit
from rag.core.values import shown
from rag.core.vectors import finite, unit_rows
from rag.index.filters.parse import WhereLike
from rag.index.filters.where import Where
from rag.index.storage.chunk import Chunk
from rag.index.storage.exact_metadata import checked, encode, filterable
from rag.index.storage.layout import Vectors
from rag.index.storage.writer import IndexWriter

#: A filter in any notation, or a function of the metadata.
Filter = WhereLike | Callable[[dict[str, Any]], bool]
Item = tuple[str, dict[str, Any], str | None]  # text, metadata, id
Row = tuple[Any, Any, Any, Any]  # text, vector, metadata, id, none of them checked
Batch = tuple[list[Item], Vectors]
_BATCH = 1024


def items(texts: Iterable[str], metadatas: Any, ids: Any) -> list[Item]:
    """Return texts with their metadata and ids, checked.

    Raises
    ------
    UsageError
        The lists differ in length, or a value cannot be stored; the message names it.
    """
    listed = strings("texts", texts)
    columns = []
    for name, values in (("metadatas", metadatas), ("ids", ids)):
        if values is not None and (isinstance(values, str | Mapping) or not isinstance(values, Iterable)):
            raise UsageError(f"{name} is {shown(values)}: pass a list, one for each text")
        columns.append([None] * len(listed) if values is None else list(values))
        if len(columns[-1]) != len(listed):
            raise UsageError(
                f"there are {len(listed)} texts and {len(columns[-1])} {name}: nothing was added"
            )
    rows = zip(listed, *columns, strict=True)
    return [_item(number, text, metadata, name) for number, (text, metadata, name) in enumerate(rows)]


def _item(number: int, content: Any, metadata: Any, name: Any) -> Item:
    """Return one text with its metadata and id, checked."""
    id_ = None if name is None else text(f"ids[{number}]", name)
    whose = f"texts[{number}]" if id_ is None else f"document {id_!r}"
    return text(f"texts[{number}]", content), checked({} if metadata is None else metadata, whose), id_


def rows(
    embeddings: Iterable[tuple[str, npt.ArrayLike]],
    metadatas: Iterable[Mapping[str, Any]] | None,
    ids: Iterable[str | None] | None,
) -> Iterator[Row]:
    """Yield texts with their vectors, metadata and ids.

    Raises
    ------
    UsageError
        The iterables differ in length, or one of the first holds no pairs.
    """
    columns = (column for column in (metadatas, ids) if column is not None)
    try:
        for number, (pair, *rest) in enumerate(zip(embeddings, *columns, strict=True)):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise UsageError(f"text_embeddings[{number}] is {shown(pair)}: pass a text and its vector")
            yield *pair, None if metadatas is None else rest[0], None if ids is None else rest[-1]
    except ValueError as error:  # zip's, of iterables of different lengths
        raise UsageError(f"texts, metadatas and ids do not fit ({error}): nothing was added") from None


def batches(documents: Iterable[Row]) -> Iterator[Batch]:
    """Yield texts with their vectors in pieces, checked, as unit rows.

    Raises
    ------
    UsageError
        A value cannot be stored; the message names it.
    """
    numbered = enumerate(documents)
    while part := list(itertools.islice(numbered, _BATCH)):
        vectors = [finite(f"the vector of text_embeddings[{number}]", row[1]) for number, row in part]
        size = len(vectors[0])
        for (number, _), vector in zip(part, vectors, strict=True):
            if len(vector) != size:
                raise UsageError(
                    f"the vector of text_embeddings[{number}] has {len(vector)} dimensions, the first {size}"
                )
        yield (
            [_item(number, content, metadata, name) for number, (content, _, metadata, name) in part],
            unit_rows(np.stack(vectors), len(part), size),
        )


def write(writer: IndexWriter, pieces: Iterable[Batch]) -> tuple[list[str], set[str]]:
    """Add texts to a new version; return all their ids, and those that replace earlier documents."""
    names: list[str] = []
    replaced: set[str] = set()
    for of_piece, vectors in pieces:
        chunks = []
        for content, metadata, name in of_piece:
            if name is not None and name in replaced:
                raise UsageError(f"the id {name!r} occurs twice: nothing was added")
            id_ = str(uuid.uuid4()) if name is None else name
            replaced |= set() if name is None else {name}
            names.append(id_)
            source, typed = columns(metadata)
            number = writer.add_document(id_, source, typed, encode(metadata))
            chunks.append((number, chunk(id_, content, metadata)))
        writer.add_chunks(chunks, vectors)
    return names, replaced


def columns(metadata: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the source, and the fields for filters; `rag`'s reserved names get a ``_`` at the end."""
    source = metadata.get("source")
    named = isinstance(source, str) and source
    shown_to_filters = {
        name: value for name, value in metadata.items()
        if filterable(value) and not (name == "source" and named)
    }  # fmt: skip
    typed = {f"{name}_": value for name, value in shown_to_filters.items() if name in RESERVED}
    typed |= {name: value for name, value in shown_to_filters.items() if name not in RESERVED}
    return source if isinstance(source, str) else "", typed


def chunk(name: str, content: str, metadata: Mapping[str, Any]) -> Chunk:
    """Return the row of a document, with the offsets and pages of its metadata if it has them."""
    start = _whole(metadata.get("start", metadata.get("start_index")), 0) or 0
    first = _whole(metadata.get("page_start"), 1)
    last = _whole(metadata.get("page_end"), first or 1)
    section = metadata.get("section")
    plain = isinstance(section, list) and all(isinstance(part, str) for part in section)
    return Chunk(
        name, start, start + len(content), content, page_start=first, page_end=last if first else None,
        section=tuple(section) if plain and section else (),
    )  # fmt: skip


def _whole(value: Any, least: int) -> int | None:
    return value if type(value) is int and least <= value < 1 << 31 else None


def arguments(filter: Filter | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `FaissStore.search_hits` for those of LangChain's searches."""
    known = ("filter", "where", "mode", "min_score", "score_threshold", "fetch_k")
    if unknown := kwargs.keys() - {*known}:
        raise UsageError(f"a search has no argument {sorted(unknown)[0]!r}: it has {', '.join(known)}")
    if "fetch_k" in kwargs:
        whole("fetch_k", kwargs["fetch_k"])
    out = {
        "where": _one_of({"filter": filter, "where": kwargs.get("where")}),
        "min_score": _one_of({name: kwargs.get(name) for name in ("min_score", "score_threshold")}),
    }
    return out if kwargs.get("mode") is None else {**out, "mode": kwargs["mode"]}


def _one_of(options: Mapping[str, Any]) -> Any:
    """Return the option that is not None, of several names of one."""
    passed = [value for value in options.values() if value is not None]
    if len(passed) > 1:
        raise UsageError(f"{' and '.join(options)} are the same: pass one of them")
    return passed[0] if passed else None


def scored(hits: Iterable[Hit]) -> list[tuple[Document, float]]:
    """Return documents with their scores."""
    return [(document(hit), hit.score) for hit in hits]


def alone(scored: Iterable[tuple[Document, float]]) -> list[Document]:
    """Return documents without their scores."""
    return [document for document, _ in scored]


def document(hit: Hit) -> Document:
    """Return a document as it was added; for a chunk of a file, with its offsets and pages."""
    if hit.doc_id == hit.chunk_id:
        return Document(page_content=hit.text, metadata=dict(hit.metadata), id=hit.chunk_id)
    return hit.to_document()


class Scanned(Protocol):
    """What has passages to go through (`rag.Index`)."""

    def scan(self, where: WhereLike | None = None) -> Iterator[Hit]:
        """Yield the passages that match."""

    def vectors(self) -> Iterator[tuple[Hit, npt.NDArray[np.float32]]]:
        """Yield all passages with their vectors."""


def matching(index: Scanned, where: Filter) -> list[str]:
    """Return the ids of the documents that match."""
    if callable(where) and not isinstance(where, Where):
        return [hit.chunk_id for hit in index.scan() if where(document(hit).metadata)]
    return [hit.chunk_id for hit in index.scan(where)]


def of_index(index: Scanned) -> Iterator[Row]:
    """Yield the chunks of an index as documents, with their vectors."""
    for hit, vector in index.vectors():
        copied = document(hit)
        if hit.doc_id != hit.chunk_id:  # a chunk of a file, which a search would have scored
            copied.metadata = {
                k: v for k, v in copied.metadata.items() if k not in ("score", "dense", "lexical")
            }
        yield copied.page_content, vector, copied.metadata, copied.id


def of_faiss(store: Any) -> tuple[Embeddings, Iterator[Row]]:
    """Return the embedder of a langchain-community ``FAISS``, and its documents with their vectors.

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

    def stored() -> Iterator[Row]:
        for number in sorted(ids):
            found = search(ids[number])
            if not isinstance(found, Document):
                raise UsageError(f"the store has a vector and no document for the id {ids[number]!r}")
            yield found.page_content, vectors.reconstruct(int(number)), found.metadata, ids[number]

    return embedding, stored()
