"""A router over three models on the emulator; their clients are made once for a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.emulator import Behaviour, Emulator
from rag.emulator.pytest_plugin import point_at
from tests.generation.routed import HAIKU, OPUS, SONNET


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> rag.Index:
    folder = tmp_path_factory.mktemp("router")
    (folder / "docs").mkdir()
    (folder / "docs" / "leave.md").write_text(
        "---\nregion: eu\n---\n# Leave\n\nStaff in Europe take 28 days of annual leave.\n"
    )
    (folder / "docs" / "travel.md").write_text("# Travel\n\nTrains are booked in second class.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return rag.Index.open(folder / "ix")


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator() as server, pytest.MonkeyPatch.context() as patch:
        point_at(patch, server.environment())
        yield server


@pytest.fixture(scope="module")
def claude(server: Emulator) -> dict[str, Any]:
    """The three models, made once: their clients take longer than the tests."""
    return {
        "small": rag.ClaudeBedrock(HAIKU),
        "default": rag.ClaudeBedrock(SONNET),
        "large": rag.ClaudeBedrock(OPUS),
    }


@pytest.fixture
def emulator(server: Emulator) -> Emulator:
    server.behaviour = Behaviour()
    server.requests.clear()
    server.counts.clear()
    return server


@pytest.fixture
def pipe(index: rag.Index, claude: dict[str, Any], tmp_path: Path) -> Callable[..., rag.Pipeline]:
    def make(ledger: Mapping[str, Any] | None = None, **router: Any) -> rag.Pipeline:
        settings = {"path": str(tmp_path / "ledger.sqlite"), **(ledger or {})}
        return rag.Pipeline(index, generator={"use": "router", "tiers": claude, **router}, ledger=settings)

    return make
