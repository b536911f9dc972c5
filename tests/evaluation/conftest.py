"""A pipeline over the handbook, its evaluation, and small indexes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rag
from rag.evaluation import evaluate
from tests.conftest import HANDBOOK

LEAVE = "Staff in Europe take 28 days of annual leave each year."


@pytest.fixture(scope="session")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> rag.Pipeline:
    """The handbook in plain, overlapping chunks: fast to build, with unknown gaps."""
    path = tmp_path_factory.mktemp("evaluation") / "ix"
    rag.build(HANDBOOK, path, embedder="static", chunker={"use": "recursive", "max_tokens": 96})
    return rag.Pipeline(path)


@pytest.fixture(scope="session")
def few(golden: list[dict]) -> list[dict]:
    rows = golden[::6]
    assert any("where" in row for row in rows) and any(not row["evidence"] for row in rows)
    return rows


@pytest.fixture(scope="session")
def evaluation(pipe: rag.Pipeline, few: list[dict]):
    return evaluate(pipe, few, budgets=(1000, 4000))


def write(path: Path, rows: list[dict]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def docs(tmp_path: Path, **texts: str) -> rag.Pipeline:
    """A pipeline over Markdown files with these texts."""
    for name, text in texts.items():
        path = tmp_path / "docs" / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    rag.build(tmp_path / "docs", tmp_path / "ix", embedder="static")
    return rag.Pipeline(tmp_path / "ix")
