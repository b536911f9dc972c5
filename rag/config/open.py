"""The index, with the embedders that ``rag.toml`` knows by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from rag.config import registry, stages
from rag.core.errors import StoreCorruptError, StoreMissingError
from rag.core.files import is_url
from rag.index import index as store
from rag.index.remote.lease import Lease


class Index(store.Index):
    """`rag.index.index.Index`, finding the local embedder that an index was built with.

    Attributes
    ----------
    url : str
        Where it was opened on an object store; empty for a folder. `path` is then that of its local copy.
    """

    url = ""
    _lease: Lease | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        embedder: Any = None,
        version: int | None = None,
        plain: bool = False,
        remote: Any = None,
    ) -> Self:
        """Open an index.

        Parameters
        ----------
        path : str or Path
            A folder, or ``s3://bucket/prefix``, of which what is missing in the local cache is fetched.
        embedder : optional
            An Embeddings object, a name or a mapping; by default the one that the index was built
            with, if it is local. One that is paid for, or that is not `rag`'s own, must be given.
        version : int, optional
            An older version; by default the current one.
        plain : bool
            The embedder without LangChain's interface, whose imports take longer than a search.
        remote : mapping, optional
            As ``[remote]`` in rag.toml: the cache's folder and size, region, endpoint.

        Raises
        ------
        StoreMissingError, StoreCorruptError
            There is no index, or one of its files is missing or short.
        RemoteError
            The object store cannot be reached, or refuses.
        StoreMismatchError
            The embedder is not the one that the index was built with.
        """
        index = (
            cls._fetched(str(path), version, remote) if is_url(path) else super().open(path, version=version)
        )
        entry = index.manifest.embedder
        if embedder is None:
            if entry.name not in registry.LOCAL:
                return index
            embedder = entry.name
        index.embedder = stages.stage("embedder", embedder, plain=plain)
        stages.check_embedder(index.embedder, entry.fingerprint, str(path))
        return index

    @classmethod
    def _fetched(cls, url: str, version: int | None, remote: Any) -> Self:
        """Open the local copy of an index, and hold its version for as long as it is open."""
        from rag.config.remote import mirror

        copy = mirror(url, remote)
        for again in (True, False):
            lease = copy.hold(version)
            try:
                index = super().open(lease.folder, version=lease.version)
            except (StoreMissingError, StoreCorruptError):  # replaced just now by another history
                if again:
                    continue
                raise
            index.url, index._lease = copy.store.name.rstrip("/"), lease
            return index
        raise AssertionError("unreachable")

    def info(self) -> dict[str, Any]:
        """Return the facts that `rag info` shows, as plain values."""
        return {**super().info(), **({"path": self.url} if self.url else {})}


def open_index(value: Any, embedder: Any = None, *, plain: bool = False, remote: Any = None) -> Any:
    """Return the index to search; one that is passed in is left as it is.

    Parameters
    ----------
    value : Index, str or Path
    embedder : optional
        What turns questions into vectors, in place of the index's own.
    plain, remote
        As for `Index.open`.

    Raises
    ------
    StoreMismatchError
        The embedder is not the one that the index was built with.
    """
    if isinstance(value, str | Path):
        return Index.open(value, embedder=embedder, plain=plain, remote=remote)
    if embedder is None:
        return value
    other = stages.stage("embedder", embedder)
    stages.check_embedder(other, value.manifest.embedder.fingerprint, str(value.path))
    return value.with_embedder(other)
