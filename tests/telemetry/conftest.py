"""What tests of telemetry share: a small index, and a collector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import rag
from tests.telemetry.collector import Collector


@pytest.fixture(scope="session")
def ix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("otel")
    (folder / "docs").mkdir()
    (folder / "docs" / "eu.md").write_text("# Leave\n\nStaff in Europe take 28 days of annual leave.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder / "ix"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as receiving:
        yield receiving
