"""As on AWS Lambda: a read-only file system, no HOME, no /dev/shm, a user without rights, limits of memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.emulator import Emulator
from tests.benchmarks import cold_start


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that stays visible where /tmp is another one."""
    if why := cold_start.isolated():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="rag-sealed-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.parametrize("embedder", ["titan", "local"])
def test_a_function_answers_without_all_that(folder: Path, embedder: str) -> None:
    with Emulator() as emulator:
        environment = emulator.environment()
        index = cold_start.built(folder, embedder, 0, environment, source=cold_start.SMALL)
        toml = f'{cold_start.SETTINGS[embedder]}[deploy]\nindex = "{index}"\nopen = true\n'
        before = sorted(path.name for path in index.rglob("*"))
        cells, said = cold_start.measure(folder, toml, 1024, environment)
    assert cells[-1] == "", (cells, said)
    start, first, warm, peak, _ = cells
    assert start and first and warm and 50 < int(peak) < 1024
    assert sorted(path.name for path in index.rglob("*")) == before, "nothing is written to the index"
