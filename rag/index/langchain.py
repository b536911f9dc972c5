"""An index as a LangChain ``VectorStore``, in place of langchain-community's ``FAISS``."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy.typing as npt
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from rag.core import embedders
from rag.core.errors import SourceError, StoreMismatchError, UsageError
from rag.core.passages import Hit
from rag.core.vectors import embed, unit_rows
from rag.index import documents
from rag.index.documents import Filter
from rag.index.filters.parse import WhereLike
from rag.index.filters.where import Where, field
from rag.index.index import Index, Mode
from rag.index.maintenance import Store
from rag.index.search.results import Hits
from rag.index.storage.manifest import EmbedderEntry, current_version, files_of, kept_versions
from rag.index.storage.writer import open_writer


class FaissStore(VectorStore):
    """A LangChain vector store over an index: exact filters, no pickle, safe to interrupt.

    Every write is a new version of the index: all of it is written, or nothing. Documents come back
    with their metadata unchanged.

    Parameters
    ----------
    embedding : Embeddings
    path : str or Path, optional
        The index's folder, new or existing (one of `rag.build`, too). By default a temporary folder,
        which is deleted with the store object.
    mode : {"dense", "hybrid", "lexical"}
        The default mode of searches for a text.
    keep : int, optional
        Versions to keep; a write deletes older ones. None keeps all.

    Notes
    -----
    Scores are cosines in [-1, 1], higher is better (langchain-community's are squared distances),
    and a ``score_threshold`` is a cosine. ``filter`` and ``where`` are the same: a filter in any
    notation, or a function of the metadata (called for every document). ``fetch_k`` is
    accepted, and has an effect for MMR only: a filter is applied before the search.

    Examples
    --------
    >>> store = rag.FaissStore.from_texts(texts, embedding, metadatas)      # doctest: +SKIP
    >>> store.similarity_search("annual leave", k=4, filter={"year": {"$gte": 2024}})  # doctest: +SKIP
    """

    def __init__(
        self,
        embedding: Embeddings,
        path: str | Path | None = None,
        *,
        mode: Mode = "dense",
        keep: int | None = 16,
    ) -> None:
        if path is None:
            path = tempfile.mkdtemp(prefix="rag-")
            weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        self.path, self.mode, self.keep = Path(path), mode, keep
        self._embedding = embedding
        self._lock = threading.Lock()
        self._index: Index | None = None
        self.refresh()

    def __repr__(self) -> str:
        return f"FaissStore({str(self.path)!r}, documents={len(self)})"

    def __len__(self) -> int:
        return len(self._index) if self._index is not None else 0

    @property
    def embeddings(self) -> Embeddings:
        """The embedder of texts and questions."""
        return self._embedding

    @property
    def index(self) -> Index:
        """The version that searches use; see `rag.Index`."""
        if self._index is None:
            raise UsageError("the store is empty: add documents first")
        return self._index

    def refresh(self) -> None:
        """Open the newest version, which another process may have written."""
        if current_version(self.path) is None:
            return
        index = Index.open(self.path, embedder=self._embedding)
        built_with, this = index.manifest.embedder.fingerprint, embedders.fingerprint(self._embedding)
        if built_with != this:
            raise StoreMismatchError(
                f"{self.path} was built with {built_with}, not with {this}: use that embedder"
            )
        self._index = index

    # ------------------------------------------------------------------ writing

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, which replace documents with the same ids; return their ids.

        Raises
        ------
        UsageError
            An id occurs twice, the lists differ in length, or metadata cannot be stored. Nothing
            is changed then.
        """
        items = documents.items(list(texts), metadatas, ids)
        if not items:
            return []
        vectors = embed(self._embedding, [text for text, _, _ in items])
        return self._add(iter([(items, unit_rows(vectors, len(items), vectors.shape[-1]))]))

    def add_embeddings(
        self,
        text_embeddings: Iterable[tuple[str, npt.ArrayLike]],
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        ids: Iterable[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts with their vectors; the iterables are read in pieces, never whole."""
        return self._add(documents.batches(text_embeddings, metadatas, ids))

    def delete(self, ids: Sequence[str] | None = None, *, where: Filter | None = None, **kwargs: Any) -> bool:
        """Delete documents by id, by filter, or those of the ids that match the filter.

        Unknown ids are ignored.
        """
        if ids is None and where is None:
            raise UsageError("nothing names the documents to delete: pass ids=[…] or where=…")
        with self._lock:
            if self._index is None:
                return True
            chosen = set(self._matching(where)) if where is not None else set(ids or ())
            if ids is not None:
                chosen &= set(ids)
            if chosen:
                with open_writer(self.path) as writer:
                    writer.commit(removed_ids=chosen, why="delete")
                self._tidy()
        return True

    def update_metadata(self, where: WhereLike, changes: Mapping[str, Any]) -> None:
        """Edit metadata of the documents that match; nothing is embedded (see `rag.Store.edit`)."""
        with self._lock:
            Store(self.path).edit(where, changes)
            self._tidy()

    def _add(self, batches: Iterator[documents.Batch]) -> list[str]:
        """Write batches as one version; return their documents' ids."""
        first = next(batches, None)
        if first is None:
            return []
        size = first[1].shape[1]
        with self._lock:
            known = self._index.manifest.embedder.dimensions if self._index is not None else size
            if known != size:
                raise StoreMismatchError(f"the vectors have {size} dimensions, those of {self.path} {known}")
            name, fingerprint = embedders.name(self._embedding), embedders.fingerprint(self._embedding)
            with open_writer(self.path, EmbedderEntry(name, fingerprint, size)) as writer:
                ids, replaced = documents.write(writer, itertools.chain([first], batches))
                writer.commit(removed_ids=replaced, why="add")
            self._tidy()
        return ids

    def _tidy(self) -> None:
        """Open the version that was just written; delete versions beyond those to keep."""
        self.refresh()
        if self.keep is not None and len(kept_versions(self.path)) > self.keep:
            Store(self.path).prune(self.keep)

    # ------------------------------------------------------------------ searching

    def search_hits(
        self,
        query: str | npt.ArrayLike,
        k: int = 4,
        *,
        where: Filter | None = None,
        mode: Mode | None = None,
        min_score: float | None = None,
    ) -> Hits | list[Hit]:
        """Return hits with offsets, all scores, and the plan of the search."""
        if self._index is None:
            return []
        bound = self._where(where)
        if isinstance(query, str):
            chosen = mode or self.mode
            return self._index.search(query, k, where=bound, mode=chosen, min_score=min_score)
        return self._index.search_by_vector(query, k=k, where=bound, mode="dense", min_score=min_score)

    def similarity_search(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the k documents nearest to a text."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the k documents nearest to a text, with their scores."""
        return documents.scored(self.search_hits(query, k, **documents.arguments(filter, kwargs)))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """Return the k documents nearest to a vector."""
        scored = self.similarity_search_with_score_by_vector(embedding, k, filter, **kwargs)
        return [document for document, _ in scored]

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the k documents nearest to a vector, with their cosines."""
        return documents.scored(self.search_hits(embedding, k, **documents.arguments(filter, kwargs)))

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return k documents that are near a text and unlike each other (`rag.Index.diverse`)."""
        scored = self._diverse(query, k, fetch_k, lambda_mult, filter, kwargs)
        return [document for document, _ in scored]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return k documents that are near a vector and unlike each other."""
        scored = self._diverse(embedding, k, fetch_k, lambda_mult, filter, kwargs)
        return [document for document, _ in scored]

    def max_marginal_relevance_search_with_score_by_vector(
        self,
        embedding: list[float],
        *,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[tuple[Document, float]]:
        """Return k such documents, each with its cosine to the vector."""
        return self._diverse(embedding, k, fetch_k, lambda_mult, filter, kwargs)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return documents by id, in that order; unknown ids are left out."""
        return [documents.document(hit) for hit in self._index.get(ids)] if self._index is not None else []

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return relevance in [0, 1]: the cosine in every mode, and 0 for negative ones."""
        arguments = documents.arguments(kwargs.pop("filter", None), kwargs)
        if (arguments.get("mode") or self.mode) == "lexical":
            raise UsageError("relevance is a cosine, and mode 'lexical' has none: use 'dense' or 'hybrid'")
        return [
            (documents.document(hit), max(hit.dense or 0.0, 0.0))
            for hit in self.search_hits(query, k, **arguments)
        ]

    def _diverse(
        self, query: Any, k: int, fetch_k: int, lambda_mult: float, filter: Any, kwargs: dict[str, Any]
    ) -> list[tuple[Document, float]]:
        if self._index is None:
            return []
        where = self._where(documents.arguments(filter, kwargs)["where"])
        return documents.scored(
            self._index.diverse(query, k, fetch_k=fetch_k, diversity=1 - lambda_mult, where=where)
        )

    def _where(self, where: Filter | None) -> WhereLike | None:
        if callable(where) and not isinstance(where, Where):
            return field("chunk_id").isin(self._matching(where))
        return where

    def _matching(self, where: Filter) -> list[str]:
        """Return the ids of the documents that match."""
        assert self._index is not None
        if callable(where) and not isinstance(where, Where):
            return [hit.chunk_id for hit in self._index.scan() if where(documents.document(hit).metadata)]
        return [hit.chunk_id for hit in self._index.scan(where)]

    # ------------------------------------------------------------------ creating, saving and loading

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        path: str | Path | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a store of texts; keywords are those of the class."""
        store = cls._new(embedding, path, kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    def from_embeddings(
        cls,
        text_embeddings: Iterable[tuple[str, npt.ArrayLike]],
        embedding: Embeddings,
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        *,
        ids: Iterable[str] | None = None,
        path: str | Path | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a store of texts with their vectors; the iterables are read in pieces."""
        store = cls._new(embedding, path, kwargs)
        store.add_embeddings(text_embeddings, metadatas, ids)
        return store

    @classmethod
    def from_langchain(cls, store: Any, path: str | Path | None = None, **kwargs: Any) -> Self:
        """Return a store with the texts, ids, metadata and vectors of a langchain-community ``FAISS``.

        Nothing is embedded. Vectors are scaled to unit length, so that scores become cosines.
        """
        embedding, ids, rows = documents.of_faiss(store)
        one, two = itertools.tee(rows)
        return cls.from_embeddings(
            ((text, vector) for text, vector, _ in one), embedding,
            (metadata for _, _, metadata in two), ids=ids, path=path, **kwargs,
        )  # fmt: skip

    def save_local(self, folder_path: str | Path, index_name: str = "index") -> None:
        """Copy the newest version to a new or empty folder; `index_name` is ignored."""
        folder = Path(folder_path)
        if folder.exists() and any(folder.iterdir()):
            raise SourceError(f"{folder} is not empty: name another folder")
        manifest = self.index.manifest
        names = [file.path for file in files_of(manifest)]
        for name in (*names, f"manifests/{manifest.version:06d}.json", "CURRENT"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path / name, folder / name)

    @classmethod
    def load_local(cls, folder_path: str | Path, embeddings: Embeddings, *_: Any, **kwargs: Any) -> Self:
        """Open a saved store; one of langchain-community is refused, because it is a pickle."""
        folder = Path(folder_path)
        if current_version(folder) is None:
            hint = ""
            if (folder / "index.pkl").exists() or any(folder.glob("*.pkl")):
                hint = (
                    ": it is one of langchain-community, whose pickle can run code; load it there if you "
                    "trust it, and call FaissStore.from_langchain(store, path)"
                )
            raise SourceError(f"{folder} holds no index of rag{hint}")
        kwargs.pop("allow_dangerous_deserialization", None)  # no pickle, so there is nothing to allow
        return cls(embeddings, folder, **kwargs)

    @classmethod
    def _new(cls, embedding: Embeddings, path: str | Path | None, kwargs: dict[str, Any]) -> Self:
        unknown = kwargs.keys() - {"mode", "keep"}
        if unknown:
            raise UsageError(f"FaissStore has no argument {sorted(unknown)[0]!r}: it has path, mode and keep")
        if path is not None and current_version(Path(path)) is not None:
            raise UsageError(f"there is an index in {path} already: open FaissStore(embedding, path)")
        return cls(embedding, path, **kwargs)
