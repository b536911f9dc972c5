"""An index as a LangChain ``VectorStore``, in place of langchain-community's ``FAISS``."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, get_args

import numpy.typing as npt
from langchain_core.embeddings import Embeddings

from rag.core import embedders
from rag.core.arguments import real, strings, whole
from rag.core.errors import SourceError, StoreMismatchError, UsageError
from rag.core.files import local_folder
from rag.core.values import shown
from rag.core.vectors import embed, unit_rows
from rag.index import documents
from rag.index.documents import Filter, matching
from rag.index.filters.parse import WhereLike
from rag.index.index import Index, Mode
from rag.index.langchain_searches import VectorStoreSearches
from rag.index.maintenance import Store, edit, snapshot
from rag.index.storage.manifest import EmbedderEntry, Manifest, current_version, files_of, kept_versions
from rag.index.storage.writer import IndexWriter, open_writer


class FaissStore(VectorStoreSearches):
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
    timeout_s : float
        How long a write waits for another writer, in another process too, before it fails.

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
        timeout_s: float = 10.0,
    ) -> None:
        if mode not in get_args(Mode):
            raise UsageError(f"mode is {shown(mode)}: write one of {', '.join(get_args(Mode))}")
        self.keep = None if keep is None else whole("keep", keep)
        self.timeout_s = real("timeout_s", timeout_s, 0)
        self._temporary = path is None
        if path is None:
            path = tempfile.mkdtemp(prefix="rag-")
            weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        self.path, self.mode = local_folder(path), mode
        self._embedding = embedding
        self._lock = threading.Lock()
        self._index: Index | None = None
        self.refresh()

    def __repr__(self) -> str:
        return f"FaissStore({str(self.path)!r}, documents={len(self)})"

    def __len__(self) -> int:
        return len(self._index) if self._index is not None else 0

    def __reduce__(self) -> tuple[Any, ...]:
        if self._temporary:
            raise UsageError("a store in a temporary folder cannot be pickled or copied: pass it a path")
        again = partial(type(self), mode=self.mode, keep=self.keep, timeout_s=self.timeout_s)
        return again, (self._embedding, self.path)

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
        self._check(index.manifest)
        self._index = index

    def _check(self, manifest: Manifest | None) -> None:
        """Refuse an index of another embedder."""
        this = embedders.fingerprint(self._embedding)
        if manifest is not None and manifest.embedder.fingerprint != this:
            raise StoreMismatchError(
                f"{self.path} was built with {manifest.embedder.fingerprint}, not with {this}: use that "
                "embedder"
            )

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
            An id occurs twice, the lists differ in length, or a value cannot be stored. Nothing is
            changed then.
        StoreLockedError
            Another process writes for longer than `timeout_s`.
        """
        items = documents.items(texts, metadatas, ids)
        if not items:
            return []
        vectors = embed(self._embedding, [content for content, _, _ in items])
        return self._add(iter([(items, unit_rows(vectors, len(items), vectors.shape[-1]))]))

    def add_embeddings(
        self,
        text_embeddings: Iterable[tuple[str, npt.ArrayLike]],
        metadatas: Iterable[Mapping[str, Any]] | None = None,
        ids: Iterable[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts with their vectors; the iterables are read in pieces, never whole."""
        return self._add(documents.batches(documents.rows(text_embeddings, metadatas, ids)))

    def merge_from(self, target: FaissStore) -> list[str]:
        """Add the documents of another store, with their vectors; nothing is embedded. Return their ids.

        Raises
        ------
        UsageError
            Both stores have a document with the same id; nothing is changed.
        StoreMismatchError
            The other store has another embedder.
        """
        if not isinstance(target, FaissStore):
            raise UsageError(f"{type(target).__name__} is no FaissStore: use FaissStore.from_langchain first")
        if target.path.resolve() == self.path.resolve():
            raise UsageError(f"{self.path} cannot be merged with itself: name another store")
        if target._index is None:
            return []
        self._check(target._index.manifest)
        return self._add(documents.batches(documents.of_index(target._index)), replace=False)

    def delete(self, ids: Sequence[str] | None = None, *, where: Filter | None = None, **kwargs: Any) -> bool:
        """Delete documents by id, by filter, or those of the ids that match the filter.

        The newest version decides what matches. Unknown ids are ignored.
        """
        if ids is None and where is None:
            raise UsageError("nothing names the documents to delete: pass ids=[…] or where=…")
        chosen = None if ids is None else set(strings("ids", ids))
        with self._lock:
            if current_version(self.path) is None:
                return True
            with self._writing() as writer:
                if where is not None:
                    found = set(matching(snapshot(writer), where))
                    chosen = found if chosen is None else chosen & found
                if chosen:
                    writer.commit(removed_ids=chosen, why="delete")
            self._tidy()
        return True

    def update_metadata(self, where: WhereLike, changes: Mapping[str, Any]) -> None:
        """Edit metadata of the documents that match; nothing is embedded (see `rag.Store.edit`)."""
        with self._lock:
            with self._writing() as writer:
                edit(writer, where, changes)
            self._tidy()

    @contextmanager
    def _writing(self, dimensions: int | None = None) -> Iterator[IndexWriter]:
        """Lock the index, and refuse one that has meanwhile become another embedder's."""
        entry = None
        if dimensions is not None:
            name, fingerprint = embedders.name(self._embedding), embedders.fingerprint(self._embedding)
            entry = EmbedderEntry(name, fingerprint, dimensions)
        with open_writer(self.path, entry, timeout_s=self.timeout_s) as writer:
            self._check(writer.previous)
            yield writer

    def _add(self, batches: Iterator[documents.Batch], *, replace: bool = True) -> list[str]:
        """Write batches as one version; return their documents' ids."""
        first = next(batches, None)
        if first is None:
            return []
        with self._lock:
            with self._writing(first[1].shape[1]) as writer:
                ids, named = documents.write(writer, itertools.chain([first], batches))
                twice = snapshot(writer).get(ids) if writer.previous and not replace else []
                if twice:
                    raise UsageError(f"both stores have a document {twice[0].chunk_id!r}: nothing was added")
                writer.commit(removed_ids=named, why="add" if replace else "merge")
            self._tidy()
        return ids

    def _tidy(self) -> None:
        """Open the version that was just written; delete versions beyond those to keep."""
        self.refresh()
        if self.keep is not None and len(kept_versions(self.path)) > self.keep:
            Store(self.path, timeout_s=self.timeout_s).prune(self.keep)

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
        embedding, rows = documents.of_faiss(store)
        new = cls._new(embedding, path, kwargs)
        new._add(documents.batches(rows))
        return new

    def save_local(self, folder_path: str | Path, index_name: str = "index") -> None:
        """Copy the newest version to a new or empty folder; `index_name` is ignored."""
        folder = Path(folder_path)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
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
        unknown = kwargs.keys() - {"mode", "keep", "timeout_s"}
        if unknown:
            known = "path, mode, keep and timeout_s"
            raise UsageError(f"FaissStore has no argument {sorted(unknown)[0]!r}: it has {known}")
        if path is not None and current_version(Path(path)) is not None:
            raise UsageError(f"there is an index in {path} already: open FaissStore(embedding, path)")
        return cls(embedding, path, **kwargs)
