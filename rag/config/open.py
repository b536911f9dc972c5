"""The index in a folder or on an object store, with the embedders that ``rag.toml`` knows by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rag.config import registry, stages
from rag.core.errors import StoreCorruptError, StoreMissingError, UsageError
from rag.core.files import is_url
from rag.index import index as store
from rag.index.remote.lease import Lease
from rag.index.remote.mirror import Cache, Mirror
from rag.index.remote.objects import ObjectStore
from rag.index.remote.settings import settings as remote_settings
from rag.index.storage.manifest import current_version


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


def object_store(url: str, remote: Any = None) -> ObjectStore:
    """Return the object store that a URL names.

    Parameters
    ----------
    url : str
        ``s3://bucket/prefix``.
    remote : mapping or RemoteSettings, optional
        As ``[remote]`` in rag.toml.

    Raises
    ------
    UsageError
        The URL is of another kind, or names no bucket.
    """
    if not url.startswith("s3://"):
        raise UsageError(f"{url!r} is no place for an index: write s3://bucket/prefix")
    from rag.bedrock.storage.s3_objects import S3Objects

    made = remote_settings(remote)
    return S3Objects(
        url, region=made.region, endpoint_url=made.endpoint_url, kms_key=made.kms_key,
        timeout_s=made.timeout_s,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where an index is read.

    Attributes
    ----------
    folder : Path
        The index's, or that of the local copy; keys, ledgers and caches without a path stand there.
    name : str
        The last part of its path.
    current : callable
        Returns the number of the current version, None where there is no index.
    """

    folder: Path
    name: str
    current: Callable[[], int | None]


def place_of(index: str | Path, remote: Any = None) -> Place:
    """Return where an index is read, a folder or a URL."""
    if not is_url(index):
        folder = Path(index)
        return Place(folder, folder.resolve().name, lambda: current_version(folder))
    copy = mirror(str(index), remote)
    return Place(copy.folder, copy.store.name.rstrip("/").rpartition("/")[2], copy.current)


def mirror(url: str, remote: Any = None) -> Mirror:
    """Return the local copy of an index on an object store; nothing is fetched yet."""
    made = remote_settings(remote)
    return Mirror(object_store(url, made), Cache(made.folder() / "indexes", made.most_bytes()))
