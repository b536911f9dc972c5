"""What tests of the client share: a small index, and a server over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import rag
from rag.serving.app import create_app
from rag.serving.keys import OpenAuthenticator
from rag.serving.service import Service
from tests.serving.served import running


@pytest.fixture(scope="session")
def leave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with metadata of all types, dates among them."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "docs").mkdir()
    for region, days in (("eu", 28), ("us", 22)):
        (folder / "docs" / f"leave-{region}.md").write_text(
            f"---\ntitle: Leave\nregion: {region}\nyear: 2024\ntags: [hr, leave]\nvalid_from: 2024-03-01\n"
            f"final: true\n---\n# Leave\n\nStaff in {region.upper()} take {days} days of annual leave.\n\n"
            "## Sickness\n\nTell your manager before ten o'clock when you are ill.\n"
        )
    (folder / "docs" / "pay.md").write_text("# Pay\n\nPay day is the 25th of each month.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder / "ix"


@pytest.fixture(scope="session")
def address(leave: Path) -> Iterator[str]:
    """A server over it, without keys."""
    with running(create_app(Service(leave, lambda: rag.Pipeline(leave)), OpenAuthenticator())) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[rag.Client]:
    with rag.Client(address) as made:
        yield made
