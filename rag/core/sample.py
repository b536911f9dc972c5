"""Where the sample handbook is: the files of ``data/handbook``."""

from __future__ import annotations

from pathlib import Path

from rag.core.errors import SourceError


def handbook() -> Path:
    """Return the sample corpus: of the checkout if there is one, else of the installed package.

    Raises
    ------
    SourceError
        It is not there.
    """
    home = Path(__file__).parents[1]
    for folder in (home.parent / "data" / "handbook", home / "sample" / "handbook"):
        if folder.is_dir():
            return folder
    raise SourceError("the sample handbook is not installed: run this from a checkout")
