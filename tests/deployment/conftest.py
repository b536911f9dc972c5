"""What tests of deployment share: an index, and one with a key."""

from __future__ import annotations

from pathlib import Path

import pytest

import rag

LEAVE = "How many days of annual leave do staff in Europe take?"
QUOTE = "Staff in Europe take 28 days of annual leave."


@pytest.fixture(scope="session")
def small_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "docs").mkdir()
    (folder / "docs" / "eu.md").write_text(f"# Leave\n\n{QUOTE}\n\nSick notes go to the manager.\n")
    (folder / "docs" / "us.md").write_text("# Pay\n\nPay day is the 25th of each month.\n")
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder / "ix"
