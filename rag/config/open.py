"""The index and the loader that know the names of ``rag.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from rag.config import registry, stages
from rag.index import index as store
from rag.loading import loader
from rag.loading.local_files import Files


class Index(store.Index):
    """`rag.index.index.Index`, which finds the local embedder that an index was built with."""

    @classmethod
    def open(cls, path: str | Path, *, embedder: Any = None, version: int | None = None) -> Self:
        """Open an index.

        Parameters
        ----------
        path : str or Path
        embedder : optional
            An Embeddings object, a name or a mapping; by default the one that the index was built
            with, if it is local. One that costs money, or is not one of `rag`'s, must be passed.
        version : int, optional
            An older version; by default the current one.

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
        index.embedder = stages.stage("embedder", embedder)
        stages.check_embedder(index.embedder, entry.fingerprint, str(path))
        return index


class Loader(loader.Loader):
    """`rag.loading.loader.Loader`, which also reads ``s3://bucket/prefix``."""

    @staticmethod
    def place_of(path: str | Path | Files, **local: Any) -> Files:
        """Return the files behind a path or URL."""
        if isinstance(path, str) and path.startswith("s3://"):
            from rag.bedrock.storage.s3 import S3Files

            return S3Files(path)
        return loader.Loader.place_of(path, **local)
