"""The index, with the embedders that ``rag.toml`` knows by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from rag.config import registry, stages
from rag.index import index as store


class Index(store.Index):
    """`rag.index.index.Index`, finding the local embedder that an index was built with."""

    @classmethod
    def open(
        cls, path: str | Path, *, embedder: Any = None, version: int | None = None, plain: bool = False
    ) -> Self:
        """Open an index.

        Parameters
        ----------
        path : str or Path
        embedder : optional
            An Embeddings object, a name or a mapping; by default the one that the index was built
            with, if it is local. One that is paid for, or that is not `rag`'s own, must be given.
        version : int, optional
            An older version; by default the current one.
        plain : bool
            The embedder without LangChain's interface, whose imports take longer than a search.

        Raises
        ------
        StoreMissingError, StoreCorruptError
            There is no index, or one of its files is missing or short.
        StoreMismatchError
            The embedder is not the one that the index was built with.
        """
        index = super().open(path, version=version)
        entry = index.manifest.embedder
        if embedder is None:
            if entry.name not in registry.LOCAL:
                return index
            embedder = entry.name
        index.embedder = stages.stage("embedder", embedder, plain=plain)
        stages.check_embedder(index.embedder, entry.fingerprint, str(path))
        return index


def open_index(value: Any, embedder: Any = None, *, plain: bool = False) -> Any:
    """Return the index to search; one that is passed in is left as it is.

    Parameters
    ----------
    value : Index, str or Path
    embedder : optional
        What turns questions into vectors, in place of the index's own.
    plain : bool
        As for `Index.open`.

    Raises
    ------
    StoreMismatchError
        The embedder is not the one that the index was built with.
    """
    if isinstance(value, str | Path):
        return Index.open(value, embedder=embedder, plain=plain)
    if embedder is None:
        return value
    other = stages.stage("embedder", embedder)
    stages.check_embedder(other, value.manifest.embedder.fingerprint, str(value.path))
    return value.with_embedder(other)
