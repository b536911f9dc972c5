"""``--report FILE.html``: what was measured as a page, and the words of the commands in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rag.cli.options import replacing
from rag.core.errors import SourceError


def refuse_no_folder(*paths: Path | None) -> None:
    """Refuse a file that could not be written in the end, before anything is measured or paid for."""
    for path in paths:
        if path is not None and not path.absolute().parent.is_dir():
            raise SourceError(f"cannot write {path}: there is no folder {path.parent}: make it first")
        if path is not None and path.is_dir():
            raise SourceError(f"cannot write {path}: it is a folder: name a file in it")
        if path is not None and not os.access(path.absolute().parent, os.W_OK):
            raise SourceError(f"cannot write {path}: you may not write into {path.parent}: name another file")


def explain_words(options: Mapping[str, Any]) -> list[str]:
    """Return the options with which ``rag explain`` takes the same way as the measurement did."""
    values = {"mode": options["mode"], "embedder": options["embedder"], "config": options["config_path"]}
    words = [word for name, value in values.items() if value for word in (f"--{name}", str(value))]
    return words + (["--bedrock"] if options["bedrock"] else [])


def write_report(path: Path | None, index: Any, asked: Iterable[Any], page: Callable[..., str]) -> None:
    """Write a report, if there is to be one.

    Parameters
    ----------
    path : Path or None
    index : Index
        Where the words of evidence are read.
    asked : iterable of Question
    page : callable
        Returns the page, given ``texts``.
    """
    if path is None:
        return
    from rag.evaluation.reports.evidence import texts_of

    text = page(texts=texts_of(index, asked))
    with replacing(path) as sink:
        sink.write(text)
