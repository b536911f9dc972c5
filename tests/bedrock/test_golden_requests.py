"""Each feature sends what it always sent; what changes is seen in the files under golden_requests/."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import rag
from rag.emulator import Emulator
from tests.bedrock.golden_requests import FEATURES, FOLDER, KNOWLEDGE_BASE, sent


@pytest.fixture(scope="module")
def knowledge_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    (folder / "docs").mkdir()
    (folder / "docs" / "leave.md").write_text(
        "---\nregion: eu\nyear: 2024\ntags: [hr]\n---\n# Leave\n\nStaff in Europe take 28 days of annual leave.\n"
    )
    rag.build(folder / "docs", folder / "ix", embedder="static")
    return folder / "ix"


@pytest.fixture
def emulator(knowledge_base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(
        knowledge_bases={KNOWLEDGE_BASE: knowledge_base}, s3_endpoint="http://127.0.0.1:9", job_s=60
    ) as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
        yield running


@pytest.mark.parametrize("feature", FEATURES)
def test_golden_request(feature: str, emulator: Emulator, request: pytest.FixtureRequest) -> None:
    """Every feature sends its recorded request."""
    actual, path = sent(emulator, feature), FOLDER / f"{feature}.json"
    assert json.loads(actual), "nothing was sent"
    # What is looked up before it is created, or after it is deleted, is not there.
    asked = ("NotFoundException", "ongoing ingestion job")
    assert [line for line in emulator.problems if not any(part in line for part in asked)] == []
    if request.config.getoption("--update-golden"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(actual, encoding="utf-8")
    assert path.is_file(), "there is no golden request: write it with --update-golden"
    assert actual == path.read_text(encoding="utf-8")


def test_no_stale_requests() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(FEATURES)
