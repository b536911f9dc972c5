"""A small index, real servers of Redis and DynamoDB, and a model that says what it was asked."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rag
from rag.bedrock.storage.response_table import ResponseTable
from rag.response_cache.sqlite_store import SqliteStore
from rag.response_cache.store import ResponseStore
from tests.response_cache.models import PRICES, Echo

TEXTS = {
    "eu.md": "---\nregion: eu\nyear: 2024\n---\n# Leave\n\nStaff in Europe take 28 days of annual leave.\n",
    "us.md": "---\nregion: us\nyear: 2023\n---\n# Leave\n\nStaff in America take 22 days of annual leave.\n",
    "sev.md": "---\nregion: eu\nyear: 2024\n---\n# Incidents\n\nAnyone may declare a SEV-1 incident.\n",
}


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**TEXTS, **texts}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the index ``ix`` and its documents ``docs``; nobody changes them."""
    folder = tmp_path_factory.mktemp("responses")
    rag.build(write(folder / "docs"), folder / "ix", embedder="static")
    return folder


@pytest.fixture
def pipe(folder: Path, tmp_path: Path) -> Callable[..., rag.Pipeline]:
    """Makes a pipeline with a ledger and a cache of the test's own, and the model `Echo`."""

    def made(path: Path = folder / "ix", **stages: Any) -> rag.Pipeline:
        stages.setdefault("generator", Echo(log=str(tmp_path / "calls")))
        stages.setdefault("responses", {"path": tmp_path / "responses.sqlite"})
        return rag.Pipeline(path, ledger=tmp_path / "ledger.sqlite", prices=PRICES, **stages)

    return made


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[str]]:
    """The questions that `Echo` was asked."""
    path = tmp_path / "calls"
    return lambda: path.read_text().splitlines() if path.exists() else []


class Redis:
    """A server of Redis on a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder / 'redis.sock'}"
        self.process = subprocess.Popen(
            [
                "redis-server",
                "--port",
                "0",
                "--unixsocket",
                folder / "redis.sock",
                "--save",
                "",
                "--dir",
                folder,
            ],
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + 10
        while not (folder / "redis.sock").exists() and time.monotonic() < until:
            time.sleep(0.01)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def start_redis(tmp_path_factory: pytest.TempPathFactory) -> Redis:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    if importlib.util.find_spec("redis") is None:
        pytest.skip("the package redis is not installed")
    return Redis(tmp_path_factory.mktemp("r"))  # short: a socket's path has a limit


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = start_redis(tmp_path_factory)
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A server that the test may stop or fill."""
    server = start_redis(tmp_path_factory)
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "redis", "dynamodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResponseStore:
    """An empty store of each kind."""
    if request.param == "sqlite":
        return SqliteStore(tmp_path / "store.sqlite")
    if request.param == "redis":
        from rag.response_cache.redis_store import RedisStore

        store: Any = RedisStore(request.getfixturevalue("redis").url, prefix=tmp_path.name)
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        url = request.getfixturevalue("moto")
        store = ResponseTable(tmp_path.name, region="us-east-1", endpoint_url=url, timeout_s=10.0)
        store.create()
    return store
