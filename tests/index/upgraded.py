"""Copies of the indexes of past formats, and what they are compared with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.chunking import SemanticChunker
from tests.index.formats.parts import Paragraphs, Words

FORMATS = Path(__file__).parent / "formats"
OLD = ("1-first", "1", "2", "2-words")
QUERIES = ("annual leave in Osaka", "restore a backup", "meals and travel", "office manager approves")
ROOT = Path(__file__).parents[2]


def copied(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(FORMATS / name, folder / "ix"))


def embedder_of(name: str) -> Any:
    return Words() if name in ("1-first", "2-words") else "static"


def built(name: str, folder: Path, files: str = "2") -> rag.Index:
    """What a build of today makes of the same files."""
    chunker = {"1-first": SemanticChunker(), "2-words": Paragraphs()}.get(name)
    settings = {"embedder": embedder_of(name), **({"chunker": chunker} if chunker else {})}
    rag.build(FORMATS / "files" / files, folder, **settings)
    return rag.Index.open(folder, embedder=embedder_of(name))


def found(index: rag.Index, where: Any = None) -> dict[tuple[str, str], list[rag.Hit]]:
    return {
        (query, mode): list(index.search(query, k=30, mode=mode, where=where))  # type: ignore[arg-type]
        for query in QUERIES
        for mode in ("dense", "lexical", "hybrid")
    }


def assert_same(one: rag.Index, other: rag.Index, where: Any = None) -> None:
    """The same places in the same order, with all that is known of them and scores equal to 1e-6."""
    left, right = found(one, where), found(other, where)
    for key, hits in left.items():
        assert [place(hit) for hit in hits] == [place(hit) for hit in right[key]], key
        assert [hit.score for hit in hits] == pytest.approx(
            [hit.score for hit in right[key]], rel=1e-6, abs=1e-6
        )


def place(hit: rag.Hit) -> tuple[Any, ...]:
    return (
        hit.chunk_id, hit.doc_id, hit.source, hit.start, hit.end, hit.text, hit.gap, hit.section,
        hit.table_head, hit.table_head_start,
    )  # fmt: skip


def contents(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.name != "cache.sqlite"
    }
