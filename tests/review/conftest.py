"""A store of each kind, and pipelines over a small index whose answers are reviewed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.bedrock.storage.review_table import ReviewTable
from rag.review.desk import ReviewDesk
from rag.review.sqlite_store import SqliteReviews
from rag.review.store import ReviewStore
from tests.response_cache.conftest import write
from tests.response_cache.models import PRICES, Echo


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the index ``ix`` and its documents ``docs``; nobody changes them."""
    folder = tmp_path_factory.mktemp("reviews")
    rag.build(write(folder / "docs"), folder / "ix", embedder="static")
    return folder


@pytest.fixture
def pipe(folder: Path, tmp_path: Path) -> Callable[..., rag.Pipeline]:
    """Makes a pipeline with a queue of the test's own, and the model `Echo`."""

    def made(path: Path = folder / "ix", **stages: Any) -> rag.Pipeline:
        stages.setdefault("generator", Echo(log=str(tmp_path / "calls"), extra=". It is 99 days."))
        review = stages.pop("review", {"unsupported": True})
        if isinstance(review, dict):
            review = {"path": tmp_path / "reviews.sqlite", **review}
        return rag.Pipeline(
            path, ledger=tmp_path / "ledger.sqlite", prices=PRICES, review=review, **stages
        )  # fmt: skip

    return made


@pytest.fixture
def desk(tmp_path: Path) -> ReviewDesk:
    """The desk of the pipelines' queue."""
    return ReviewDesk(SqliteReviews(tmp_path / "reviews.sqlite"))


@pytest.fixture(params=["sqlite", "dynamodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReviewStore:
    """An empty store of each kind."""
    if request.param == "sqlite":
        return SqliteReviews(tmp_path / "store.sqlite")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    url = request.getfixturevalue("moto")
    table = ReviewTable(tmp_path.name, region="us-east-1", endpoint_url=url, timeout_s=10.0)
    table.create()
    return table
