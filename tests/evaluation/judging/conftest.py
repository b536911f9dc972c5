"""An emulator for each test, whose replies the test plants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rag.emulator import Emulator
from rag.emulator.pytest_plugin import point_at


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as server:
        point_at(monkeypatch, server.environment())
        yield server
