"""Make the index of one past format: run by the `rag` of the commit that wrote it (see README.md).

python make.py NAME     with that commit's tree first on PYTHONPATH
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def settings_of(name: str) -> dict[str, Any]:
    """The embedder and chunker of a fixture."""
    from parts import Paragraphs, Words

    if name == "1-first":
        from rag.chunking import SemanticChunker

        return {"embedder": Words(), "chunker": SemanticChunker()}
    if name == "2-words":
        return {"embedder": Words(), "chunker": Paragraphs()}
    return {"embedder": "static"}


def main(name: str) -> None:
    """Build twice in an empty folder, by relative paths: no path of this machine gets into the index."""
    import rag

    work = Path(tempfile.mkdtemp())
    os.chdir(work)
    for state in ("1", "2"):
        shutil.rmtree("files", ignore_errors=True)
        shutil.copytree(HERE / "files" / state, "files")
        report = rag.build("files", "index", **settings_of(name))
        print(state, report)
    shutil.rmtree(HERE / name, ignore_errors=True)
    if name != "2":  # one is enough
        Path("index/cache.sqlite").unlink()
    shutil.copytree("index", HERE / name)
    shutil.rmtree(work)


if __name__ == "__main__":
    main(sys.argv[1])
