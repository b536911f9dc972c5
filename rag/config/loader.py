"""The loader, with the places that ``rag.toml`` and the command line know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rag.loading import loader
from rag.loading.local_files import Files


class Loader(loader.Loader):
    """`rag.loading.loader.Loader`, which reads ``s3://bucket/prefix``, too."""

    @staticmethod
    def place_of(path: str | Path | Files, **local: Any) -> Files:
        """Return where the files of a path or URL come from."""
        if isinstance(path, str) and path.startswith("s3://"):
            from rag.bedrock.storage.s3 import S3Files

            return S3Files(path)
        return loader.Loader.place_of(path, **local)
