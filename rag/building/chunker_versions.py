"""Which chunkers of an older version an index may have been built with."""

from __future__ import annotations

import re

from rag.chunking import FixedChunker, RecursiveChunker, SemanticChunker
from rag.loading.loader import Loader


def cut_by_older(chunker: str) -> bool:
    """Tell whether a manifest's chunker is an older version of `rag`'s loader or chunkers."""
    match = re.match(r"loader/(\d+) (?:(semantic|recursive|fixed)/(\d+) )?", chunker)
    if match is None:
        return False
    loader, name, version = match.groups()
    current = {
        "semantic": SemanticChunker.version, "recursive": RecursiveChunker.version,
        "fixed": FixedChunker.version,
    }  # fmt: skip
    return int(loader) < Loader.version or (name is not None and int(version) < current[name])
